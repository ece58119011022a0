//! The HTTP service: uploads, jobs, pictures, probes and metrics, beside a worker and for it.
//!
//! Never runs a job, never decodes, never gives a key from outside to the bucket. Whatever a caller sends, the answer is
//! no 500; whatever Redis or the bucket does, it comes within seconds.

mod auth;
mod body;
mod extract;
mod fields;
mod health;
mod items;
mod jobs;
mod metrics;
mod objects;
mod openapi;
mod operate;
mod problem;
mod serve;
mod state;
mod uploads;

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, http::StatusCode, middleware};
use darkroom_jobs::{ConnectError, Producer};
use prometheus_client::registry::Registry;
use redis::RedisError;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    config,
    queue::{connection, health::HealthBoard, inspect::Inspector, operate::Operator, vitals::Vitals},
    storage::Storage,
};
use problem::{HttpCode, Problem};
use state::{App, Shared};

/// Connections that the system holds until there is a place.
const BACKLOG: u32 = 1024;

/// What the service is given by the worker that it stands beside.
pub struct Parts {
    /// The bucket.
    pub storage: Storage,
    /// The worker's life.
    pub vitals: Vitals,
    /// What the other rooms measure.
    pub registry: Registry,
    /// What its jobs get.
    pub attempts: config::Attempts,
}

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken, or not ours to take.
    #[error("{0} cannot be served")]
    Address(SocketAddr, #[source] io::Error),
    /// The settings of Redis.
    #[error("the settings of redis cannot be used")]
    Redis(#[from] RedisError),
    /// The keys.
    #[error(transparent)]
    Producer(#[from] ConnectError),
}

/// A service that has its port, and begins when it is [started](Server::start).
pub struct Server {
    listener: TcpListener,
    router: Router,
    addr: SocketAddr,
    end: watch::Sender<bool>,
}

/// A service that runs. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    end: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Takes the port; `None` when no service is wanted. Nothing else is connected to yet.
    ///
    /// # Errors
    ///
    /// See [`BindError`]; all of them are about settings.
    pub async fn bind(
        settings: &config::Http,
        redis: &config::Redis,
        parts: Parts,
    ) -> Result<Option<Self>, BindError> {
        let Some(wanted) = settings.http_addr.0 else { return Ok(None) };
        let (end, ending) = watch::channel(false);
        let router = router(shared(settings, redis, parts, ending)?);
        let failed = |error| BindError::Address(wanted, error);
        let listener = listen(wanted).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        info!(http.addr = %addr, "http served");
        Ok(Some(Self { listener, router, addr, end }))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins to answer.
    pub fn start(self) -> Running {
        let serving = serve::serve(self.listener, self.router, serve::CONNECTIONS, self.end.subscribe());
        let serving = tokio::spawn(serving);
        Running { end: self.end, serving }
    }
}

impl Running {
    /// Answers whoever waits, lets requests end for as long as that takes, and ends.
    pub async fn stop(mut self, patience: Duration) {
        self.end.send_replace(true);
        if timeout(patience, &mut self.serving).await.is_err() {
            warn!("requests were cut off that did not end in time");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port that a process before us has left is free.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

fn shared(
    settings: &config::Http,
    redis: &config::Redis,
    parts: Parts,
    ending: watch::Receiver<bool>,
) -> Result<Shared, BindError> {
    let client = connection::client(redis)?;
    let managed = connection::managed(&client)?;
    let keys = redis.namespace.clone();
    let producer = parts.attempts.given_by(Producer::new(client.clone(), managed.clone(), keys.clone())?);
    Ok(Shared {
        tokens: auth::Tokens::new(settings),
        inspector: Inspector::new(producer.clone(), managed.clone(), keys.clone()),
        operator: Operator::new(producer.clone(), managed.clone(), keys.clone()),
        board: HealthBoard::new(managed.clone(), keys),
        prober: health::Prober::default(),
        doubt: health::Doubt::default(),
        client,
        producer,
        redis: managed,
        storage: parts.storage,
        vitals: parts.vitals,
        memory: body::Memory::new(settings.upload_memory, serve::BODIES),
        requests: Semaphore::new(serve::REQUESTS),
        waits: Semaphore::new(serve::WAITS),
        max_waiting: settings.max_waiting,
        metrics: metrics::Metrics::new(parts.registry, settings.upload_memory),
        contract: openapi::document(&routes().into_openapi()),
        ending,
    })
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(uploads::upload))
        .routes(routes!(uploads::presign))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::receipt, operate::remove))
        .routes(routes!(jobs::upload))
        .routes(routes!(jobs::ingest))
        .routes(routes!(jobs::delete))
        .routes(routes!(operate::retry))
        .routes(routes!(operate::pause))
        .routes(routes!(operate::resume))
        .routes(routes!(operate::retry_dead))
        .routes(routes!(objects::locate, objects::exists))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::storage))
        .routes(routes!(metrics::render))
        .routes(routes!(openapi::contract))
}

fn router(shared: Shared) -> Router {
    let app = App::new(shared);
    let (routes, _) = routes().split_for_parts();
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // `body` has limits of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), auth::admit))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .with_state(app)
}

async fn no_route() -> Problem {
    Problem::not_found("there is no such route; see /openapi.json")
}

async fn no_method() -> Problem {
    let detail = "this route has no such method; see /openapi.json";
    Problem::http(StatusCode::METHOD_NOT_ALLOWED, HttpCode::RequestInvalid, detail)
}
