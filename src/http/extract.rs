//! Parts of a request, refused as problems instead of axum's plain texts.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, StatusCode, request::Parts},
};
use darkroom_jobs::{JobId, Kind, OwnerId};
use serde::de::DeserializeOwned;

use super::problem::{HttpCode, Problem};

/// Longest that a long poll may ask for.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// The query, decoded.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(unreadable(&innermost(&error))),
        }
    }
}

/// Every parameter is a text that may be missing: what cannot be read is one that is there twice, or that nobody knows.
fn unreadable(message: &str) -> Problem {
    let named = |what: &str| message.split_once(what)?.1.split_once('`');
    let (field, detail) = match (named("duplicate field `"), named("unknown field `")) {
        (Some((field, _)), _) => (field, format!("{field} is given more than once")),
        (_, Some((field, known))) => {
            let known = known.replace("expected one of", "there are").replace("expected", "there is");
            (field, format!("{field} is no parameter here{}", known.replace('`', "")))
        }
        _ => ("query", format!("the query cannot be read: {message}")),
    };
    Problem::http(StatusCode::BAD_REQUEST, HttpCode::RequestInvalid, detail).of(field)
}

/// The variable part of the path, percent-decoded.
#[derive(Debug)]
pub struct Segment(pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| {
            let detail = "the path is not UTF-8 when its percent signs are decoded";
            Problem::http(StatusCode::BAD_REQUEST, HttpCode::RequestInvalid, detail).of("path")
        })?;
        Ok(Self(text))
    }
}

impl Segment {
    /// # Errors
    ///
    /// 422 `id_invalid`.
    pub fn job_id(&self) -> Result<JobId, Problem> {
        self.0.parse().map_err(|error| Problem::id("id", &error))
    }

    /// # Errors
    ///
    /// 404: there is no such queue.
    pub fn kind(&self) -> Result<Kind, Problem> {
        self.0.parse().map_err(|error: String| Problem::not_found(error).of("kind"))
    }
}

/// The value of `Idempotency-Key`, when there is one.
///
/// # Errors
///
/// 422 when it is not 1 to `most` printable ASCII characters.
pub fn idempotency_key(headers: &HeaderMap, most: usize) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if (1..=most).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    Err(Problem::invalid("Idempotency-Key", format!("it is 1 to {most} printable ASCII characters")))
}

/// The owner that a request names.
#[derive(Clone, Debug, PartialEq)]
pub enum Owner {
    /// A user; the job is an upload.
    User(OwnerId),
    /// A product; the job is an ingest.
    Product(OwnerId),
}

impl Owner {
    /// # Errors
    ///
    /// 422 unless exactly one of the two is there, and is an id.
    pub fn of(user_id: Option<&str>, product_id: Option<&str>) -> Result<Self, Problem> {
        let id = |field: &str, text: &str| text.parse().map_err(|error| Problem::id(field, &error));
        match (user_id, product_id) {
            (Some(user), None) => id("user_id", user).map(Self::User),
            (None, Some(product)) => id("product_id", product).map(Self::Product),
            (None, None) => Err(Problem::invalid("user_id", "user_id or product_id is missing")),
            (Some(_), Some(_)) => {
                Err(Problem::invalid("product_id", "user_id and product_id exclude each other"))
            }
        }
    }

    /// The kind of job that its pictures are.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::Upload,
            Self::Product(_) => Kind::Ingest,
        }
    }

    /// The id.
    pub const fn id(&self) -> &OwnerId {
        match self {
            Self::User(id) | Self::Product(id) => id,
        }
    }
}

/// `30s`, `1500ms`, or a number of seconds.
///
/// # Errors
///
/// 422 when it is none of these, or longer than [`MAX_WAIT`].
pub fn wait(text: &str) -> Result<Duration, Problem> {
    let wrong = || Problem::invalid("wait", "wait is like 30s or 1500ms, at most 60s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let ms = number.parse::<u32>().map_err(|_| wrong())?;
    let wait = Duration::from_millis(u64::from(ms) * unit);
    if wait <= MAX_WAIT { Ok(wait) } else { Err(wrong()) }
}

/// What is at the bottom of an error: those around it repeat it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_seconds_or_milliseconds_and_at_most_a_minute() {
        let ms = |text| wait(text).map(|wait| wait.as_millis()).ok();

        assert_eq!(
            [ms("30s"), ms("1500ms"), ms("5"), ms("60s")],
            [Some(30_000), Some(1500), Some(5000), Some(60_000)]
        );
        assert_eq!([ms("61s"), ms(""), ms("-1s"), ms("soon"), ms("99999999999s")], [None; 5]);
    }

    #[test]
    fn a_request_names_exactly_one_owner() {
        assert!(matches!(Owner::of(Some("u1"), None), Ok(Owner::User(_))));
        assert!(matches!(Owner::of(None, Some("p1")), Ok(Owner::Product(_))));
        for (user, product) in
            [(None, None), (Some("u1"), Some("p1")), (Some("../x"), None), (None, Some(""))]
        {
            assert!(Owner::of(user, product).is_err(), "{user:?} {product:?} was taken");
        }
    }
}
