//! What fetching measures; who renders it is not known here.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::error::Failure;
use crate::sources::Original;

/// What fetching measures. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    fetches: Family<Outcome, Counter>,
    connections: Counter,
    bytes: Counter,
    running: Gauge,
}

/// How a fetch ended: `fetched`, `deferred`, or an error code.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A fetch in work; it is counted until this is dropped.
pub(super) struct InWork(Gauge);

impl Metrics {
    /// Lets a registry render them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("darkroom_fetches", "Fetches of URLs, by how they ended", self.fetches.clone());
        let help = "Connections to hosts of URLs that were begun";
        registry.register("darkroom_fetch_connections", help, self.connections.clone());
        registry.register("darkroom_fetch_bytes", "Bytes of originals from URLs", self.bytes.clone());
        registry.register("darkroom_fetches_running", "Fetches in work", self.running.clone());
    }

    pub(super) fn begin(&self) -> InWork {
        self.running.inc();
        InWork(self.running.clone())
    }

    pub(super) fn connecting(&self) {
        self.connections.inc();
    }

    pub(super) fn ended(&self, result: &Result<Original, Failure>) {
        let outcome = match result {
            Ok(original) => {
                self.bytes.inc_by(original.bytes.len() as u64);
                "fetched"
            }
            Err(Failure::Error(error)) => error.code().as_str(),
            Err(Failure::Deferred { .. }) => "deferred",
            Err(Failure::Queue(_)) => "queue_unavailable",
        };
        self.fetches.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.dec();
    }
}
