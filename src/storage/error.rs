//! What can go wrong between us and the bucket.

use std::{error::Error as StdError, fmt, io, time::Duration};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use darkroom_jobs::ErrorCode;

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
#[error("{kind} ({operation}){}{}", if advice.is_some() { ": " } else { "" }, advice.unwrap_or_default())]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    /// Which setting to look at.
    advice: Option<&'static str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, advice: None, retry_after: None, source: None }
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
        let (kind, advice) = (kind_of(&error), advice_of(&error));
        let retry_after = error.raw_response().and_then(retry_after);
        Self { retry_after, advice, ..Self::because(kind, operation, cause_of(&error)) }
    }

    /// A 404 about a bucket itself: there is none of that name.
    pub(super) fn about_a_bucket(self) -> Self {
        match self.kind {
            ErrorKind::NotFound => Self { kind: ErrorKind::Misconfigured, advice: Some(NO_BUCKET), ..self },
            _ => self,
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
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

const NO_BUCKET: &str = "there is no such bucket, S3_BUCKET or S3_STAGING_BUCKET is wrong";
const CERTIFICATE: &str = "the certificate of the server at S3_ENDPOINT_URL is not trusted, S3_CA_BUNDLE names a file of those that are";

/// The setting that the server's word is about.
fn advice_of<E>(error: &SdkError<E, HttpResponse>) -> Option<&'static str>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if is_certificate(error) {
        return Some(CERTIFICATE);
    }
    let status = error.raw_response().map(|response| response.status().as_u16());
    Some(match (status, word_of(error)) {
        (_, "NoSuchBucket") => NO_BUCKET,
        (_, "InvalidAccessKeyId") => "S3_ACCESS_KEY_ID is not known there",
        (_, "SignatureDoesNotMatch") => "S3_SECRET_ACCESS_KEY does not go with S3_ACCESS_KEY_ID",
        (_, "RequestTimeTooSkewed") => "the clock of this machine is wrong",
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect")
        | (Some(301 | 307), _) => "S3_REGION or S3_ENDPOINT_URL is wrong",
        (Some(401 | 403), _) => "S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY is wrong, or the key lacks a right",
        _ => return None,
    })
}

/// The server's own words, or the innermost reason why it was not reached: what lies between is for debuggers.
fn cause_of<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(refusal) = error.as_service_error() {
        return match (refusal.code(), refusal.message().filter(|message| !message.is_empty())) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                format!("the server answered {}", status.unwrap_or_default())
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

/// Whether TLS failed because of who the server is.
fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // `source()` of an I/O error skips the error that it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.is_some_and(|wrapped| is_certificate(wrapped)) || error.source().is_some_and(is_certificate)
}

fn kind_of<E>(error: &SdkError<E, HttpResponse>) -> ErrorKind
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let status = match error {
        _ if is_certificate(error) => return ErrorKind::Misconfigured,
        SdkError::ConstructionFailure(_) => return ErrorKind::Misconfigured,
        SdkError::DispatchFailure(failure) if failure.is_user() => return ErrorKind::Misconfigured,
        _ => error.raw_response().map(|response| response.status().as_u16()),
    };
    match (status, word_of(error)) {
        (_, "NoSuchBucket" | "RequestTimeTooSkewed") => ErrorKind::Misconfigured,
        (_, "SlowDown") | (Some(429), _) => ErrorKind::Throttled,
        (_, "BadDigest" | "XAmzContentSHA256Mismatch") => ErrorKind::VerifyFailed,
        (_, "RequestTimeout" | "IncompleteBody") => ErrorKind::Unavailable,
        (_, "EntityTooLarge") => ErrorKind::TooLarge,
        (Some(404), _) => ErrorKind::NotFound,
        (Some(412), _) => ErrorKind::Changed,
        (Some(401 | 403), _) => ErrorKind::Denied,
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
