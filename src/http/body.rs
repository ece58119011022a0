//! Bodies: read whole, within a size, a time, and the memory that all uploads share.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use darkroom_jobs::{ErrorCode, MAX_SOURCE_BYTES};
use futures_util::{Stream, StreamExt as _, stream};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::{HttpCode, Problem};

/// Longest pause within a body.
const STALL: Duration = Duration::from_secs(10);
/// Longest time that a body may take.
const MOST_TIME: Duration = Duration::from_secs(120);
/// What the wrapping of a multipart body may take beside the original, bytes.
const WRAPPING: u64 = 64 << 10;
/// Largest body of JSON, bytes.
const MAX_JSON: u64 = 16 << 20;
/// What is read of a body that was refused, so that its sender gets to read the answer.
const DRAINED: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Memory of all bodies that are being received. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    total: u64,
    used: Arc<AtomicU64>,
}

/// Memory of one body, free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    bytes: u64,
}

impl Memory {
    /// So many bytes.
    pub fn new(total: u64) -> Self {
        Self { total, used: Arc::default() }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// # Errors
    ///
    /// 503 `busy`: other uploads have the memory.
    fn reserve(&self, bytes: u64) -> Result<Reservation, Problem> {
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.total);
        match self.used.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Ok(Reservation { memory: self.clone(), bytes }),
            Err(_) => Err(Problem::busy("other uploads fill DARKROOM_UPLOAD_MEMORY just now")),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// An original that was received whole. Its memory counts until it is dropped.
#[derive(Debug)]
pub struct Original {
    /// The file.
    pub bytes: Bytes,
    /// Media type that was claimed for it.
    pub content_type: Option<String>,
    _reservation: Reservation,
}

/// What a route takes, and what it says about more.
#[derive(Clone, Copy)]
struct Limit {
    bytes: u64,
    stall: Duration,
    time: Duration,
    exceeded: fn() -> Problem,
}

const ORIGINAL: Limit =
    Limit { bytes: MAX_SOURCE_BYTES, stall: STALL, time: MOST_TIME, exceeded: original_too_large };
const MULTIPART: Limit = Limit { bytes: MAX_SOURCE_BYTES + WRAPPING, ..ORIGINAL };
const JSON: Limit = Limit { bytes: MAX_JSON, exceeded: json_too_large, ..ORIGINAL };

fn original_too_large() -> Problem {
    let detail = format!("an original has at most {MAX_SOURCE_BYTES} bytes");
    Problem::job(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SourceTooLarge, detail).of("body")
}

fn json_too_large() -> Problem {
    let detail = format!("a body of JSON has at most {MAX_JSON} bytes");
    Problem::http(StatusCode::PAYLOAD_TOO_LARGE, HttpCode::RequestTooLarge, detail).of("body")
}

/// Reads an original: the body itself, or the one file of a multipart body.
///
/// # Errors
///
/// 413, 415, 408 when it comes too slowly, 422 when it is empty, 503 when other uploads fill the memory.
pub async fn original(request: Request, memory: &Memory) -> Result<Original, Problem> {
    let content_type = content_type(request.headers())?.map(str::to_owned);
    let original = match content_type.as_deref().map(essence).unwrap_or_default().as_str() {
        "multipart/form-data" => multipart(request, memory).await?,
        kind if kind.is_empty() || kind == "application/octet-stream" || kind.starts_with("image/") => {
            let (bytes, reservation) = whole(request, memory, ORIGINAL).await?;
            Original { bytes, content_type, _reservation: reservation }
        }
        other => {
            let taken = "image/*, application/octet-stream or multipart/form-data";
            return Err(unsupported(format!("an original is {taken}, not {other}")));
        }
    };
    if original.bytes.is_empty() {
        let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::SourceEmpty);
        return Err(Problem::job(status, code, "the original has no bytes").of("body"));
    }
    Ok(original)
}

/// Reads a body of JSON. Its memory counts until the reservation is dropped.
///
/// # Errors
///
/// 400 when it is no JSON, 422 when it is not of the type; 413, 415, 408 and 503 as of [`original`].
pub async fn json<T: DeserializeOwned>(
    request: Request,
    memory: &Memory,
) -> Result<(T, Reservation), Problem> {
    let (bytes, reservation) = json_text(request, memory).await?;
    Ok((parsed(&bytes)?, reservation))
}

/// Reads a body that claims to be JSON. Its memory counts until the reservation is dropped.
///
/// # Errors
///
/// 413, 415, 408 and 503 as of [`original`].
pub async fn json_text(request: Request, memory: &Memory) -> Result<(Bytes, Reservation), Problem> {
    let kind = content_type(request.headers())?.map(essence).unwrap_or_default();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        return Err(unsupported("the body is application/json".into()));
    }
    whole(request, memory, JSON).await
}

/// # Errors
///
/// 400 when it is no JSON, 422 when it is not of the type.
pub fn parsed<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(json).map_err(|error| {
        let detail = error.to_string();
        let field = named(&detail).unwrap_or_else(|| "body".into());
        match error.classify() {
            Category::Data => Problem::invalid(&field, detail),
            _ => malformed(detail),
        }
    })
}

/// The field that serde names: "missing field `bytes`".
pub fn named(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("field `")?;
    Some(rest.split('`').next()?.to_owned())
}

async fn whole(request: Request, memory: &Memory, limit: Limit) -> Result<(Bytes, Reservation), Problem> {
    let announced = announced(request.headers());
    let reservation = admit(&request, memory, limit);
    let waits = awaits_leave(request.headers());
    let body = request.into_body().into_data_stream();
    let reservation = match reservation {
        Ok(reservation) => reservation,
        Err(problem) => {
            if !waits {
                drain(body).await;
            }
            return Err(problem);
        }
    };

    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    let mut body = std::pin::pin!(metered(body, limit));
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok((bytes.freeze(), reservation))
}

