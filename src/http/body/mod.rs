//! Bodies: read whole, within a size, a pace, and the memory that all of them share.

mod media;
mod memory;
mod meter;

use std::sync::{Arc, OnceLock};

use axum::{
    body::{Body, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode},
};
use bytes::BytesMut;
use darkroom_jobs::{ErrorCode, MAX_SOURCE_BYTES};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, error::Category};
use sha2::{Digest as _, Sha256};

use super::problem::{HttpCode, Problem};
use crate::digest;
use media::{check_encoding, check_json, content_type, essence, unsupported};
pub use memory::{Memory, Reservation};
use meter::{JOBS, JSON, Limit, MULTIPART, ORIGINAL, announced, metered, original_too_large, refuse};

/// An original that was received whole. Its memory counts until it is dropped.
#[derive(Debug)]
pub struct Original {
    /// The file.
    pub bytes: Bytes,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Media type that was claimed for it.
    pub content_type: Option<String>,
    _reservation: Arc<Reservation>,
}

/// A file on its way in: hashed piece by piece, since all of it at once would hold up every other request.
struct Incoming {
    bytes: BytesMut,
    sha256: Sha256,
}

impl Incoming {
    fn of(length: Option<u64>) -> Self {
        Self { bytes: BytesMut::with_capacity(length.unwrap_or(0) as usize), sha256: Sha256::new() }
    }

    fn take(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.bytes.extend_from_slice(piece);
    }

    fn complete(self, content_type: Option<String>, reservation: Arc<Reservation>) -> Original {
        let sha256 = digest::hex(&self.sha256.finalize());
        Original { bytes: self.bytes.freeze(), sha256, content_type, _reservation: reservation }
    }
}

/// Reads an original: the body itself, or the one file of a multipart body.
///
/// # Errors
///
/// 413, 415, 408 when it comes too slowly, 422 when it is empty, 503 when other uploads fill the memory.
pub async fn original(request: Request, memory: &Memory) -> Result<Original, Problem> {
    let content_type = match claimed(request.headers()) {
        Ok(content_type) => content_type,
        Err(problem) => return Err(refuse(request, problem).await),
    };
    let original = match content_type.as_deref().map(essence).as_deref() {
        Some("multipart/form-data") => multipart(request, memory).await?,
        _ => {
            let (request, reservation) = admit(request, memory, ORIGINAL).await?;
            let mut incoming = Incoming::of(announced(request.headers()));
            each_piece(request, ORIGINAL, &reservation, |piece| incoming.take(piece)).await?;
            incoming.complete(content_type, reservation)
        }
    };
    if original.bytes.is_empty() {
        let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::SourceEmpty);
        return Err(Problem::job(status, code, "the original has no bytes").of("body"));
    }
    Ok(original)
}

/// The media type of an original, when it is one that is taken.
fn claimed(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    check_encoding(headers)?;
    let claimed = content_type(headers)?;
    let kind = claimed.map(essence).unwrap_or_default();
    let taken = ["", "application/octet-stream", "multipart/form-data"].contains(&kind.as_str());
    if taken || kind.starts_with("image/") {
        return Ok(claimed.map(str::to_owned));
    }
    let detail =
        format!("an original is image/*, application/octet-stream or multipart/form-data, not {kind}");
    Err(unsupported(detail))
}

/// Reads a small body of JSON.
///
/// # Errors
///
/// 400 when it is no JSON; 413, 415, 408 and 503 as of [`original`].
pub async fn json(request: Request, memory: &Memory) -> Result<Value, Problem> {
    let (text, _reservation) = text(request, memory, JSON).await?;
    parsed(&text)
}

/// Reads a body of jobs. Its memory counts until the reservation is dropped.
///
/// # Errors
///
/// 413, 415, 408 and 503 as of [`original`].
pub async fn jobs(request: Request, memory: &Memory) -> Result<(Bytes, Arc<Reservation>), Problem> {
    text(request, memory, JOBS).await
}

async fn text(request: Request, memory: &Memory, limit: Limit) -> Result<(Bytes, Arc<Reservation>), Problem> {
    if let Err(problem) = check_encoding(request.headers()).and_then(|()| check_json(request.headers())) {
        return Err(refuse(request, problem).await);
    }
    let (request, reservation) = admit(request, memory, limit).await?;
    let mut text = BytesMut::with_capacity(announced(request.headers()).unwrap_or(0) as usize);
    each_piece(request, limit, &reservation, |piece| text.extend_from_slice(piece)).await?;
    Ok((text.freeze(), reservation))
}

