//! What the bucket's client measures; who renders it is not known here.

use std::{error::Error as StdError, time::Instant};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{
    Storage,
    error::{Error, ErrorKind},
};

/// Upper ends of the buckets, seconds: a HEAD nearby up to the time that one operation may take.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0, 10.0, 45.0];

/// What the client measures. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    round_trips: Family<Asked, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    operation: &'static str,
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { round_trips: Family::new_with_constructor(|| Histogram::new(BUCKETS)) }
    }
}

impl Metrics {
    /// Lets a registry render them.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time that S3 took for one operation, with the client's own retries";
        registry.register("darkroom_s3_round_trip_seconds", help, self.round_trips.clone());
    }
}

impl Storage {
    /// What this client measures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits for an answer, and notes how long it took.
    pub(super) async fn ask<T, E>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        #[cfg(feature = "test-hooks")]
        crate::stops::asks(operation).await;
        let asked_at = Instant::now();
        let answer = asked.await.map_err(|error| Error::of(operation, error));
        let outcome = answer.as_ref().map_or_else(|error| word(error.kind()), |_| "ok");
        let of = Asked { operation, outcome };
        self.metrics.round_trips.get_or_create(&of).observe(asked_at.elapsed().as_secs_f64());
        answer
    }
}

const fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not_found",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Changed => "changed",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Throttled => "throttled",
        ErrorKind::Denied => "denied",
        ErrorKind::Misconfigured => "misconfigured",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::VerifyFailed => "verify_failed",
    }
}
