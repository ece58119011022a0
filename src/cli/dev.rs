//! `darkroom dev`: a worker with a Redis and an S3 server of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

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
    dev::services::Services,
    worker::Settings,
};

/// Runs a worker with a Redis and an S3 server of its own.
///
/// Until Ctrl-C; the data of the servers stays in one folder. What leads others to them is printed.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Dev {
    /// Folder of the data.
    #[arg(long, value_name = "DIR", default_value = ".darkroom")]
    dir: PathBuf,
    #[command(flatten)]
    dev: config::Dev,
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

impl Dev {
    /// Settings that are right by themselves, but not together.
    pub fn problems(&self) -> Vec<Problem> {
        check::of_worker(None, &self.worker, &self.imaging, &self.fetch, &self.http)
    }
}

/// # Errors
///
/// When a server does not start, or the worker dies.
pub async fn run(args: Dev) -> anyhow::Result<ExitCode> {
    warn_of_unknown_variables();
    check::together([args.problems()])?;
    let Dev { dir, dev, worker, imaging, fetch, http, traces: _ } = args;
    let stop = stop_signal()?;
    let services = Services::start(&dev, &dir).await?;
    let settings = Settings { redis: services.settings()?, s3: services.settings()?, worker, imaging, fetch };
    let service = Service::prepare(settings, &http).await?;

    announce(&services, &dir, service.http_addr());
    match service.run(stop).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(fatal) => {
            eprintln!("darkroom: {:#}", anyhow::Error::msg(fatal.to_string()));
            Ok(ExitCode::from(fatal.exit_code()))
        }
    }
}

fn announce(services: &Services, dir: &Path, http: Option<SocketAddr>) {
    let (redis, s3) = (services.redis.url(), &services.s3.endpoint_url);
    println!(
        "worker in this process, Redis at {redis}, S3 at {s3}, data in {}; Ctrl-C stops all",
        dir.display()
    );
    if let Some(http) = http {
        println!("HTTP at http://{http}, its contract at http://{http}/openapi.json");
    }
    for (variable, value) in services.environment() {
        println!("export {variable}={value}");
    }
}
