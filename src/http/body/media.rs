//! What a body says of itself, and what of it is refused before the body is read.

use axum::http::{HeaderMap, StatusCode, header};

use crate::http::problem::{HttpCode, Problem};

/// The media type that is claimed.
///
/// # Errors
///
/// 415 when it is no text.
pub fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| unsupported("Content-Type is no text".into()))
}

/// The media type without its parameters, in lower case.
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Takes bodies as they are alone: what a compressed one would become has no limit that its sender states.
///
/// # Errors
///
/// 415 that names the header.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let named = String::from_utf8_lossy(value.as_bytes());
        let is_plain = |name: &str| name.trim().is_empty() || name.trim().eq_ignore_ascii_case("identity");
        if !named.split(',').all(is_plain) {
            let detail = format!("a body is taken as it is, without Content-Encoding: {named}");
            return Err(unsupported(detail).of("Content-Encoding"));
        }
    }
    Ok(())
}

/// # Errors
///
/// 415 when a body does not claim to be JSON in UTF-8, its one encoding (RFC 8259).
pub fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let claimed = content_type(headers)?.unwrap_or_default();
    let kind = essence(claimed);
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        return Err(unsupported("the body is JSON, with Content-Type: application/json".into()));
    }
    let charset = claimed.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    for (_, value) in charset {
        let value = value.trim().trim_matches('"');
        if !["utf-8", "utf8", "us-ascii"].iter().any(|name| value.eq_ignore_ascii_case(name)) {
            return Err(unsupported(format!("JSON is UTF-8, not {value}")));
        }
    }
    Ok(())
}

/// A body of a media type that the route does not take.
pub fn unsupported(detail: String) -> Problem {
    Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, HttpCode::RequestInvalid, detail).of("Content-Type")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn only_a_body_that_is_not_encoded_is_taken() {
        assert!(check_encoding(&HeaderMap::new()).is_ok());
        for plain in ["identity", "Identity", ""] {
            assert!(check_encoding(&with(header::CONTENT_ENCODING, plain)).is_ok(), "{plain}");
        }
        for encoded in ["gzip", "br", "identity, gzip", "x"] {
            assert!(check_encoding(&with(header::CONTENT_ENCODING, encoded)).is_err(), "{encoded}");
        }
    }

    #[test]
    fn json_is_utf_8() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
        ] {
            assert!(check_json(&with(header::CONTENT_TYPE, good)).is_ok(), "{good}");
        }
        for bad in ["text/json", "", "application/json; charset=latin1", "application/json;charset=utf-16"] {
            assert!(check_json(&with(header::CONTENT_TYPE, bad)).is_err(), "{bad}");
        }
    }
}
