//! What every route may use.

use std::{sync::Arc, time::Duration};

use darkroom_jobs::{Kind, Producer, wire::Connection};
use redis::Client;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    auth::Tokens,
    body::Memory,
    health::{Doubt, Prober},
    metrics::Metrics,
    problem::Problem,
};
use crate::{
    queue::{health::HealthBoard, inspect::Inspector, operate::Operator, vitals::Vitals},
    storage::Storage,
};

/// How long Redis may take for one request.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What every route may use. Cloning shares it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// See [`App`].
pub struct Shared {
    pub tokens: Tokens,
    pub producer: Producer,
    pub inspector: Inspector,
    pub operator: Operator,
    pub redis: Connection,
    /// For a connection of its own.
    pub client: Client,
    pub doubt: Doubt,
    pub storage: Storage,
    pub board: HealthBoard,
    pub prober: Prober,
    pub vitals: Vitals,
    pub memory: Memory,
    /// Places for requests that are not of probes: the other connections are there for those.
    pub requests: Semaphore,
    /// Places for long polls: the other connections are there for everybody else.
    pub waits: Semaphore,
    pub max_waiting: Option<u64>,
    pub metrics: Metrics,
    /// The contract, as JSON.
    pub contract: String,
    /// Becomes `true` when the service ends.
    pub ending: watch::Receiver<bool>,
}

impl App {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Returns when the service ends: whoever waits for long answers now.
    pub async fn ending(&self) {
        let mut ending = self.0.ending.clone();
        // A sender that is gone has ended too.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// Refuses what would make more jobs wait in a queue than may.
    ///
    /// # Errors
    ///
    /// 429 `queue_full`; 503 when Redis is away, also without a limit: better before a body was read than after. It waits
    /// for Redis as long as it is let: see [`within`].
    pub async fn admit(&self, kind: Kind, jobs: u64) -> Result<(), Problem> {
        let counts = self.inspector.counts(kind).await?;
        let waiting = counts.active + counts.scheduled;
        match self.max_waiting {
            Some(most) if waiting.saturating_add(jobs) > most => {
                let detail = format!("{waiting} jobs wait in queue {kind}, DARKROOM_MAX_WAITING is {most}");
                Err(Problem::queue_full(detail))
            }
            _ => Ok(()),
        }
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Waits for Redis, but not for long.
///
/// # Errors
///
/// 503 when it does not answer; what was asked may have been done.
pub async fn within<T, E: Into<Problem>>(asked: impl Future<Output = Result<T, E>>) -> Result<T, Problem> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Problem::queue_unavailable()),
    }
}
