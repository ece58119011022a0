//! `darkroom bench`: what a job costs beside its pictures.

use std::{fmt::Display, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::out;
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
    /// Jobs that wait behind those all the time; several numbers, separated by commas, are measured one after the other.
    #[arg(long, default_value = "0", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    backlog: Vec<u32>,
    /// Draws the costs against the backlog into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measures a worker that has nothing to do instead, on a server of the benchmark's own.
    #[arg(long, conflicts_with_all = ["jobs", "payload_bytes", "concurrency", "backlog", "plot"])]
    idle: bool,
    /// Prints the figures as JSON, one object for each backlog.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    redis: config::bench::Bench,
}

/// # Errors
///
/// When there is no Redis, or the worker dies.
pub async fn run(args: Bench) -> anyhow::Result<ExitCode> {
    let What::Queue(queue) = args.what;
    if queue.idle {
        print(&bench::idle(&queue.redis).await?, queue.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Queue { jobs, payload_bytes, concurrency, backlog, plot, json, redis, .. } = queue;
    let mut measured = Vec::with_capacity(backlog.len());
    for backlog in backlog {
        let load = bench::Load { jobs, payload_bytes, concurrency, backlog };
        let figures = bench::run(&load, &redis).await?;
        print(&figures, json)?;
        measured.push(figures);
    }
    if let Some(file) = plot {
        let note = format!("{jobs} jobs of {payload_bytes} bytes settled, {concurrency} in work at once");
        let svg = bench::plot::svg(&measured, &note);
        std::fs::write(&file, svg).with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(figures: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    if json {
        return out::line(serde_json::to_string(figures)?);
    }
    out::line(figures)
}
