//! What Prometheus reads: the rooms own their metrics, here they are rendered, with a look at the queues beside them.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use darkroom_jobs::Kind;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::{sync::Mutex, time::timeout};
use tracing::error;

use super::state::App;
use crate::queue::{health::Word, inspect::QueueStats};

/// How long one look at the queues serves.
const KEPT: Duration = Duration::from_secs(1);
/// How long Redis may take for a scrape.
const PATIENCE: Duration = Duration::from_secs(2);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Label of what no route answers.
const UNMATCHED: &str = "none";

/// Everything that is rendered.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    memory_used: Gauge,
    beat_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    queues: Queues,
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStatus {
    status: String,
}

/// What a look at Redis says; empty while it is away, so that nobody reads yesterday's numbers.
#[derive(Default)]
struct Queues {
    up: Gauge,
    storage: Family<OfStatus, Gauge>,
    latency: Family<OfKind, Gauge<f64, std::sync::atomic::AtomicU64>>,
    waiting: Family<OfKind, Gauge>,
    scheduled: Family<OfKind, Gauge>,
    running: Family<OfKind, Gauge>,
    dead: Family<OfKind, Gauge>,
    paused: Family<OfKind, Gauge>,
}

impl Metrics {
    /// Adds ours to what the other rooms registered.
    pub fn new(mut registry: Registry, upload_memory: u64) -> Self {
        let (requests, memory_used, beat_age) = (Family::default(), Gauge::default(), Gauge::default());
        let (memory, queues) = (Gauge::<i64>::default(), Queues::default());
        memory.set(signed(upload_memory));
        registry.register("darkroom_http_requests", "Requests answered", Clone::clone(&requests));
        registry.register("darkroom_upload_memory_bytes", "Memory that uploads may have", memory);
        let used = Clone::clone(&memory_used);
        registry.register("darkroom_upload_memory_used_bytes", "Memory that uploads have", used);
        let age =
            "How long ago Redis last answered the heartbeat; leases run out when that is longer than a lease";
        registry.register("darkroom_heartbeat_age_seconds", age, Clone::clone(&beat_age));
        queues.register(&mut registry);
        Self { registry, requests, memory_used, beat_age, queues, looked: Mutex::default() }
    }

    /// Looks at the queues, unless somebody did just now; all who scrape meanwhile wait for the one look.
    async fn look(&self, app: &App) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < KEPT) {
            return;
        }
        let looking = async {
            let mut all = Vec::with_capacity(Kind::ALL.len());
            for kind in Kind::ALL {
                all.push(app.inspector.stats(kind).await?);
            }
            Ok::<_, redis::RedisError>((all, app.board.word().await?))
        };
        match timeout(PATIENCE, looking).await {
            Ok(Ok((all, bucket))) => self.queues.show(&all, bucket),
            _ => self.queues.clear(),
        }
        *looked = Some(Instant::now());
    }
}

impl Queues {
    fn register(&self, registry: &mut Registry) {
        registry.register("darkroom_redis_up", "Whether Redis answered the last look", self.up.clone());
        let storage = "1 for what the last look at the bucket came to: ok, degraded or down";
        registry.register("darkroom_storage_status", storage, self.storage.clone());
        let latency = "Age of the oldest ready job; 0 when none is ready";
        registry.register("darkroom_queue_latency_seconds", latency, self.latency.clone());
        for (name, help, family) in [
            ("darkroom_queue_waiting_jobs", "Jobs that are ready", &self.waiting),
            ("darkroom_queue_scheduled_jobs", "Jobs that wait for their time", &self.scheduled),
            ("darkroom_queue_running_jobs", "Jobs that workers have", &self.running),
            ("darkroom_queue_dead_jobs", "Jobs that were given up", &self.dead),
            ("darkroom_queue_paused", "Whether workers are kept from claiming", &self.paused),
        ] {
            registry.register(name, help, family.clone());
        }
    }

    fn show(&self, all: &[QueueStats], bucket: Option<Word>) {
        self.up.set(1);
        self.storage.clear();
        if let Some(Word { status, .. }) = bucket {
            self.storage.get_or_create(&OfStatus { status }).set(1);
        }
        for stats in all {
            let (of, counts) = (OfKind { kind: stats.counts.kind.as_str() }, &stats.counts);
            let oldest_ms = stats.oldest_ready_ms.unwrap_or(0);
            self.latency.get_or_create(&of).set(oldest_ms as f64 / 1000.0);
            self.waiting.get_or_create(&of).set(signed(counts.active));
            self.scheduled.get_or_create(&of).set(signed(counts.scheduled));
            self.running.get_or_create(&of).set(signed(counts.leased));
            self.dead.get_or_create(&of).set(signed(counts.dead));
            self.paused.get_or_create(&of).set(stats.paused.into());
        }
    }

    fn clear(&self) {
        self.up.set(0);
        self.storage.clear();
        self.latency.clear();
        for family in [&self.waiting, &self.scheduled, &self.running, &self.dead, &self.paused] {
            family.clear();
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Renders all metrics; those of the queues at most a second old.
#[utoipa::path(
    get, path = "/metrics", tag = "probes", security(()),
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn render(State(app): State<App>) -> Response {
    let metrics = &app.metrics;
    metrics.look(&app).await;
    metrics.memory_used.set(signed(app.memory.used()));
    metrics.beat_age.set(app.vitals.beat_age().unwrap_or_default().as_secs_f64());
    let mut page = String::new();
    if let Err(error) = text::encode(&mut page, &metrics.registry) {
        // A String takes any text: what there is, is right.
        error!(error = %error, "metrics were not rendered completely");
    }
    ([(header::CONTENT_TYPE, OPENMETRICS)], page).into_response()
}

/// Counts every answer by the route's pattern, never by what was asked for.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let route = route.unwrap_or_else(|| UNMATCHED.to_owned());
    let answered = Answered { route, status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&answered).inc();
    response
}
