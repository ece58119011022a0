//! `darkroom worker`: claims jobs and runs them until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config,
    worker::{self, Settings},
};

/// Runs jobs until SIGTERM or SIGINT: then lets running ones finish, and hands back the others.
#[derive(Args, Clone, Debug)]
pub struct Worker {
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    s3: config::S3,
    #[command(flatten)]
    worker: config::Worker,
    #[command(flatten)]
    imaging: config::Imaging,
}

/// # Errors
///
/// What ends a worker other than a signal; the exit code says of which kind it is.
pub async fn run(args: Worker) -> anyhow::Result<ExitCode> {
    let Worker { redis, s3, worker, imaging } = args;
    let settings = Settings { redis, s3, worker, imaging };
    match worker::run(settings, stop_signal()?).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(fatal) => {
            let code = fatal.exit_code();
            tracing::error!(error = format!("{:#}", anyhow::Error::from(fatal)), "worker ended");
            Ok(ExitCode::from(code))
        }
    }
}

/// Resolves on the first SIGTERM or SIGINT; its value resolves on the next.
fn stop_signal() -> anyhow::Result<impl Future<Output = impl Future<Output = ()> + Send> + Send> {
    let mut term = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    Ok(async move {
        either(&mut term, &mut int).await;
        async move { either(&mut term, &mut int).await }
    })
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
