//! Originals from strangers' servers. A URL is hostile input, and so is every answer.
//!
//! 1. Judge the text, its parts and its host ([`vet`]).
//! 2. Look the name up, once ([`resolve`]), and judge every address ([`address`]).
//! 3. Wait for the host's turn ([`hosts`], `turns`), or put the job off.
//! 4. Connect to an address that was vetted ([`connect`], [`tls`]), and read the head ([`exchange`]).
//! 5. Follow a redirect by beginning again ([`redirect`]), or read the file within its limits ([`body`], [`markup`]).
//!
//! Who asks for a URL that is being fetched shares what comes of it ([`flights`]).

pub mod address;
pub mod body;
pub mod connect;
pub mod error;
pub mod exchange;
pub mod flights;
pub mod hosts;
pub mod markup;
pub mod metrics;
pub mod redirect;
pub mod resolve;
pub mod tls;
mod turns;
pub mod vet;

use std::{net::IpAddr, sync::Arc, time::Duration};

use darkroom_jobs::ErrorCode as Code;
use hyper::header::HeaderValue;
use tokio::time::{Instant, timeout_at};

use super::Original;
use crate::{config::Fetch, queue::pace::Pace};
use error::{Error, Failure};
use exchange::{Answer, Head};
use flights::Flights;
use hosts::{Hosts, Limits, Turn};
use metrics::Metrics;
use redirect::Trail;
use resolve::Resolver;
use tls::Tls;
use turns::{Given, Turns};
use vet::{Rules, Target};

/// Fetches originals from URLs. Clones share connections' limits, what is in flight, and what is known of hosts.
#[derive(Clone, Debug)]
pub struct Fetcher {
    inner: Arc<Inner>,
    flights: Flights<Result<Original, Failure>>,
}

#[derive(Debug)]
struct Inner {
    rules: Rules,
    resolver: Resolver,
    tls: Tls,
    turns: Turns,
    user_agent: HeaderValue,
    times: Times,
    metrics: Metrics,
}

/// Time limits.
#[derive(Clone, Copy, Debug)]
struct Times {
    all: Duration,
    connect: Duration,
    head: Duration,
    body: body::Pace,
}

/// Settings with which nothing can be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No resolver can be made.
    #[error("DARKROOM_FETCH_DNS_SERVERS: no resolver can be made")]
    Dns(#[source] hickory_resolver::net::NetError),
    /// The file of certificate authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] tls::TrustError),
}

impl Fetcher {
    /// `pace`: the turns that all workers share; without it only this process is polite.
    ///
    /// # Errors
    ///
    /// Settings with which nothing can be fetched.
    pub fn new(settings: &Fetch, pace: Option<Pace>) -> Result<Self, SetupError> {
        let inner = Inner {
            rules: Rules::new(settings),
            resolver: Resolver::new(settings).map_err(SetupError::Dns)?,
            tls: Tls::new(settings.fetch_ca_bundle.as_deref())?,
            turns: Turns { hosts: Hosts::new(Limits::new(settings)), pace },
            user_agent: user_agent(settings.fetch_contact.as_deref()),
            times: Times::new(settings),
            metrics: Metrics::default(),
        };
        Ok(Self { inner: Arc::new(inner), flights: Flights::default() })
    }

