//! `darkroom jobs`: where jobs stand.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use darkroom_jobs::{JobId, Kind, Producer, Receipt, Status};

use crate::{
    config,
    queue::{connection, inspect::Inspector},
};

/// Shows where jobs stand.
#[derive(Args, Debug)]
pub struct Jobs {
    #[command(subcommand)]
    look: Look,
}

#[derive(Subcommand, Debug)]
enum Look {
    /// Shows the receipt of one job, at every stage.
    Show {
        /// Id of the job.
        id: JobId,
        /// Prints the receipt as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        redis: config::Redis,
    },
    /// Lists jobs, the newest first.
    List {
        /// Of this queue alone.
        #[arg(long)]
        kind: Option<Kind>,
        /// With this status alone: queued, running, retrying, done, failed, superseded, expired or cancelled.
        #[arg(long, value_parser = status)]
        status: Option<Status>,
        /// At most so many of each queue.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
        /// Prints one receipt as JSON on each line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        redis: config::Redis,
    },
}

/// Runs the command; 1 when the job is unknown.
///
/// # Errors
///
/// When Redis cannot be reached.
pub async fn run(args: Jobs) -> anyhow::Result<ExitCode> {
    match args.look {
        Look::Show { id, json, redis } => show(&redis, &id, json).await,
        Look::List { kind, status, limit, json, redis } => {
            list(&redis, kind, status, limit.into(), json).await
        }
    }
}

async fn show(settings: &config::Redis, id: &JobId, json: bool) -> anyhow::Result<ExitCode> {
    let receipt = producer(settings)?.receipt(id).await.context("could not read from Redis")?;

    let Some(receipt) = receipt else {
        eprintln!("no queue knows job {id}: check the id and DARKROOM_NAMESPACE");
        return Ok(ExitCode::FAILURE);
    };
    if json {
        println!("{}", serde_json::to_string(&receipt)?);
    } else {
        println!("{}", line(&receipt));
        if let Some(error) = &receipt.error {
            println!("{}\n{}", error.message, error.hint);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    settings: &config::Redis,
    kind: Option<Kind>,
    status: Option<Status>,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let connection = connection::managed(&connection::client(settings)?)?;
    let inspector = Inspector::new(producer(settings)?, connection, settings.namespace.clone());

    for kind in kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]) {
        for receipt in inspector.list(kind, status, limit).await.context("could not read from Redis")? {
            println!("{}", if json { serde_json::to_string(&receipt)? } else { line(&receipt) });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A producer on a connection that is made when it is first used.
///
/// # Errors
///
/// When `DARKROOM_REDIS_URL` is not a URL of Redis.
pub fn producer(settings: &config::Redis) -> anyhow::Result<Producer> {
    let client = connection::client(settings).context("DARKROOM_REDIS_URL is not a URL of Redis")?;
    let connection = connection::managed(&client)?;
    Ok(Producer::new(client, connection, settings.namespace.clone())?)
}

/// One line for a person.
pub fn line(receipt: &Receipt) -> String {
    let (id, kind, status) = (&receipt.job_id, receipt.kind, receipt.status.as_str());
    let what = match (&receipt.object, &receipt.error) {
        (Some(object), _) => object.key.to_string(),
        (None, Some(error)) => error.code.to_string(),
        (None, None) => String::new(),
    };
    format!("{id}  {kind:<13}  {status:<10}  {what}").trim_end().to_owned()
}

fn status(text: &str) -> Result<Status, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("no such status: {text:?}"))
}
