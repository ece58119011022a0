//! Asks a bucket how it is: HEAD, a canary that is put, got and deleted, and what can be learnt beside.
//!
//! Never takes longer than 3 s whatever the server does, never fails, never shows credentials.

mod canary;
mod facts;
pub mod finding;
pub mod record;

use std::time::{Duration, SystemTime};

use darkroom_jobs::{ErrorCode, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{
    Storage,
    error::{Error, ErrorKind},
};
use canary::Measured;
use facts::Told;
use finding::{Finding, findings};

/// How long a probe may take in all; its answer is there within 3 s.
const LIMIT: Duration = Duration::from_millis(2_800);

/// How a bucket is, as `GET /api/storage/health` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// What it comes to.
    pub status: HealthStatus,
    /// `S3_BUCKET`.
    pub bucket: String,
    /// Where the server is; never with credentials.
    pub endpoint: String,
    /// When the bucket was asked: by Redis' clock in a periodic report, by this machine's in one made now.
    pub checked_at: Timestamp,
    /// How long ago that was when the report was served.
    pub age_ms: u64,
    /// How long each request took.
    pub latency_ms: Latencies,
    /// Probes in a row that found the bucket down.
    pub consecutive_failures: u32,
    /// What should be mended, though the bucket works.
    pub findings: Vec<Finding>,
    /// Why the bucket is down.
    pub error: Option<Failure>,
    /// What the bucket was found to be like.
    pub learnt: Learnt,
    /// When a probe last found the bucket working.
    pub last_success: Option<Timestamp>,
    /// What the periodic probes of the last hour took.
    pub last_hour: LastHour,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Works.
    Ok,
    /// Works, with a finding.
    Degraded,
    /// Does not work: no job can be done.
    Down,
}

impl HealthStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Milliseconds of each request; null for one that was not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// HEAD of the bucket.
    pub head: Option<u64>,
    /// PUT of the canary.
    pub put: Option<u64>,
    /// GET of the canary.
    pub get: Option<u64>,
    /// DELETE of the canary.
    pub delete: Option<u64>,
}

/// Why a bucket is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The word that jobs would fail with.
    pub code: ErrorCode,
    /// What failed.
    pub message: String,
    /// What can be done.
    pub hint: String,
}

/// What a bucket was found to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// Whether `If-None-Match: *` is honoured; null when it could not be told.
    pub conditional_writes: Option<bool>,
    /// Whether versions are kept.
    pub versioning: Versioning,
    /// Whether a rule expires what is below `staging/`; null when it could not be told.
    pub staging_lifecycle: Option<bool>,
    /// Whether anybody can read what is below `staging/`; null when it could not be told.
    pub staging_public: Option<bool>,
    /// How far the server's clock is ahead of ours.
    pub clock_skew_ms: Option<i64>,
}

/// Whether a bucket keeps versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// It does.
    On,
    /// It did, and may have old ones.
    Suspended,
    /// It never did.
    Off,
    /// The server does not tell, or not us.
    #[default]
    Unknown,
}

/// What the periodic probes of the last hour took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHour {
    /// Probes.
    pub probes: u32,
    /// Those that found the bucket down.
    pub failures: u32,
    /// Of HEAD.
    pub head_ms: Option<Quantiles>,
    /// Of PUT.
    pub put_ms: Option<Quantiles>,
    /// Of GET.
    pub get_ms: Option<Quantiles>,
    /// Of DELETE.
    pub delete_ms: Option<Quantiles>,
}

/// Milliseconds that half, and 95 of 100 requests stayed within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
}

impl Storage {
    /// Asks the bucket how it is. Answers within 3 s; a bucket that cannot be used is an answer too. The report stands
    /// alone: [`record::Record`] joins it to those before.
    pub async fn probe(&self) -> Health {
        let deadline = Instant::now() + LIMIT;
        let mut measured = Measured::default();
        let mut told = Told::default();
        let mut outcome = self.first_contact(&mut measured, deadline).await;
        if outcome.is_ok() {
            // At once: a server that is merely slow has no time for one after the other.
            let (kept, beside) = tokio::join!(
                self.canary_round(&mut measured, deadline),
                self.ask_beside(&mut told, deadline)
            );
            outcome = kept.and(beside);
        }
        if let Some(honoured) = measured.conditional {
            self.conditional.learn(honoured);
        }
        self.report(measured, told, outcome)
    }

    /// Asks whether jobs can be done, and nothing else, within 3 s. What makes a [`probe`](Self::probe) say `down` is an
    /// error here, and nothing else is: a report of a bucket that works is no comfort while jobs wait.
    ///
    /// # Errors
    ///
    /// What a job would fail with.
    pub async fn check(&self) -> Result<(), Error> {
        let deadline = Instant::now() + LIMIT;
        let mut measured = Measured::default();
        self.first_contact(&mut measured, deadline).await?;
        tokio::try_join!(self.canary_round(&mut measured, deadline), self.staging_round(deadline)).map(drop)
    }

    fn report(&self, measured: Measured, told: Told, outcome: Result<(), Error>) -> Health {
        let learnt = Learnt {
            conditional_writes: measured.conditional,
            versioning: told.versioning,
            staging_lifecycle: told.staging_lifecycle,
            staging_public: told.staging_public,
            clock_skew_ms: measured.clock_skew_ms,
        };
        let mut findings = findings(&learnt, &measured.latency);
        findings.extend(self.standing.iter().cloned());
        let checked_at = now();
        let status = match &outcome {
            Err(_) => HealthStatus::Down,
            Ok(()) if findings.is_empty() => HealthStatus::Ok,
            Ok(()) => HealthStatus::Degraded,
        };
        Health {
            status,
            bucket: self.bucket().to_owned(),
            endpoint: self.endpoint(),
            checked_at,
            age_ms: 0,
            latency_ms: measured.latency,
            consecutive_failures: u32::from(outcome.is_err()),
            findings,
            last_success: outcome.is_ok().then_some(checked_at),
            error: outcome.err().map(|error| Failure {
                code: error.code(),
                message: error.to_string(),
                hint: error.hint().to_owned(),
            }),
            learnt,
            last_hour: LastHour::default(),
        }
    }
}

/// Waits for one request, until the probe's time is over.
async fn within<T>(
    deadline: Instant,
    operation: &'static str,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| Err(Error::because(ErrorKind::Unavailable, operation, "no answer within 3 s"));
    timeout_at(deadline, request).await.unwrap_or_else(late)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
