//! Asks a bucket how it is: HEAD, a canary that is put, got and deleted, and what can be learnt beside.
//!
//! Never takes longer than 3 s whatever the server does, never fails, never shows credentials.

mod canary;
mod facts;
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

/// How long a probe may take in all; its answer is there within 3 s.
const LIMIT: Duration = Duration::from_millis(2_800);

/// A request that takes longer than this is a finding. Four follow each other, so that a server which is slow is told
/// from one that is away.
const SLOW_MS: u64 = 500;

/// A clock that is this far off is a finding; S3 refuses requests at 15 minutes.
const SKEW_MS: i64 = 60_000;

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

/// Something that should be mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub code: FindingCode,
    /// What was found.
    pub message: String,
    /// What can be done.
    pub hint: String,
}

/// The closed list of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// No lifecycle rule removes abandoned originals.
    StagingLifecycleMissing,
    /// Anybody can read originals.
    StagingPublic,
    /// The bucket keeps versions.
    Versioned,
    /// `If-None-Match: *` is not honoured.
    ConditionalWritesMissing,
    /// Our clock and the server's differ.
    ClockSkew,
    /// A request took longer than half a second.
    Slow,
}

impl FindingCode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StagingLifecycleMissing => "staging_lifecycle_missing",
            Self::StagingPublic => "staging_public",
            Self::Versioned => "versioned",
            Self::ConditionalWritesMissing => "conditional_writes_missing",
            Self::ClockSkew => "clock_skew",
            Self::Slow => "slow",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::StagingLifecycleMissing => {
                "Add a lifecycle rule that expires objects below staging/ after a few days."
            }
            Self::StagingPublic => {
                "Make the bucket private, or set S3_STAGING_BUCKET to one that is: originals carry GPS positions."
            }
            Self::Versioned => {
                "Suspend versioning, or add a lifecycle rule that expires noncurrent versions: deletions remove all \
                 versions, but every overwrite is kept and paid."
            }
            Self::ConditionalWritesMissing => {
                "Nothing has to be done: the bucket is asked with HEAD before each PUT. Two jobs for one image_id at the \
                 same moment may both store."
            }
            Self::ClockSkew => "Synchronize this machine's clock (NTP): S3 refuses requests at 15 minutes.",
            Self::Slow => {
                "Look at the server's load, and at the way to it; a bucket in the same region answers in milliseconds."
            }
        }
    }
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
        let mut outcome = self.canary_round(&mut measured, deadline).await;
        if outcome.is_ok() {
            outcome = self.ask_beside(&mut told, deadline).await;
        }
        if let Some(honoured) = measured.conditional {
            self.conditional.learn(honoured);
        }
        self.report(measured, told, outcome)
    }

    /// Asks whether jobs can be done, and nothing else, within 3 s: HEAD, PUT, GET and DELETE of a canary, and the PUT
    /// of one among the originals.
    ///
    /// # Errors
    ///
    /// What a job would fail with.
    pub async fn check(&self) -> Result<(), Error> {
        let deadline = Instant::now() + LIMIT;
        let mut measured = Measured::default();
        // At once: a server that is merely slow has no time for one after the other.
        tokio::try_join!(self.canary_round(&mut measured, deadline), self.try_staging(deadline)).map(drop)
    }

    fn report(&self, measured: Measured, told: Told, outcome: Result<(), Error>) -> Health {
        let learnt = Learnt {
            conditional_writes: measured.conditional,
            versioning: told.versioning,
            staging_lifecycle: told.staging_lifecycle,
            staging_public: told.staging_public,
            clock_skew_ms: measured.clock_skew_ms,
        };
        let findings = findings(&learnt, &measured.latency);
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
                hint: error.code().hint().to_owned(),
            }),
            learnt,
            last_hour: LastHour::default(),
        }
    }
}

fn findings(learnt: &Learnt, latency: &Latencies) -> Vec<Finding> {
    let slowest = [latency.head, latency.put, latency.get, latency.delete].into_iter().flatten().max();
    let slow = slowest.filter(|ms| *ms > SLOW_MS);
    let skew = learnt.clock_skew_ms.filter(|ms| ms.abs() > SKEW_MS);
    let found = [
        (learnt.staging_lifecycle == Some(false)).then(|| {
            let message = "no expiry rule for staging/: abandoned originals pile up".to_owned();
            (FindingCode::StagingLifecycleMissing, message)
        }),
        (learnt.staging_public == Some(true)).then(|| {
            (
                FindingCode::StagingPublic,
                "anybody can read originals below staging/ without a signature".to_owned(),
            )
        }),
        (learnt.versioning == Versioning::On)
            .then(|| (FindingCode::Versioned, "the bucket keeps old versions of its objects".to_owned())),
        (learnt.conditional_writes == Some(false)).then(|| {
            (FindingCode::ConditionalWritesMissing, "the bucket ignores If-None-Match: * on PUT".to_owned())
        }),
        skew.map(|ms| {
            let side = if ms > 0 { "ahead of" } else { "behind" };
            (FindingCode::ClockSkew, format!("the server's clock is {} s {side} ours", ms.abs() / 1_000))
        }),
        slow.map(|ms| (FindingCode::Slow, format!("a request took {ms} ms"))),
    ];
    let finding =
        |(code, message): (FindingCode, String)| Finding { code, message, hint: code.hint().to_owned() };
    found.into_iter().flatten().map(finding).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Learnt = Learnt {
        conditional_writes: Some(true),
        versioning: Versioning::Off,
        staging_lifecycle: Some(true),
        staging_public: Some(false),
        clock_skew_ms: Some(-1_000),
    };

    fn codes(learnt: &Learnt, slowest: u64) -> Vec<FindingCode> {
        let latency = Latencies { head: Some(1), put: Some(slowest), get: None, delete: None };
        findings(learnt, &latency).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn nothing_is_found_of_a_good_bucket_or_of_one_that_tells_nothing() {
        assert_eq!(codes(&GOOD, SLOW_MS), []);
        assert_eq!(codes(&Learnt::default(), SLOW_MS), []);
    }

    #[test]
    fn each_oddity_is_a_finding_of_its_own() {
        let odd = [
            (Learnt { staging_lifecycle: Some(false), ..GOOD }, FindingCode::StagingLifecycleMissing),
            (Learnt { staging_public: Some(true), ..GOOD }, FindingCode::StagingPublic),
            (Learnt { versioning: Versioning::On, ..GOOD }, FindingCode::Versioned),
            (Learnt { conditional_writes: Some(false), ..GOOD }, FindingCode::ConditionalWritesMissing),
            (Learnt { clock_skew_ms: Some(SKEW_MS + 1), ..GOOD }, FindingCode::ClockSkew),
            (Learnt { clock_skew_ms: Some(-SKEW_MS - 1), ..GOOD }, FindingCode::ClockSkew),
        ];

        for (learnt, expected) in odd {
            assert_eq!(codes(&learnt, SLOW_MS), [expected]);
        }
        assert_eq!(codes(&GOOD, SLOW_MS + 1), [FindingCode::Slow]);
    }
}
