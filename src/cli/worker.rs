//! `darkroom worker`: claims jobs and runs them until it is told to stop.

use std::process::ExitCode;

use clap::Args;

use super::{
    service::{Service, warn_of_unknown_variables},
    signal::stop_signal,
};
use crate::{
    config::{
        self,
        check::{self, Problem},
    },
    worker::Settings,
};

/// Runs jobs, until SIGTERM or SIGINT.
///
/// Then running jobs have time to finish, and the others are handed back.
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
    fetch: config::Fetch,
    #[command(flatten)]
    http: config::Http,
    #[command(flatten)]
    pub(super) traces: config::Traces,
}

impl Worker {
    /// Settings that are right by themselves, but not together.
    pub fn problems(&self) -> Vec<Problem> {
        check::of_worker(Some((&self.redis, &self.s3)), &self.worker, &self.imaging, &self.fetch, &self.http)
    }
}

/// # Errors
///
/// What ends a worker other than a signal; the exit code says of which kind it is.
pub async fn run(args: Worker) -> anyhow::Result<ExitCode> {
    warn_of_unknown_variables();
    check::together([args.problems()])?;
    let Worker { redis, s3, worker, imaging, fetch, http, traces: _ } = args;
    let service = Service::prepare(Settings { redis, s3, worker, imaging, fetch }, &http).await?;
    match service.run(stop_signal()?).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(fatal) => {
            let code = fatal.exit_code();
            tracing::error!(error = format!("{:#}", anyhow::Error::from(fatal)), "worker ended");
            Ok(ExitCode::from(code))
        }
    }
}