/// The memory that the body needs: all that it announces, or, without a length, all that it may have.
fn admit(request: &Request, memory: &Memory, limit: Limit) -> Result<Reservation, Problem> {
    let bytes = announced(request.headers()).unwrap_or(limit.bytes);
    if bytes > limit.bytes { Err((limit.exceeded)()) } else { memory.reserve(bytes) }
}

/// The one part of a multipart body that has a file name, or is called `file`.
async fn multipart(request: Request, memory: &Memory) -> Result<Original, Problem> {
    let reservation = match admit(&request, memory, MULTIPART) {
        Ok(reservation) => reservation,
        Err(problem) => {
            if !awaits_leave(request.headers()) {
                drain(request.into_body().into_data_stream()).await;
            }
            return Err(problem);
        }
    };
    let stopped = Arc::new(OnceLock::new());
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(remembered(metered(body.into_data_stream(), MULTIPART), &stopped));
    let form = Multipart::from_request(Request::from_parts(parts, body), &()).await;
    let mut form = form.map_err(|error| malformed(error.body_text()))?;

    // What the meter found is the reason; what the parser makes of a body that ends there is not.
    let blame =
        |error: MultipartError| stopped.get().cloned().unwrap_or_else(|| malformed(error.body_text()));
    let mut found = None;
    while let Some(field) = form.next_field().await.map_err(blame)? {
        if field.file_name().is_none() && field.name() != Some("file") {
            continue;
        }
        if found.is_some() {
            return Err(Problem::invalid("file", "one request takes one original"));
        }
        found = Some(part(field).await.map_err(blame)?);
    }
    match found {
        None => Err(Problem::invalid("file", "no part of the body is a file")),
        Some((bytes, _)) if bytes.len() as u64 > MAX_SOURCE_BYTES => Err(original_too_large()),
        Some((bytes, content_type)) => Ok(Original { bytes, content_type, _reservation: reservation }),
    }
}

async fn part(mut field: Field<'_>) -> Result<(Bytes, Option<String>), MultipartError> {
    let content_type = field.content_type().map(str::to_owned);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = field.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.freeze(), content_type))
}

/// The body as it comes, until it is too long, too slow, or broken.
fn metered(body: BodyDataStream, limit: Limit) -> impl Stream<Item = Result<Bytes, Problem>> {
    let end = Instant::now() + limit.time;
    stream::try_unfold((body, 0), move |(mut body, before)| async move {
        let next = timeout_at(end.min(Instant::now() + limit.stall), body.next()).await;
        let Some(chunk) = next.map_err(|_| too_slow())? else { return Ok(None) };
        let chunk = chunk.map_err(|error| malformed(error.to_string()))?;
        let taken = before + chunk.len() as u64;
        if taken > limit.bytes {
            drain(body).await;
            return Err((limit.exceeded)());
        }
        Ok(Some((chunk, (body, taken))))
    })
}

/// Keeps what stopped the stream.
fn remembered<S: Stream<Item = Result<Bytes, Problem>>>(
    body: S,
    stopped: &Arc<OnceLock<Problem>>,
) -> impl Stream<Item = Result<Bytes, Problem>> + use<S> {
    let stopped = Arc::clone(stopped);
    body.inspect(move |chunk| {
        if let Err(problem) = chunk {
            stopped.get_or_init(|| problem.clone());
        }
    })
}

/// A sender that is still writing when the connection closes would never read why.
async fn drain(mut body: BodyDataStream) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = body.next().await {
            read += chunk.len();
            if read > DRAINED {
                return;
            }
        }
    };
    // In time or not: the answer follows.
    let _ = timeout(DRAIN_TIME, reading).await;
}

/// Whether the sender waits to be asked for its body (`Expect: 100-continue`).
fn awaits_leave(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// # Errors
///
/// 415 when it is no text.
fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| unsupported("Content-Type is no text".into()))
}

/// The media type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unsupported(detail: String) -> Problem {
    Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, HttpCode::RequestInvalid, detail).of("Content-Type")
}

fn malformed(detail: String) -> Problem {
    Problem::http(StatusCode::BAD_REQUEST, HttpCode::RequestInvalid, detail).of("body")
}

fn too_slow() -> Problem {
    let detail = "the body did not come in time";
    Problem::http(StatusCode::REQUEST_TIMEOUT, HttpCode::RequestInvalid, detail).of("body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_until_it_is_used_up_and_comes_back() {
        let memory = Memory::new(100);

        let first = memory.reserve(60).unwrap();
        assert!(memory.reserve(41).is_err());
        let second = memory.reserve(40).unwrap();
        assert_eq!(memory.used(), 100);
        drop((first, second));

        assert_eq!(memory.used(), 0);
    }

    const SHORT: Limit =
        Limit { stall: Duration::from_millis(40), time: Duration::from_millis(200), ..ORIGINAL };

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up() {
        let memory = Memory::new(ORIGINAL.bytes);
        let silent = stream::pending::<Result<Bytes, std::io::Error>>();

        let problem = whole(Request::new(Body::from_stream(silent)), &memory, SHORT).await.unwrap_err();

        assert!(problem.to_string().contains("did not come in time"), "{problem}");
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_body_that_drips_for_ever_is_given_up() {
        let memory = Memory::new(ORIGINAL.bytes);
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });

        let problem = whole(Request::new(Body::from_stream(drops)), &memory, SHORT).await.unwrap_err();

        assert!(problem.to_string().contains("did not come in time"), "{problem}");
    }
}
