//! Why one delivery of a job failed, and what becomes of the job: the only place that knows every room's errors.

use std::time::Duration;

use darkroom_jobs::ErrorCode;
use serde_json::{Value, json};

use crate::{sandbox, sources, storage};

/// Why one delivery of a job failed. Messages are lowercase and leave the cause to `source()`.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The original could not be had.
    #[error("could not fetch the original")]
    Source(#[from] sources::error::Error),
    /// The file is not an image we accept.
    #[error("could not normalize the image")]
    Imaging(#[from] sandbox::Error),
    /// The bucket did not do what we asked.
    #[error("could not reach the object")]
    Storage(#[from] storage::error::Error),
    /// The bucket kept an object that was to be removed.
    #[error("{key} was not removed: {reason}")]
    NotRemoved {
        /// The object.
        key: String,
        /// S3's word.
        reason: String,
    },
    /// The bucket does not let something be removed: Object Lock, or a right that the key lacks.
    #[error("the bucket keeps {count} objects that were to be removed; one is {key}: {reason}")]
    ErasureBlocked {
        /// One of the objects.
        key: String,
        /// S3's word.
        reason: String,
        /// How many there are.
        count: u64,
    },
    /// Redis did not answer.
    #[error("could not ask redis")]
    Queue(#[from] redis::RedisError),
    /// The picture, or its owner, was deleted meanwhile.
    #[error("the picture was deleted meanwhile")]
    Superseded,
    /// Another worker may have the job.
    #[error("the job is another worker's by now")]
    LeaseLost,
    /// Ours to wait.
    #[error("put off")]
    Deferred {
        /// From now.
        after: Duration,
        /// For the next delivery.
        note: Option<String>,
        /// Whether such waiting is limited in all.
        limited: bool,
    },
}

/// What becomes of a job that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dead at once.
    Permanent,
    /// Again after back-off, counted; `tries` caps this failure (`None`: the job's own maximum).
    Retry {
        /// Attempts that may fail like this.
        tries: Option<u32>,
    },
    /// The other side told us when; not counted for a day.
    Throttled {
        /// From now.
        after: Duration,
    },
    /// Ours to wait; not counted. The note reaches the next delivery.
    Deferred {
        /// From now.
        after: Duration,
        /// For the next delivery.
        note: Option<String>,
        /// Whether such waiting is limited in all.
        limited: bool,
    },
    /// Final, and nobody's fault.
    Superseded,
    /// Nothing is said: another delivery reports.
    Lost,
}

impl JobError {
    /// What becomes of the job. `from_url`: the original came from a stranger's server, which may have cut it short.
    pub fn verdict(&self, from_url: bool) -> Verdict {
        match self {
            Self::Superseded => Verdict::Superseded,
            Self::LeaseLost => Verdict::Lost,
            Self::Deferred { after, note, limited } => {
                Verdict::Deferred { after: *after, note: note.clone(), limited: *limited }
            }
            Self::Source(sources::error::Error::Deferred { after, note }) => {
                Verdict::Deferred { after: *after, note: note.clone(), limited: true }
            }
            Self::Imaging(sandbox::Error::NoMemory | sandbox::Error::NoDecoder) => {
                Verdict::Deferred { after: Duration::from_secs(30), note: None, limited: true }
            }
            other => match other.retry_after() {
                Some(after) => Verdict::Throttled { after },
                None => Verdict::of_code(other.code(), from_url),
            },
        }
    }

    /// A stable word for receipts, metrics and alerts.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::Imaging(error) => error.code(),
            Self::Storage(error) => error.code(),
            Self::NotRemoved { .. } => ErrorCode::StorageUnavailable,
            Self::ErasureBlocked { .. } => ErrorCode::ErasureBlocked,
            Self::Queue(_) => ErrorCode::QueueUnavailable,
            Self::Superseded | Self::LeaseLost | Self::Deferred { .. } => ErrorCode::Internal,
        }
    }

    /// What the other side asked for.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source(error) => error.retry_after(),
            Self::Storage(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Facts for the receipt, depending on the code.
    pub fn detail(&self) -> Option<Value> {
        match self {
            Self::Imaging(error) => error.detail(),
            Self::Source(error) => error.detail(),
            Self::ErasureBlocked { key, reason, count } => {
                Some(json!({ "key": key, "reason": reason, "objects": count }))
            }
            _ => None,
        }
    }
}

impl Verdict {
    /// What becomes of a job that failed with this code.
    pub fn of_code(code: ErrorCode, from_url: bool) -> Self {
        match if from_url { code.tries_from_url() } else { code.tries() } {
            Some(1) => Self::Permanent,
            tries => Self::Retry { tries },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_s_fault_puts_its_job_off() {
        for error in [sandbox::Error::NoMemory, sandbox::Error::NoDecoder] {
            let verdict = JobError::from(error).verdict(false);

            assert!(matches!(verdict, Verdict::Deferred { limited: true, .. }), "{verdict:?}");
        }
    }

    #[test]
    fn a_picture_that_kills_decoders_is_tried_twice() {
        for error in [
            sandbox::Error::Crashed,
            sandbox::Error::OutOfMemory,
            sandbox::Error::Timeout(Duration::from_secs(20)),
        ] {
            assert_eq!(JobError::from(error).verdict(false), Verdict::Retry { tries: Some(2) });
        }
    }
}