    /// What is measured here.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Fetches one original. `note`: what the last delivery of the job was told to remember.
    ///
    /// # Errors
    ///
    /// Each [`Failure`].
    pub(crate) async fn fetch(&self, url: &str, note: Option<&str>) -> Result<Original, Failure> {
        let target = vet::vet(url, &self.inner.rules).map_err(Failure::from);
        let target = target.inspect_err(|refused| self.inner.metrics.ended(&Err(refused.clone())))?;
        let key = target.url.to_string();
        let (inner, given) = (Arc::clone(&self.inner), Given::read(note));
        let (flight, is_ours) = self.flights.join(&key, move || inner.run(target, given));
        match flight.await {
            // The turn that was given is the one's who asked for it.
            Err(Failure::Deferred { after, .. }) if !is_ours => Err(Failure::Deferred { after, note: None }),
            ended => ended,
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>, target: Target, given: Given) -> Result<Original, Failure> {
        let running = self.metrics.begin();
        let ended = self.journey(target, given).await;
        self.metrics.ended(&ended);
        drop(running);
        ended
    }

    /// From one place to the next, until there is a file.
    async fn journey(&self, first: Target, mut given: Given) -> Result<Original, Failure> {
        let mut trail = Trail::new(&first);
        let mut target = first;
        let mut deadline = Instant::now() + self.times.all;
        loop {
            let looking_up = timeout_at(deadline, self.resolver.addresses(&target.host));
            let addresses = match looking_up.await.unwrap_or(Err(LATE)) {
                Err(refused) if trail.has_moved() && refused.code() == Code::AddressBlocked => {
                    return Err(redirect::REFUSED.into());
                }
                found => found?,
            };
            let asked = Instant::now();
            let turn = self.turns.take(&target.host.to_string(), &mut given).await?;
            // Politeness is not the server's time.
            deadline += asked.elapsed();

            let ended = self.visit(&target, &addresses, deadline).await;
            tell(&turn, &target, ended.as_ref().err());
            match ended? {
                Visit::File(original) => return Ok(original),
                Visit::Redirect(location) => target = trail.follow(&location, &self.rules)?,
            }
        }
    }

    /// One connection, one request, and what it comes to.
    async fn visit(&self, target: &Target, addresses: &[IpAddr], deadline: Instant) -> Result<Visit, Error> {
        let request = exchange::request(target, &self.user_agent)?;
        self.metrics.connecting();
        let connecting = connect::connect(addresses, target.port);
        let socket = within(deadline, self.times.connect, CONNECT_TIMEOUT, connecting).await?;
        // A request is one packet.
        let _ = socket.set_nodelay(true);
        let answer = if target.is_https() {
            let verifying = self.tls.verified(socket, target);
            let secured = within(deadline, self.times.connect, TLS_TIMEOUT, verifying).await?;
            within(deadline, self.times.head, LATE, exchange::exchange(secured, request)).await?
        } else {
            within(deadline, self.times.head, LATE, exchange::exchange(socket, request)).await?
        };
        let Answer { head, body, connection } = answer;
        let announced = match head {
            Head::Redirect(location) => return Ok(Visit::Redirect(location)),
            Head::File(announced) => announced,
        };
        let file = timeout_at(deadline, body::read(body, &announced, &self.times.body)).await;
        drop(connection);
        file.unwrap_or(Err(LATE)).map(Visit::File)
    }
}

/// What a visit says of the host.
fn tell(turn: &Turn, target: &Target, error: Option<&Error>) {
    match error {
        // TLS at the port of HTTP, or the other way round, is the URL's fault: it says nothing of the host.
        Some(error) if error.is_the_hosts() && target.mixes_ports() => {}
        Some(error) if error.is_the_hosts() => turn.failed(),
        Some(error) if error.code() == Code::Http429 => {
            error.retry_after().into_iter().for_each(|after| turn.asked_to_wait(after));
        }
        _ => turn.worked(),
    }
}

/// What a visit comes to.
enum Visit {
    File(Original),
    Redirect(Vec<u8>),
}

const CONNECT_TIMEOUT: Error =
    Error::new(Code::ConnectTimeout, "the server did not accept a connection in time");
const TLS_TIMEOUT: Error = Error::new(Code::TlsFailed, "the server did not finish setting up tls in time");
const LATE: Error = Error::new(Code::DownloadTimeout, "the server took too long");

/// Ends a step at its own limit with `late`, and at the deadline of all with `download_timeout`.
async fn within<T>(
    deadline: Instant,
    limit: Duration,
    late: Error,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let own = Instant::now() + limit;
    let late = if own <= deadline { late } else { LATE };
    timeout_at(own.min(deadline), step).await.unwrap_or(Err(late))
}

impl Times {
    fn new(settings: &Fetch) -> Self {
        Self {
            all: settings.fetch_timeout,
            connect: settings.fetch_connect_timeout,
            head: settings.fetch_head_timeout,
            body: body::Pace { min_rate: settings.fetch_min_rate, window: settings.fetch_rate_window },
        }
    }
}

fn user_agent(contact: Option<&str>) -> HeaderValue {
    let version = env!("CARGO_PKG_VERSION");
    let text = match contact {
        Some(contact) => format!("darkroom/{version} (+{contact})"),
        None => format!("darkroom/{version}"),
    };
    HeaderValue::from_str(&text).expect("the setting has letters of a header alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_mixes_schemes_and_ports_says_nothing_of_its_host() {
        let limits = Limits {
            connections: 1,
            gap: Duration::ZERO,
            failures: 2,
            open: Duration::from_secs(60),
            open_most: Duration::from_secs(60),
        };
        let hosts = Hosts::new(limits);
        let rules =
            Rules { ports: vec![80, 443], ip_literals: false, deny_hosts: vec![], allow_hosts: vec![] };
        let visited = async |url| {
            let target = vet::vet(url, &rules).expect("it may be fetched");
            tell(&hosts.turn("a.shop").await.expect("its turn"), &target, Some(&TLS_TIMEOUT));
        };

        visited("https://a.shop/1.jpg").await;
        visited("https://a.shop:80/1.jpg").await;
        visited("http://a.shop:443/1.jpg").await;
        let after_the_mixed = hosts.shut_for("a.shop");
        visited("https://a.shop/2.jpg").await;

        assert_eq!(after_the_mixed, None);
        assert!(hosts.shut_for("a.shop").is_some(), "the mixed ones took back no failure");
    }
}
