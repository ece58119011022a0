//! Why a URL gave no original.
//!
//! Messages reach the merchant: they never have an address, a byte of an answer, or a time.

use std::{borrow::Cow, time::Duration};

use darkroom_jobs::ErrorCode;
use redis::RedisError;
use serde_json::{Value, json};

/// Why a URL gave no original.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: ErrorCode,
    message: Cow<'static, str>,
    http_status: Option<u16>,
    retry_after: Option<Duration>,
}

impl Error {
    /// With a message that is the same for every URL.
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), http_status: None, retry_after: None }
    }

    /// An answer other than 200.
    pub(super) fn status(code: ErrorCode, status: u16, retry_after: Option<Duration>) -> Self {
        let message = Cow::Owned(format!("the server answered {status}"));
        Self { code, message, http_status: Some(status), retry_after }
    }

    /// The word for receipts and alerts.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// How long the server asked us to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Facts for the receipt.
    pub fn detail(&self) -> Option<Value> {
        self.http_status.map(|status| json!({ "http_status": status }))
    }

    /// Whether the host failed, and not the one file or the request: ten in a row, and its jobs wait.
    pub(super) const fn is_the_hosts(&self) -> bool {
        use ErrorCode as Code;
        matches!(
            self.code,
            Code::ConnectFailed
                | Code::ConnectTimeout
                | Code::TlsFailed
                | Code::Http5xx
                | Code::HttpInvalidResponse
                | Code::DownloadTimeout
                | Code::DownloadTooSlow
                | Code::DownloadIncomplete
        )
    }
}

/// How a fetch ends that gives no original. Everybody who waited for it gets the same.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It failed.
    Error(Error),
    /// It has not begun: the host's turn comes later.
    Deferred {
        /// From now.
        after: Duration,
        /// What the next delivery has to know.
        note: Option<String>,
    },
    /// Redis did not give out a turn.
    Queue(RedisError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
