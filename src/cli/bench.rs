//! `darkroom bench`: what a job costs beside its pictures.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{config, dev::bench};

/// Measures.
#[derive(Args, Debug)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Queue(Queue),
}

/// Settles jobs that do nothing, while others wait in the same queue, and says what each costs Redis and the worker.
///
/// Claimed, executed and settled as in production, with receipts and events; only the handler does nothing. Nothing but
/// warnings is logged: lines about jobs would be measured too.
#[derive(Args, Debug)]
struct Queue {
    /// Jobs to settle.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// Bytes of a payload; what a job needs at least is some 150.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    payload_bytes: u32,
    /// Jobs in work at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// Jobs that wait behind those all the time.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    backlog: u32,
    /// Prints the figures as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    redis: config::bench::Bench,
}

/// # Errors
///
/// When there is no Redis, or the worker dies.
pub async fn run(args: Bench) -> anyhow::Result<ExitCode> {
    let What::Queue(Queue { jobs, payload_bytes, concurrency, backlog, json, redis }) = args.what;
    let load = bench::Load { jobs, payload_bytes, concurrency, backlog };

    let figures = bench::run(&load, &redis).await?;

    if json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!("{figures}");
    }
    Ok(ExitCode::SUCCESS)
}
