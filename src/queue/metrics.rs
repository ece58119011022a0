//! What the queue measures; who renders it is not known here.

use std::time::Duration;

use darkroom_jobs::Kind;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use redis::RedisResult;
use tokio::time::Instant;

/// Upper ends of the buckets, seconds: one answer of a Redis nearby up to the time that is waited for one.
const BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 6.0];

/// What the queue measures. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    leases_lost: Family<OfKind, Counter>,
    jobs_recovered: Family<OfKind, Counter>,
    round_trips: Family<OfCall, Histogram, fn() -> Histogram>,
}

/// What Redis was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// For ready jobs.
    Claim,
    /// To end a delivery.
    Settle,
    /// To take a job back.
    Return,
    /// To renew leases.
    Extend,
    /// For the upkeep of all queues.
    Tick,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCall {
    call: &'static str,
    outcome: &'static str,
}

impl Call {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Return => "return",
            Self::Extend => "extend",
            Self::Tick => "tick",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            leases_lost: Family::default(),
            jobs_recovered: Family::default(),
            round_trips: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Metrics {
    /// Lets a registry render them.
    pub fn register(&self, registry: &mut Registry) {
        let lost = "Leases of this process that another worker may have by now";
        registry.register("darkroom_leases_lost", lost, self.leases_lost.clone());
        let recovered = "Jobs that this process sent round again because their lease ran out";
        registry.register("darkroom_jobs_recovered", recovered, self.jobs_recovered.clone());
        let trips = "Time that Redis took for one call";
        registry.register("darkroom_redis_round_trip_seconds", trips, self.round_trips.clone());
    }

    pub(super) fn lease_lost(&self, kind: Kind) {
        self.leases_lost.get_or_create(&OfKind { kind: kind.as_str() }).inc();
    }

    pub(super) fn recovered(&self, kind: Kind, jobs: u64) {
        self.jobs_recovered.get_or_create(&OfKind { kind: kind.as_str() }).inc_by(jobs);
    }

    /// Waits for an answer, and notes how long it took.
    pub(super) async fn timed<T>(
        &self,
        call: Call,
        asked: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let asked_at = Instant::now();
        let answer = asked.await;
        self.took(call, answer.is_ok(), asked_at.elapsed());
        answer
    }

    pub(super) fn took(&self, call: Call, answered: bool, time: Duration) {
        let outcome = if answered { "ok" } else { "error" };
        let of = OfCall { call: call.as_str(), outcome };
        self.round_trips.get_or_create(&of).observe(time.as_secs_f64());
    }
}
