//! Why one delivery of a job failed, and what becomes of the job: the only place that knows every room's errors.

use std::time::Duration;

use darkroom_jobs::ErrorCode;
use serde_json::Value;

use crate::{sandbox, sources, storage};

/// Why one delivery of a job failed. Messages are lowercase and leave the cause to `source()`.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The original could not be had.
    #[error("could not fetch the original")]
    Source(#[from] sources::Error),
    /// The file is not an image we accept.
    #[error("could not normalize the image")]
    Imaging(#[from] sandbox::Error),
    /// The bucket did not do what we asked.
    #[error("could not reach the object")]
    Storage(#[from] storage::Error),
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
            Self::Imaging(sandbox::Error::NoMemory) => {
                Verdict::Deferred { after: Duration::from_secs(30), note: None, limited: true }
            }
            Self::Storage(error) if error.retry_after.is_some() => {
                Verdict::Throttled { after: error.retry_after.unwrap_or_default() }
            }
            other => Verdict::of_code(other.code(), from_url),
        }
    }

    /// A stable word for receipts, metrics and alerts.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::Imaging(error) => error.code(),
            Self::Storage(error) => error.code(),
            Self::Queue(_) => ErrorCode::QueueUnavailable,
            Self::Superseded | Self::LeaseLost | Self::Deferred { .. } => ErrorCode::Internal,
        }
    }

    /// Facts for the receipt, depending on the code.
    pub fn detail(&self) -> Option<Value> {
        match self {
            Self::Imaging(error) => error.detail(),
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
