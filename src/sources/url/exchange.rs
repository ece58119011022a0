//! One request and the head of its answer, on a connection of its own.
//!
//! No proxy, no cookies, no referer; HTTP/1.1.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use darkroom_jobs::{ErrorCode as Code, MAX_SOURCE_BYTES};
use http_body_util::Empty;
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::response::Parts,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::{
    error::Error,
    vet::{Host, Target},
};

/// Largest head, and so the most that is read ahead, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// What is preferred: what needs no guess of ours comes first.
const ACCEPT: &str = "image/jpeg,image/png;q=0.9,image/*;q=0.8,*/*;q=0.1";
/// Longest media type that is kept of what a server claims, in bytes.
const MAX_TYPE_BYTES: usize = 100;
/// A server that says `Retry-After: 0` would be asked again and again.
const LEAST_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection that HTTP is spoken on.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

/// An answer whose head is complete. Dropping it ends the connection.
#[derive(Debug)]
pub struct Answer {
    /// What it comes to.
    pub head: Head,
    /// The rest of it.
    pub body: Incoming,
    /// What moves the bytes.
    pub(super) connection: JoinSet<()>,
}

/// What the head of an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A file follows.
    File(Announced),
    /// It is elsewhere: the `Location`, as it came.
    Redirect(Vec<u8>),
}

/// What a head says of the body; announcements lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Bytes on the wire, at most 32 MiB.
    pub length: Option<u64>,
    /// Media type, at most 100 bytes of ASCII.
    pub media_type: Option<String>,
    /// Whether the body is compressed, once.
    pub is_gzip: bool,
    /// Whether the end of the body is told, by its length or by its last chunk: what then comes to its end came whole.
    pub is_framed: bool,
}

/// The request for a target. Its text is the parser's, so there is no line break in it.
///
/// # Errors
///
/// `url_malformed` for a path that HTTP cannot say.
pub fn request(target: &Target, user_agent: &HeaderValue) -> Result<Request<Empty<Bytes>>, Error> {
    const UNSPEAKABLE: Error = Error::new(Code::UrlMalformed, "this is not a usable url");
    let mut path = target.url.path().to_owned();
    if let Some(query) = target.url.query() {
        path = format!("{path}?{query}");
    }
    let host = match &target.host {
        Host::Name(name) => name.clone(),
        Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    };
    let host = match target.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, user_agent)
        .header(header::ACCEPT, ACCEPT)
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    request.body(Empty::new()).map_err(|_| UNSPEAKABLE)
}

/// Sends a request, and reads the head of the answer; the time limit is the caller's.
///
/// # Errors
///
/// `http_invalid_response`, `download_incomplete`, `content_encoding_unsupported`, `source_too_large` when that is
/// announced, and a code for every status but 200 and redirects.
pub async fn exchange(wire: impl Wire, request: Request<Empty<Bytes>>) -> Result<Answer, Error> {
    let mut http = http1::Builder::new();
    // The first alone lets a head pass that came in one piece.
    http.max_buf_size(MAX_HEAD_BYTES).max_header_size(MAX_HEAD_BYTES);
    let handshake = http.handshake(TokioIo::new(wire)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "the connection to a source ended");
        }
    });
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let (parts, body) = answer.into_parts();
    let head = judge(&parts, SystemTime::now())?;
    Ok(Answer { head, body, connection: driver })
}

fn broken(error: &hyper::Error) -> Error {
    if error.is_parse() {
        Error::new(Code::HttpInvalidResponse, "the server's answer is not valid http")
    } else {
        Error::new(Code::DownloadIncomplete, "the connection ended before there was an answer")
    }
}

/// What the head of an answer comes to; `now` is what a date in `Retry-After` is held against.
///
/// # Errors
///
/// As [`exchange`].
pub fn judge(head: &Parts, now: SystemTime) -> Result<Head, Error> {
    match head.status {
        StatusCode::OK => announced(&head.headers).map(Head::File),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => match head.headers.get(header::LOCATION) {
            Some(location) => Ok(Head::Redirect(location.as_bytes().to_vec())),
            None => Err(Error::new(Code::HttpInvalidResponse, "the server redirects to nowhere")),
        },
        other => Err(refused(other, &head.headers, now)),
    }
}

fn refused(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Error {
    let code = match status.as_u16() {
        ..400 => Code::HttpStatus,
        401 => Code::Http401,
        403 => Code::Http403,
        404 => Code::Http404,
        410 => Code::Http410,
        429 => Code::Http429,
        408 | 425 | 500..600 => Code::Http5xx,
        400..500 => Code::Http4xx,
        600.. => Code::HttpInvalidResponse,
    };
    let tells_when = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
    let after = text(headers, &header::RETRY_AFTER).filter(|_| tells_when);
    Error::status(code, status.as_u16(), after.and_then(|after| retry_after(after, now)))
}

/// Seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let after = if digits {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(after.max(LEAST_RETRY_AFTER))
}

fn announced(headers: &HeaderMap) -> Result<Announced, Error> {
    const ENCODED: Error = Error::new(
        Code::ContentEncodingUnsupported,
        "the server encodes the file in a way that is not supported",
    );
    let length = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_SOURCE_BYTES) {
        return Err(Error::new(Code::SourceTooLarge, "the server announces more than 32 MiB"));
    }
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let transfer: Vec<_> = codings(headers, &header::TRANSFER_ENCODING).collect();
    if is_chunked && !matches!(transfer[..], [once] if once.eq_ignore_ascii_case("chunked")) {
        return Err(ENCODED);
    }
    let mut layers = codings(headers, &header::CONTENT_ENCODING)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    let is_gzip = match (layers.next(), layers.next()) {
        (None, _) => false,
        (Some(one), None) if ["gzip", "x-gzip"].iter().any(|gzip| one.eq_ignore_ascii_case(gzip)) => true,
        _ => return Err(ENCODED),
    };
    let media_type = text(headers, &header::CONTENT_TYPE).filter(|text| text.len() <= MAX_TYPE_BYTES);
    let length = length.filter(|_| !is_chunked);
    let is_framed = is_chunked || length.is_some();
    Ok(Announced { length, media_type: media_type.map(str::to_owned), is_gzip, is_framed })
}

/// The items of every header of this name; one that is not text is an item that nobody knows.
fn codings<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
