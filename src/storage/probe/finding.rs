//! What should be mended about a bucket that works, or about the settings that go with it.

use serde::{Deserialize, Serialize};

use super::{Latencies, Learnt, Versioning};
use crate::config::OpenedNetworks;

/// A request that takes longer than this is a finding. Four follow each other, so that a server which is slow is told
/// from one that is away.
const SLOW_MS: u64 = 500;

/// A clock that is this far off is a finding. S3 refuses at 15 minutes; the SDK signs requests by the server's clock once
/// it was told it, but URLs by ours.
const SKEW_MS: i64 = 60_000;

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
    /// URLs may lead to addresses that are otherwise refused.
    FetchOpened,
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
            Self::FetchOpened => "fetch_opened",
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
            Self::ClockSkew => {
                "Synchronize this machine's clock (NTP): S3 refuses what was signed at another time, URLs for uploads first."
            }
            Self::Slow => {
                "Look at the server's load, and at the way to it; a bucket in the same region answers in milliseconds."
            }
            Self::FetchOpened => {
                "Unset DARKROOM_FETCH_ALLOW_CIDRS, unless everybody who may enqueue an ingest job may reach what is there."
            }
        }
    }
}

impl Finding {
    fn new(code: FindingCode, message: String) -> Self {
        Self { code, message, hint: code.hint().to_owned() }
    }

    /// Says that networks were opened to URLs; which, is nothing for those who may read a report.
    pub fn of_networks(opened: &OpenedNetworks) -> Option<Self> {
        let message = "DARKROOM_FETCH_ALLOW_CIDRS opens networks to URLs that are not public";
        opened.are_there().then(|| Self::new(FindingCode::FetchOpened, message.to_owned()))
    }
}

/// What follows from what a probe learnt and measured.
pub(super) fn findings(learnt: &Learnt, latency: &Latencies) -> Vec<Finding> {
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
    found.into_iter().flatten().map(|(code, message)| Finding::new(code, message)).collect()
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
