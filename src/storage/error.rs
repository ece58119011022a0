//! What can go wrong between us and the bucket.

use std::{error::Error as StdError, fmt, io, time::Duration};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use darkroom_jobs::ErrorCode;

use super::cause::Cause;

/// Longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// The object is larger than the caller takes.
    TooLarge,
    /// The object is not the one that the caller named by its ETag.
    Changed,
    /// Another picture is stored under this key.
    Conflict,
    /// Time-outs, broken connections and 5xx, after the client's own retries.
    Unavailable,
    /// The server asks us to slow down.
    Throttled,
    /// The server refused access.
    Denied,
    /// A setting is wrong: the bucket does not exist, or the server does not take such requests.
    Misconfigured,
    /// The server does not know this operation.
    Unsupported,
    /// What the server keeps is not what was sent, or what it sent is not whole.
    VerifyFailed,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such object",
            Self::TooLarge => "the object is too large",
            Self::Changed => "the object is another one by now",
            Self::Conflict => "another picture is stored under this key",
            Self::Unavailable => "the bucket could not be reached",
            Self::Throttled => "the bucket asks us to slow down",
            Self::Denied => "the bucket refused access",
            Self::Misconfigured => "the bucket's settings are wrong",
            Self::Unsupported => "the server does not know this operation",
            Self::VerifyFailed => "the bucket did not keep what was sent",
        })
    }
}

/// A request to the bucket that failed. The message leaves the cause to `source()`.
#[derive(Debug, thiserror::Error)]
#[error("{kind} ({operation}){}{}", if cause.is_some() { ": " } else { "" }, cause.map(Cause::message).unwrap_or_default())]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    /// Which setting to look at.
    cause: Option<Cause>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, cause: None, retry_after: None, source: None }
    }

    pub(super) fn because(
        kind: ErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, operation) }
    }

    pub(super) fn of<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let cause = reason_of(&error);
        let kind = cause.map_or_else(|| kind_of(&error), Cause::kind);
        let retry_after = error.raw_response().and_then(retry_after);
        Self { retry_after, cause, ..Self::because(kind, operation, words_of(&error)) }
    }

    /// A 404 about a bucket itself: there is none of that name.
    pub(super) fn about_a_bucket(self) -> Self {
        match self.kind {
            ErrorKind::NotFound => {
                let cause = Cause::NoBucket;
                Self { kind: cause.kind(), cause: Some(cause), ..self }
            }
            _ => self,
        }
    }

    /// Whether the server refused us without saying why.
    pub(super) fn is_wordless(&self) -> bool {
        matches!(self.kind, ErrorKind::Denied | ErrorKind::Misconfigured)
            && matches!(self.cause, None | Some(Cause::Wordless))
    }

    /// The same about another operation.
    pub(super) fn during(self, operation: &'static str) -> Self {
        Self { operation, ..self }
    }

    /// The operation of S3 that failed.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What whoever runs this can do about it, in a sentence or two that name the setting.
    pub fn hint(&self) -> &'static str {
        match (self.cause, self.kind) {
            (Some(cause), _) => cause.hint(),
            (None, ErrorKind::Unavailable) => {
                "Check S3_ENDPOINT_URL, the way from here to the server, and the server itself."
            }
            (None, ErrorKind::Throttled) => {
                "Ask the provider for more requests a second, or lower DARKROOM_CONCURRENCY_UPLOAD and \
                 DARKROOM_CONCURRENCY_INGEST."
            }
            (None, ErrorKind::VerifyFailed) => {
                "What was got is not what was put: look for a cache or proxy between here and S3_ENDPOINT_URL, then at \
                 the server."
            }
            (None, _) => self.code().hint(),
        }
    }

    /// The word for receipts and alerts. [`ErrorKind::NotFound`] and [`ErrorKind::TooLarge`] are about an original.
    pub fn code(&self) -> ErrorCode {
        match self.kind {
            ErrorKind::NotFound => ErrorCode::SourceMissing,
            ErrorKind::TooLarge => ErrorCode::SourceTooLarge,
            ErrorKind::Changed => ErrorCode::SourceChanged,
            ErrorKind::Conflict => ErrorCode::KeyConflict,
            ErrorKind::Unavailable | ErrorKind::Throttled => ErrorCode::StorageUnavailable,
            ErrorKind::Denied => ErrorCode::StorageDenied,
            ErrorKind::Misconfigured | ErrorKind::Unsupported => ErrorCode::StorageMisconfigured,
            ErrorKind::VerifyFailed => ErrorCode::StorageVerifyFailed,
        }
    }
}

fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn reason_of<E>(error: &SdkError<E, HttpResponse>) -> Option<Cause>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let beneath = beneath(error, &|error| match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_)) => Some(Cause::Certificate),
        _ => error.downcast_ref().map(Cause::of_credentials),
    });
    beneath.or_else(|| Cause::of(status_of(error), word_of(error)))
}

/// The server's own words, or the innermost reason why it was not reached: what lies between is for debuggers.
fn words_of<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(refusal) = error.as_service_error() {
        return match (refusal.code(), refusal.message().filter(|message| !message.is_empty())) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => {
                format!("the server answered {}", status_of(error).unwrap_or_default())
            }
        };
    }
    let outermost: &(dyn StdError + 'static) = error;
    let reasons = std::iter::successors(Some(outermost), |&reason| reason.source());
    reasons.last().map(ToString::to_string).unwrap_or_default()
}

fn word_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// The cause that is seen in the error, or in one that it stems from.
fn beneath(
    error: &(dyn StdError + 'static),
    seen: &dyn Fn(&(dyn StdError + 'static)) -> Option<Cause>,
) -> Option<Cause> {
    // `source()` of an I/O error skips the error that it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    seen(error).or_else(|| beneath(wrapped?, seen)).or_else(|| beneath(error.source()?, seen))
}

/// What went wrong where the cause is none that [`Cause`] knows.
fn kind_of<E>(error: &SdkError<E, HttpResponse>) -> ErrorKind
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => return ErrorKind::Misconfigured,
        SdkError::DispatchFailure(failure) if failure.is_user() => return ErrorKind::Misconfigured,
        _ => {}
    }
    match (status_of(error), word_of(error)) {
        (_, "SlowDown") | (Some(429), _) => ErrorKind::Throttled,
        (_, "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch") => ErrorKind::VerifyFailed,
        (_, "RequestTimeout" | "IncompleteBody") => ErrorKind::Unavailable,
        (_, "EntityTooLarge") => ErrorKind::TooLarge,
        (Some(404), _) => ErrorKind::NotFound,
        (Some(412), _) => ErrorKind::Changed,
        (Some(501), _) | (_, "NotImplemented") => ErrorKind::Unsupported,
        (Some(408 | 409), _) => ErrorKind::Unavailable,
        (Some(300..=499), _) => ErrorKind::Misconfigured,
        _ => ErrorKind::Unavailable,
    }
}

/// Seconds of `Retry-After`; a date is not understood.
pub(super) fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds: u64 = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
