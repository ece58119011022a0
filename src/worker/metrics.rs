//! What the worker measures: what became of jobs.

use darkroom_jobs::Receipt;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Label of a job that did not fail.
const NO_CODE: &str = "none";

/// What the worker measures. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    jobs: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    outcome: &'static str,
    code: &'static str,
}

impl Metrics {
    /// Lets a registry render them.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Deliveries that this process settled, by the status that they gave and the code they failed with";
        registry.register("darkroom_jobs", help, self.jobs.clone());
    }

    /// Counts a settlement that stands.
    pub fn settled(&self, receipt: &Receipt) {
        let code = receipt.error.as_ref().map_or(NO_CODE, |error| error.code.as_str());
        let outcome = Outcome { kind: receipt.kind.as_str(), outcome: receipt.status.as_str(), code };
        self.jobs.get_or_create(&outcome).inc();
    }
}
