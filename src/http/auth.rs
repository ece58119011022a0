//! Who may ask: holders of a token, or, where none is configured, this machine alone.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{
    problem::{HttpCode, Problem},
    state::App,
};
use crate::config;

/// Served to everybody who reaches the port: probes and scrapers carry no tokens.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/metrics", HEALTH];
const HEALTH: &str = "/api/storage/health";

/// The tokens, as digests: comparing them tells neither a length nor a common beginning.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Those of the settings.
    pub fn new(settings: &config::Http) -> Self {
        Self(settings.tokens().map(digest).collect())
    }

    fn contain(&self, given: &str) -> bool {
        let given = digest(given);
        // Every one is looked at: the time says nothing about which it was.
        self.0.iter().fold(Choice::from(0), |found, token| found | token.ct_eq(&given)).into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets a request through, or answers 401 or 403; 503 when all places are taken that probes do not need.
pub async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Err(problem) = judge(&app.tokens, request.uri(), request.headers()) {
        return problem.into_response();
    }
    if is_open(request.uri()) {
        return next.run(request).await;
    }
    let Ok(_place) = app.requests.try_acquire() else {
        let problem = Problem::busy("as many requests as may be are being answered just now");
        return ([(header::CONNECTION, "close")], problem).into_response();
    };
    next.run(request).await
}

fn judge(tokens: &Tokens, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if tokens.0.is_empty() {
        return if is_local(headers) { Ok(()) } else { Err(stranger()) };
    }
    if is_open(uri) || bearer(headers).is_some_and(|token| tokens.contain(token)) {
        return Ok(());
    }
    let detail = "this needs `Authorization: Bearer` with one of DARKROOM_API_TOKENS";
    Err(Problem::http(StatusCode::UNAUTHORIZED, HttpCode::Unauthorized, detail))
}

fn is_open(uri: &Uri) -> bool {
    // Probing the bucket costs requests, its last result does not; `?l%69ve` means `live` too.
    let costs = uri.path() == HEALTH && uri.query().is_some();
    OPEN.contains(&uri.path()) && !costs
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the request names this machine, and comes from no page of another: a browser on this machine reaches the
/// loopback address for any web site, under that site's name (rebinding) or with its `Origin`.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    host.is_none_or(is_loopback)
        && origin.is_none_or(|origin| is_loopback(origin.split_once("://").map_or("", |(_, host)| host)))
}

fn is_loopback(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = without_port.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn stranger() -> Problem {
    let detail =
        "without DARKROOM_API_TOKENS only this machine is served, under the name of a loopback address";
    Problem::http(StatusCode::FORBIDDEN, HttpCode::Unauthorized, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn tokens(all: &[&str]) -> Tokens {
        Tokens(all.iter().map(|token| digest(token)).collect())
    }

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn status(tokens: &Tokens, path: &'static str, pairs: &[(header::HeaderName, &'static str)]) -> u16 {
        match judge(tokens, &Uri::from_static(path), &headers(pairs)) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn any_of_the_tokens_opens_and_no_other_does() {
        let ours = tokens(&["first", "second"]);
        let with = |value| status(&ours, "/api/jobs", &[(header::AUTHORIZATION, value)]);

        assert_eq!([with("Bearer first"), with("bearer second")], [200, 200]);
        assert_eq!([with("Bearer third"), with("Bearer "), with("Basic first"), with("first")], [401; 4]);
        assert_eq!(status(&ours, "/api/jobs", &[]), 401);
    }

    #[test]
    fn probes_need_no_token_but_a_probe_of_the_bucket_does() {
        let ours = tokens(&["first"]);

        for path in ["/livez", "/readyz", "/metrics", "/api/storage/health"] {
            assert_eq!(status(&ours, path, &[]), 200, "{path}");
        }
        for path in
            ["/api/storage/health?live=1", "/api/storage/health?l%69ve=1", "/openapi.json", "/nowhere"]
        {
            assert_eq!(status(&ours, path, &[]), 401, "{path}");
        }
    }

    #[test]
    fn without_tokens_a_page_of_another_site_is_refused() {
        let none = tokens(&[]);
        let with = |pairs| status(&none, "/api/jobs", pairs);

        assert_eq!(with(&[(header::HOST, "127.0.0.1:8080")]), 200);
        assert_eq!(with(&[(header::HOST, "localhost"), (header::ORIGIN, "http://[::1]:3000")]), 200);
        assert_eq!(with(&[(header::HOST, "rebound.example:8080")]), 403);
        assert_eq!(with(&[(header::HOST, "localhost"), (header::ORIGIN, "https://evil.example")]), 403);
        assert_eq!(with(&[(header::HOST, "localhost"), (header::ORIGIN, "null")]), 403);
    }
}
