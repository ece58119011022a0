//! Every answer that is an error: `application/problem+json` (RFC 9457) with our `code`.

use std::{fmt, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use darkroom_jobs::{DecodeError, EnqueueError, ErrorCode, JobId};
use redis::RedisError;
use serde::Serialize;
use tracing::warn;

use crate::{queue::boot::is_login, storage};

/// Media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Words that only HTTP says; the others are [`ErrorCode`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpCode {
    /// No token, a wrong one, or a caller from elsewhere.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// The request is not what the route takes.
    RequestInvalid,
    /// The body is larger than the route takes.
    RequestTooLarge,
    /// A worker has the job.
    JobRunning,
    /// Too much at once; try again.
    Busy,
}

impl HttpCode {
    /// Every word, for the contract.
    pub const ALL: [Self; 6] = [
        Self::Unauthorized,
        Self::NotFound,
        Self::RequestInvalid,
        Self::RequestTooLarge,
        Self::JobRunning,
        Self::Busy,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::RequestInvalid => "request_invalid",
            Self::RequestTooLarge => "request_too_large",
            Self::JobRunning => "job_running",
            Self::Busy => "busy",
        }
    }
}

/// An answer that is an error. Branch on `code`; `detail` is for an engineer, `hint` for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem(Box<Told>);

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Told {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem that only HTTP knows.
    pub fn http(status: StatusCode, code: HttpCode, detail: impl Into<String>) -> Self {
        Self::new(status, code.as_str(), None, detail.into())
    }

    /// A problem of the table in `darkroom_jobs`.
    pub fn job(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::new(status, code.as_str(), Some(code.hint()), detail.into())
    }

    fn new(status: StatusCode, code: &'static str, hint: Option<&'static str>, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let status = status.as_u16();
        let (kind, field, job_id, retry_after_s) = ("about:blank", None, None, None);
        Self(Box::new(Told { kind, title, status, code, detail, hint, field, job_id, retry_after_s }))
    }

    /// There is no such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::http(StatusCode::NOT_FOUND, HttpCode::NotFound, what)
    }

    /// A value that the route does not take.
    pub fn invalid(field: &str, detail: impl Into<String>) -> Self {
        let problem = Self::http(StatusCode::UNPROCESSABLE_ENTITY, HttpCode::RequestInvalid, detail);
        problem.of(field)
    }

    /// An id, or a key, that is not of its form.
    pub fn id(field: &str, error: &darkroom_jobs::InvalidId) -> Self {
        Self::job(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::IdInvalid, error.to_string()).of(field)
    }

    /// Too much at once.
    pub fn busy(detail: impl Into<String>) -> Self {
        let problem = Self::http(StatusCode::SERVICE_UNAVAILABLE, HttpCode::Busy, detail);
        problem.again_in(Duration::from_secs(1))
    }

    /// Redis did not answer in time: what was asked may have been done.
    pub fn queue_unavailable() -> Self {
        Self::no_queue(&format!("{LATE}; {UNKNOWN}"))
    }

    /// Redis is of no use just now.
    pub fn no_queue(detail: &str) -> Self {
        let problem = Self::job(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::QueueUnavailable, detail);
        problem.again_in(Duration::from_secs(1))
    }

    /// More jobs wait than may.
    pub fn queue_full(detail: impl Into<String>) -> Self {
        let problem = Self::job(StatusCode::TOO_MANY_REQUESTS, ErrorCode::QueueFull, detail);
        problem.again_in(Duration::from_secs(5))
    }

    /// The bucket did not answer in time.
    pub fn storage_unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::job(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::StorageUnavailable, detail);
        problem.again_in(Duration::from_secs(5))
    }

    /// The job that stands in the way.
    pub fn job_id(&self) -> Option<&JobId> {
        self.0.job_id.as_ref()
    }

    /// Whether what was asked may have been done all the same.
    pub fn is_unknown(&self) -> bool {
        self.0.code == ErrorCode::QueueUnavailable.as_str()
    }

    /// Names the part of the request that is wrong.
    #[must_use]
    pub fn of(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Names the job that stands in the way.
    #[must_use]
    pub fn with_job(mut self, id: JobId) -> Self {
        self.0.job_id = Some(id);
        self
    }

    /// Says when another attempt may help; at least a second.
    #[must_use]
    pub fn again_in(mut self, pause: Duration) -> Self {
        self.0.retry_after_s = Some(pause.as_secs().max(1));
        self
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::job(StatusCode::UNPROCESSABLE_ENTITY, error.code, error.message)
    }
}

impl From<RedisError> for Problem {
    fn from(error: RedisError) -> Self {
        warn!(error = %error, "redis did not answer a request");
        Self::no_queue(&format!("{}; {UNKNOWN}", why(&error)))
    }
}

/// What is said of a Redis that takes too long.
pub const LATE: &str = "redis did not answer in time";
const UNKNOWN: &str = "what was asked may or may not have been done";

/// Why Redis is of no use, without its address or what it said: strangers may read it.
pub fn why(error: &RedisError) -> &'static str {
    if is_login(error) {
        "redis refuses the user, the password or a right of DARKROOM_REDIS_URL"
    } else if error.is_connection_refusal() {
        "redis cannot be reached: nothing takes connections at DARKROOM_REDIS_URL"
    } else if error.is_timeout() {
        LATE
    } else if error.is_connection_dropped() {
        "the connection to redis broke"
    } else if error.is_io_error() {
        "redis cannot be reached at DARKROOM_REDIS_URL; the log says why"
    } else {
        "redis refused; the log says why"
    }
}

impl From<EnqueueError> for Problem {
    fn from(error: EnqueueError) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        match error {
            EnqueueError::Payload(error) => error.into(),
            EnqueueError::IdempotencyKey(_) => Self::invalid("Idempotency-Key", detail),
            EnqueueError::RunAt => Self::invalid("run_at", detail),
            EnqueueError::Conflict(id) => Self::job(StatusCode::CONFLICT, code, detail).with_job(id),
            EnqueueError::Full(_) => Self::queue_full(detail),
            EnqueueError::Unavailable(error) => error.into(),
        }
    }
}

impl From<storage::error::Error> for Problem {
    fn from(error: storage::error::Error) -> Self {
        use std::error::Error as _;
        use storage::error::ErrorKind;

        let cause = error.source().map(ToString::to_string);
        warn!(error = %error, cause, "the bucket refused a request");
        let status = match error.kind() {
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::NotFound => return Self::not_found("there is no such object"),
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::job(status, error.code(), error.kind().to_string());
        match error.retry_after() {
            _ if status == StatusCode::CONFLICT => problem,
            pause => problem.again_in(pause.unwrap_or(Duration::from_secs(5))),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).expect("it was made of a status");
        let body = serde_json::to_string(&self).expect("texts and numbers are JSON");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(seconds) = self.0.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
