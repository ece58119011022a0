//! `darkroom worker`: claims jobs and runs them until it is told to stop.

use std::process::ExitCode;

use clap::Args;

use super::{service::Service, signal::stop_signal};
use crate::{
    config::{self, check},
    worker::Settings,
};

/// Runs jobs until SIGTERM or SIGINT: then lets running ones finish, and hands back the others.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Worker {
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    s3: config::S3,
    #[command(flatten)]
    worker: config::Worker,
    #[command(flatten)]
    imaging: config::Imaging,
    #[command(flatten)]
    http: config::Http,
    #[command(flatten)]
    pub(super) traces: config::Traces,
}

/// # Errors
///
/// What ends a worker other than a signal; the exit code says of which kind it is.
pub async fn run(args: Worker) -> anyhow::Result<ExitCode> {
    let Worker { redis, s3, worker, imaging, http, traces: _ } = args;
    check::together([
        redis.problems(),
        s3.problems(),
        worker.problems(),
        imaging.problems(),
        http.problems(),
    ])?;
    let service = Service::prepare(Settings { redis, s3, worker, imaging }, &http).await?;
    match service.run(stop_signal()?).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(fatal) => {
            let code = fatal.exit_code();
            tracing::error!(error = format!("{:#}", anyhow::Error::from(fatal)), "worker ended");
            Ok(ExitCode::from(code))
        }
    }
}
