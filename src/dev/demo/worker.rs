//! The demo's worker: the same program once more, as a process of its own.
#![expect(clippy::disallowed_methods, reason = "dev starts the processes that the demo needs")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::dev::services::Services;

/// A running worker; dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts it with settings for these servers, and with short pauses between tries.
    ///
    /// # Errors
    ///
    /// When the process does not start.
    pub fn start(services: &Services, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("could not create {}", log.display()))?;
        let us = std::env::current_exe().context("could not find this program")?;
        let process = Command::new(us)
            .arg("worker")
            .envs(services.environment())
            .env("DARKROOM_RETRY_BASE_MS", "1000")
            .env("DARKROOM_HTTP_ADDR", "")
            .env("DARKROOM_LOG", "info")
            .env("DARKROOM_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("could not start a worker")?;
        Ok(Self { process, log: log.to_owned() })
    }

    /// Asks it to stop, as a supervisor would, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it ended before, or does not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self
            .process
            .id()
            .with_context(|| format!("the worker ended by itself, see {}", self.log.display()))?;
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        let status = timeout(Duration::from_secs(30), self.process.wait())
            .await
            .context("the worker did not stop")??;
        ensure!(status.success(), "the worker ended with {status}, see {}", self.log.display());
        Ok(())
    }
}
