//! A worker with the HTTP service beside it, as `worker` and `dev` run it.

use std::time::Duration;

use prometheus_client::registry::Registry;
use tracing::warn;

use crate::{
    config::{
        self,
        check::{Problem, Problems},
        unknown::{self, Unknown},
    },
    http,
    worker::{self, Fatal, Settings},
};

/// From the signal until the last request has ended; a supervisor kills after 28 s.
const STOP_TIME: Duration = Duration::from_millis(26_500);
/// What requests have to end when the worker took that long.
const LEAST: Duration = Duration::from_millis(300);
/// What they have otherwise.
const MOST: Duration = Duration::from_secs(4);

/// Says which variables have no effect, before anything else is said about settings.
pub fn warn_of_unknown_variables() {
    for Unknown { variable, nearest } in unknown::in_environment() {
        warn!(variable, nearest, "environment variable is no setting");
    }
}

/// Both, before they begin: the port is taken, nothing is connected.
pub struct Service {
    settings: Settings,
    parts: worker::Parts,
    server: Option<http::Server>,
}

impl Service {
    /// # Errors
    ///
    /// Settings that cannot be used, a port that is taken among them.
    pub async fn prepare(settings: Settings, http: &config::Http) -> anyhow::Result<Self> {
        let parts = worker::Parts::new(&settings).await?;
        let (storage, vitals) = (parts.tools.storage.clone(), parts.vitals.clone());
        let mut registry = Registry::default();
        parts.register(&mut registry);
        let beside = http::Parts { storage, vitals, registry, attempts: settings.worker.attempts };
        let server = http::Server::bind(http, &settings.redis, beside).await;
        let server = server.map_err(|error| Problems(vec![named(&error)]))?;
        Ok(Self { settings, parts, server })
    }

    /// Where the HTTP service listens.
    #[cfg(feature = "dev")]
    pub fn http_addr(&self) -> Option<std::net::SocketAddr> {
        self.server.as_ref().map(http::Server::addr)
    }

    /// Runs both until `signal`; the HTTP service answers until the worker has ended.
    ///
    /// # Errors
    ///
    /// What ends a worker by itself.
    pub async fn run<S, T>(self, signal: S) -> Result<(), Fatal>
    where
        S: Future<Output = T> + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let serving = self.server.map(http::Server::start);
        let vitals = self.parts.vitals.clone();
        let ended = worker::run(self.settings, self.parts, signal).await;
        if let Some(serving) = serving {
            let left = STOP_TIME.saturating_sub(vitals.stopping_for().unwrap_or_default());
            serving.stop(left.clamp(LEAST, MOST)).await;
        }
        ended
    }
}

fn named(error: &http::BindError) -> Problem {
    let variable = match error {
        http::BindError::Address(..) => "DARKROOM_HTTP_ADDR",
        http::BindError::Redis(_) => "DARKROOM_REDIS_URL",
        http::BindError::Producer(_) => "DARKROOM_NAMESPACE",
    };
    Problem { variable: variable.to_owned(), message: error.to_string() }
}
