//! Probes: whether this process lives, whether it works, and how the bucket is.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use darkroom_jobs::Timestamp;
use redis::Client;
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::timeout};
use utoipa::ToSchema;

use super::{
    extract::Params,
    openapi::Refusals,
    problem::{HttpCode, LATE, Problem, why},
    state::App,
};
use crate::storage::{
    Storage,
    probe::{Health, HealthStatus, record::Record},
};

/// How long Redis may take for a probe.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long an answer to why Redis is away serves.
const DOUBT_KEPT: Duration = Duration::from_secs(1);
/// How long a look at the bucket serves.
const PROBE_KEPT: Duration = Duration::from_secs(5);
/// How long the state of the bucket may take: three seconds are promised.
const ANSWER_TIME: Duration = Duration::from_millis(2_900);

/// A probe that went well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Well {
    /// `ok`
    status: &'static str,
}

const WELL: Json<Well> = Json(Well { status: "ok" });

/// Says whether the process is worth keeping: the heartbeat's thread goes round, and the queue's actor runs. A Redis
/// or a bucket that is away is no reason to restart.
#[utoipa::path(
    get, path = "/livez", tag = "probes", security(()),
    responses(
        (status = 200, description = "Lives", body = Well),
        (status = 503, description = "Restart it", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub async fn live(State(app): State<App>) -> Result<Json<Well>, Problem> {
    if app.vitals.is_alive() {
        Ok(WELL)
    } else {
        Err(unwell("the heartbeat or the queue's actor has stopped"))
    }
}

/// Says whether jobs are being claimed: not before Redis was found fit, not while it is away, not after a signal to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses(
        (status = 200, description = "Works", body = Well),
        (status = 503, description = "Does not work", body = ref("#/components/schemas/Problem"), content_type = "application/problem+json"),
    )
)]
pub async fn ready(State(app): State<App>) -> Result<Json<Well>, Problem> {
    let mut redis = app.redis.clone();
    let ping = redis::cmd("PING");
    let ping = ping.query_async::<()>(&mut redis);
    if !matches!(timeout(PATIENCE, ping).await, Ok(Ok(()))) {
        return Err(Problem::no_queue(app.doubt.cleared(&app.client).await));
    }
    if app.vitals.is_working() { Ok(WELL) } else { Err(unwell("no jobs are claimed: starting or stopping")) }
}

/// Why Redis does not answer, when a connection that comes back by itself says no more than that it has none: asked over a
/// fresh one, by one request at a time, and at most once a second.
#[derive(Debug, Default)]
pub struct Doubt(Mutex<Option<(Instant, &'static str)>>);

impl Doubt {
    async fn cleared(&self, redis: &Client) -> &'static str {
        let mut last = self.0.lock().await;
        if let Some((at, why)) = *last
            && at.elapsed() < DOUBT_KEPT
        {
            return why;
        }
        let asking = async {
            let mut fresh = redis.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async::<()>(&mut fresh).await
        };
        let why = match timeout(PATIENCE, asking).await {
            Ok(Ok(())) => "redis answers, and is being connected to",
            Ok(Err(error)) => why(&error),
            Err(_) => LATE,
        };
        *last = Some((Instant::now(), why));
        why
    }
}

/// Whether to look now.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HealthParams {
    /// `1` or `true` looks at the bucket now, at most every 5 s; needs a token where any is configured.
    live: Option<String>,
}

/// Says how the bucket is: as the last periodic look found it, or as it is now.
#[utoipa::path(
    get, path = "/api/storage/health", tag = "probes", params(HealthParams), security((), ("token" = [])),
    responses(
        (status = 200, description = "`ok`, or `degraded` with findings", body = Object),
        (status = 503, description = "`down`", body = Object),
        Refusals,
    )
)]
pub async fn storage(
    State(app): State<App>,
    Params(params): Params<HealthParams>,
) -> Result<Response, Problem> {
    let live = match params.live.as_deref() {
        None | Some("0" | "false") => false,
        Some("" | "1" | "true") => true,
        Some(_) => return Err(Problem::invalid("live", "live is 1 or 0")),
    };
    // In a task of its own: a look that was begun is finished, whoever goes away.
    let looking = tokio::spawn(async move {
        match if live { None } else { kept(&app).await } {
            Some((record, now)) => record.served_at(now),
            None => app.prober.look(&app).await,
        }
    });
    let late = || Problem::storage_unavailable("the bucket did not answer in time");
    let health = timeout(ANSWER_TIME, looking).await.map_err(|_| late())?.map_err(|_| late())?;
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response())
}

/// The last periodic report; `None` before the first, and while Redis is away.
async fn kept(app: &App) -> Option<(Record, Timestamp)> {
    let seen = timeout(PATIENCE, app.board.read::<Record>()).await.ok()?.ok()?;
    Some((seen.record?, seen.now))
}

/// Looks at the bucket: one at a time, and not again within 5 s.
#[derive(Debug, Default)]
pub struct Prober(Mutex<Option<(Instant, Health)>>);

impl Prober {
    /// The bucket as it is now, with what the periodic reports know of the time before.
    async fn look(&self, app: &App) -> Health {
        // At once: the answer is promised within 3 s, whoever of the two is slow.
        match tokio::join!(self.probe(&app.storage), kept(app)) {
            (made, Some((record, now))) => record.beside(made, now),
            (made, None) => made,
        }
    }

    async fn probe(&self, storage: &Storage) -> Health {
        let mut last = self.0.lock().await;
        if let Some((at, health)) = last.as_ref()
            && at.elapsed() < PROBE_KEPT
        {
            let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Health { age_ms, ..health.clone() };
        }
        let health = storage.probe().await;
        *last = Some((Instant::now(), health.clone()));
        health
    }
}

fn unwell(detail: &str) -> Problem {
    Problem::http(StatusCode::SERVICE_UNAVAILABLE, HttpCode::Busy, detail)
}
