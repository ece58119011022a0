//! A way to an S3 server on which a bucket has everything that a health report can find, and works.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// How far its clock is ahead: less than S3 refuses.
const AHEAD: Duration = Duration::from_secs(300);
const VERSIONED: &str = r#"<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>"#;
const NO_RULE: &str = "<Error><Code>NoSuchLifecycleConfiguration</Code></Error>";

struct Way {
    client: reqwest::Client,
    target: String,
}

/// Leads to the server at `url`; ends with the test's runtime.
pub async fn before(url: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let ours = format!("http://{}", listener.local_addr().expect("it is bound"));
    let way = Arc::new(Way { client: reqwest::Client::new(), target: url.to_owned() });
    let router = Router::new().fallback(answer).with_state(way);
    tokio::spawn(async move { axum::serve(listener, router).await });
    ours
}

async fn answer(State(way): State<Arc<Way>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut answer = match *request.method() {
        Method::GET if query.starts_with("versioning") => VERSIONED.into_response(),
        Method::GET if query.starts_with("lifecycle") => (StatusCode::NOT_FOUND, NO_RULE).into_response(),
        Method::GET if !request.headers().contains_key(header::AUTHORIZATION) => "public".into_response(),
        _ => way.lead(request).await,
    };
    if answer.status() == StatusCode::PRECONDITION_FAILED {
        answer = Response::default();
    }
    let date = httpdate::fmt_http_date(SystemTime::now() + AHEAD);
    answer.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).expect("it is a date"));
    answer
}

impl Way {
    async fn lead(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        if parts.method == Method::HEAD {
            tokio::time::sleep(Duration::from_millis(550)).await;
        }
        let body = to_bytes(body, 1 << 20).await.expect("canaries are small");
        let url = format!("{}{}", self.target, parts.uri);
        // The signature is over the host as well.
        let led = self.client.request(parts.method, url).headers(parts.headers).body(body).send().await;
        let led = led.expect("the server answers");
        let mut answer = Response::new(Body::empty());
        (*answer.status_mut(), *answer.headers_mut()) = (led.status(), led.headers().clone());
        *answer.body_mut() = led.bytes().await.expect("the server answers").into();
        answer
    }
}