/// # Errors
///
/// 400 when it is no JSON, 422 when it is not of the type.
pub fn parsed<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => Problem::invalid("body", error.to_string()),
        _ => malformed(format!("the body cannot be read as JSON: {error}")),
    })
}

/// Lets a body in for which there is memory: for all that it announces, or, without a length, for all that it may have.
async fn admit(
    request: Request,
    memory: &Memory,
    limit: Limit,
) -> Result<(Request, Arc<Reservation>), Problem> {
    let bytes = announced(request.headers()).unwrap_or(limit.bytes);
    let fits = bytes <= limit.bytes;
    let admitted = if fits { memory.admit(bytes * limit.weight) } else { Err((limit.exceeded)()) };
    match admitted {
        Ok(reservation) => Ok((request, Arc::new(reservation))),
        Err(problem) => Err(refuse(request, problem).await),
    }
}

async fn each_piece(
    request: Request,
    limit: Limit,
    reservation: &Arc<Reservation>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let body = request.into_body().into_data_stream();
    let mut pieces = std::pin::pin!(metered(body, limit, Arc::clone(reservation)));
    while let Some(piece) = pieces.next().await {
        take(&piece?);
    }
    Ok(())
}

/// The one part of a multipart body that has a file name, or is called `file`.
async fn multipart(request: Request, memory: &Memory) -> Result<Original, Problem> {
    let (request, reservation) = admit(request, memory, MULTIPART).await?;
    let length = announced(request.headers());
    let stopped = Arc::new(OnceLock::new());
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(remembered(
        metered(body.into_data_stream(), MULTIPART, Arc::clone(&reservation)),
        &stopped,
    ));
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
        found = Some(part(field, length).await.map_err(blame)?);
    }
    match found {
        None => Err(Problem::invalid("file", "no part of the body is a file")),
        Some((file, _)) if file.bytes.len() as u64 > MAX_SOURCE_BYTES => Err(original_too_large()),
        Some((file, content_type)) => Ok(file.complete(content_type, reservation)),
    }
}

async fn part(
    mut field: Field<'_>,
    length: Option<u64>,
) -> Result<(Incoming, Option<String>), MultipartError> {
    let content_type = field.content_type().map(str::to_owned);
    let mut file = Incoming::of(length);
    while let Some(piece) = field.chunk().await? {
        file.take(&piece);
    }
    Ok((file, content_type))
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

fn malformed(detail: String) -> Problem {
    Problem::http(StatusCode::BAD_REQUEST, HttpCode::RequestInvalid, detail).of("body")
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn request(content_type: &str, pieces: Vec<&'static [u8]>) -> Request {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece)));
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        Request::builder().header(header::CONTENT_TYPE, content_type).body(body).unwrap()
    }

    #[tokio::test]
    async fn an_original_comes_with_its_digest_as_a_body_and_as_a_part_of_one() {
        let memory = Memory::new(MULTIPART.bytes, 1);
        let form: Vec<&[u8]> =
            vec![b"--x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\npic", b"ture\r\n--x--\r\n"];

        let body = original(request("image/png", vec![b"pic", b"ture"]), &memory).await.unwrap();
        let (of_body, sha256) = (body.bytes.clone(), body.sha256.clone());
        drop(body);
        let part = original(request("multipart/form-data; boundary=x", form), &memory).await.unwrap();

        assert_eq!((&of_body[..], &part.bytes[..]), (&b"picture"[..], &b"picture"[..]));
        assert_eq!(sha256, digest::sha256(b"picture"));
        assert_eq!(part.sha256, sha256);
        drop(part);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn jobs_count_as_what_they_take_until_they_are_enqueued() {
        let memory = Memory::new(1_000, 1);
        let mut request = request("application/json", vec![b"{}"]);
        request.headers_mut().insert(header::CONTENT_LENGTH, 2.into());

        let (text, reservation) = jobs(request, &memory).await.unwrap();

        assert_eq!((&text[..], memory.used()), (&b"{}"[..], 2 * JOBS.weight));
        drop(reservation);
        assert_eq!(memory.used(), 0);
    }
}
