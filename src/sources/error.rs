//! Why an original could not be had.

use std::time::Duration;

use darkroom_jobs::ErrorCode;
use serde_json::Value;

use super::url::{self, error::Failure};
use crate::storage::error::Error as StorageError;

/// Why an original could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is staged under the key.
    #[error("there is no object under the staged key")]
    Missing(#[source] StorageError),
    /// Something else is staged than the job describes.
    #[error("the staged original has another {0} than the job gives")]
    Changed(&'static str),
    /// The content is not what the job describes.
    #[error("the staged original has the sha-256 {actual}, not {expected}")]
    ChecksumMismatch {
        /// As the job gives it.
        expected: String,
        /// Of what is there.
        actual: String,
    },
    /// No bytes.
    #[error("the original is empty")]
    Empty,
    /// More than 32 MiB.
    #[error("the original has more than 32 MiB")]
    TooLarge,
    /// More than 256 KiB in a job.
    #[error("the inline original has more than 256 KiB")]
    InlineTooLarge,
    /// Not the standard alphabet.
    #[error("the inline original is not base64")]
    Base64Invalid(#[source] base64::DecodeError),
    /// The URL, or the server that it leads to.
    #[error(transparent)]
    Url(#[from] url::error::Error),
    /// The turn of the URL's host comes later.
    #[error("put off until the host's turn")]
    Deferred {
        /// From now.
        after: Duration,
        /// For the next delivery.
        note: Option<String>,
    },
    /// Redis did not say whose turn it is at the URL's host.
    #[error("could not ask redis for the host's turn")]
    Queue(#[source] redis::RedisError),
    /// The bucket did not do what we asked.
    #[error("could not read the staged original")]
    Storage(#[source] StorageError),
}

impl Error {
    /// The word for receipts and alerts.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Missing(_) => ErrorCode::SourceMissing,
            Self::Changed(_) => ErrorCode::SourceChanged,
            Self::ChecksumMismatch { .. } => ErrorCode::SourceChecksumMismatch,
            Self::Empty => ErrorCode::SourceEmpty,
            Self::TooLarge => ErrorCode::SourceTooLarge,
            Self::InlineTooLarge => ErrorCode::SourceInlineTooLarge,
            Self::Base64Invalid(_) => ErrorCode::SourceBase64Invalid,
            Self::Url(error) => error.code(),
            Self::Queue(_) => ErrorCode::QueueUnavailable,
            // Never told: a job that is put off has no error.
            Self::Deferred { .. } => ErrorCode::Internal,
            Self::Storage(error) => error.code(),
        }
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Storage(error) => error.retry_after(),
            Self::Url(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Facts for the receipt, depending on the code.
    pub fn detail(&self) -> Option<Value> {
        match self {
            Self::Url(error) => error.detail(),
            _ => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(error) => Self::Url(error),
            Failure::Deferred { after, note } => Self::Deferred { after, note },
            Failure::Queue(error) => Self::Queue(error),
        }
    }
}
