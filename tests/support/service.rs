//! A worker with its HTTP service, and a client that talks to it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use super::darkroom::{TestDarkroom, Worker};

pub const TOKEN: &str = "a-token-of-the-tests";

pub struct Service {
    pub worker: Worker,
    pub addr: SocketAddr,
    client: Client,
    token: Option<&'static str>,
}

impl Service {
    /// A worker process with a service on a free port, open to this machine.
    pub async fn start(darkroom: &TestDarkroom, more: &[(&str, &str)]) -> Self {
        let mut worker = darkroom.worker(&[&[("DARKROOM_HTTP_ADDR", "127.0.0.1:0")], more].concat());
        let addr = address(&mut worker).await;
        let service = Self { worker, addr, client: client(), token: None };
        service.when("/livez", 200).await;
        service
    }

    /// The same, with a token that every request carries.
    pub async fn with_token(darkroom: &TestDarkroom, more: &[(&str, &str)]) -> Self {
        let service = Self::start(darkroom, &[&[("DARKROOM_API_TOKENS", TOKEN)], more].concat()).await;
        Self { token: Some(TOKEN), ..service }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Waits, at most 20 s, until a GET of the path has this status.
    pub async fn when(&self, path: &str, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.get(path).send().await.map(|response| response.status().as_u16());
            if seen.as_ref().is_ok_and(|seen| *seen == status) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} is {seen:?}, not {status}\n{}", self.worker.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits, at most 20 s, until a metric is at least so much.
    pub async fn measures(&self, name: &str, least: f64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let page = self.get("/metrics").send().await.expect("an answer").text().await.expect("text");
            if number(&page, name) >= least {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is not {least}\n{page}\n{}", self.worker.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A metric of the page.
pub fn number(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().expect("a number")
}

/// Without redirects, and with a deadline for each request.
pub fn client() -> Client {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(60)).build().expect("a client can be made")
}

/// Status and body of an answer.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("the service answers");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// Status, code and field of a problem, which has the media type of problems.
pub async fn problem(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.expect("the service answers");
    told(response).await
}

pub async fn told(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap_or("").to_owned());
    let body = response.text().await.expect("the body is text");
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status} {body}");
    let body: Value = serde_json::from_str(&body).expect("a problem is JSON");
    assert_eq!(body["status"], status, "{body}");
    assert!(!body["detail"].as_str().unwrap_or("").is_empty(), "{body}");
    let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
    (status, text("code"), text("field"))
}

/// The address in the log, within 20 s.
async fn address(worker: &mut Worker) -> SocketAddr {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = worker.log();
        let line = log.lines().find(|line| line.contains("\"http served\""));
        if let Some(line) = line {
            let line: Value = serde_json::from_str(line).expect("a line of the log is JSON");
            return line["http.addr"].as_str().expect("it has the address").parse().expect("an address");
        }
        let waits = worker.is_running() && Instant::now() < deadline;
        assert!(waits, "no address in the log:\n{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
