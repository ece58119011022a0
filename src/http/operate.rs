//! What a person does to jobs and queues.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use darkroom_jobs::{ErrorCode, Receipt, Status};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use super::{
    extract::{Params, Segment},
    openapi::Refusals,
    problem::{HttpCode, Problem},
    state::{App, within},
};
use crate::{
    queue::operate::{OperateError, Removed},
    storage::delete::tidy,
};

/// How long the dead jobs of a queue may take to be retried: there may be 50,000.
const MANY_TIME: Duration = Duration::from_secs(30);
/// How long an original may take to be removed.
const TIDYING_TIME: Duration = Duration::from_secs(5);

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let detail = error.to_string();
        match error {
            OperateError::Unknown(_) => Self::not_found(detail),
            OperateError::Running(id) => {
                Self::http(StatusCode::CONFLICT, HttpCode::JobRunning, detail).with_job(id)
            }
            OperateError::NotPossible { id, .. } => {
                Self::http(StatusCode::CONFLICT, HttpCode::RequestInvalid, detail).with_job(id)
            }
            OperateError::Redis(error) => error.into(),
        }
    }
}

/// Sends a dead job round again, with as many attempts as a new one.
#[utoipa::path(
    post, path = "/api/jobs/{id}/retry", tag = "operate",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "Waits again", body = ref("#/components/schemas/Receipt")),
        Refusals,
    )
)]
pub async fn retry(State(app): State<App>, id: Segment) -> Result<Json<Receipt>, Problem> {
    let receipt = within(app.operator.retry(&id.job_id()?)).await?;
    info!(job.id = %receipt.job_id, job.kind = %receipt.kind, "dead job retried");
    Ok(Json(receipt))
}

/// Cancels a job that waits, discards one that is dead; a running one is left alone (409 `job_running`).
#[utoipa::path(
    delete, path = "/api/jobs/{id}", tag = "operate",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "Its last receipt", body = ref("#/components/schemas/Receipt")),
        Refusals,
    )
)]
pub async fn remove(State(app): State<App>, id: Segment) -> Result<Json<Receipt>, Problem> {
    let id = id.job_id()?;
    let receipt = within(app.producer.receipt(&id)).await?;
    let dead = receipt.is_some_and(|receipt| receipt.status == Status::Failed);
    let removed = match dead {
        true => within(app.operator.discard(&id)).await?,
        false => within(app.operator.cancel(&id)).await?,
    };
    info!(job.id = %id, outcome = if dead { "discarded" } else { "cancelled" }, "job removed");
    remove_original(&app, &removed).await;
    Ok(Json(removed.receipt))
}

/// Nobody will run the job again: its staged original is of no use.
async fn remove_original(app: &App, removed: &Removed) {
    let Some(source) = &removed.original else { return };
    tidy(TIDYING_TIME, app.storage.remove_original(source)).await;
}

/// Whether a queue is claimed from.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueState {
    /// The queue.
    kind: &'static str,
    /// Whether workers are kept from claiming.
    paused: bool,
    /// Whether this call changed it.
    changed: bool,
}

/// Lets no worker claim from a queue; running jobs go on.
#[utoipa::path(
    post, path = "/api/queues/{kind}/pause", tag = "operate",
    params(("kind" = String, Path, description = "upload, ingest, delete or bucket_health")),
    responses(
        (status = 200, description = "Paused", body = QueueState),
        Refusals,
    )
)]
pub async fn pause(State(app): State<App>, kind: Segment) -> Result<Json<QueueState>, Problem> {
    let kind = kind.kind()?;
    let changed = within(app.operator.pause(kind)).await?;
    info!(job.kind = %kind, "queue paused");
    Ok(Json(QueueState { kind: kind.as_str(), paused: true, changed }))
}

/// Lets workers claim from a queue again.
#[utoipa::path(
    post, path = "/api/queues/{kind}/resume", tag = "operate",
    params(("kind" = String, Path, description = "upload, ingest, delete or bucket_health")),
    responses(
        (status = 200, description = "Resumed", body = QueueState),
        Refusals,
    )
)]
pub async fn resume(State(app): State<App>, kind: Segment) -> Result<Json<QueueState>, Problem> {
    let kind = kind.kind()?;
    let changed = within(app.operator.resume(kind)).await?;
    info!(job.kind = %kind, "queue resumed");
    Ok(Json(QueueState { kind: kind.as_str(), paused: false, changed }))
}

/// Which dead jobs to retry.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RetryParams {
    /// Only those that died of this code.
    code: Option<String>,
}

/// Dead jobs that wait again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Retried {
    /// How many.
    retried: u64,
}

/// Sends the dead jobs of a queue round again.
#[utoipa::path(
    post, path = "/api/queues/{kind}/retry-dead", tag = "operate",
    params(("kind" = String, Path, description = "upload, ingest, delete or bucket_health"), RetryParams),
    responses(
        (status = 200, description = "They wait again", body = Retried),
        Refusals,
    )
)]
pub async fn retry_dead(
    State(app): State<App>,
    kind: Segment,
    Params(params): Params<RetryParams>,
) -> Result<Json<Retried>, Problem> {
    let kind = kind.kind()?;
    let code = |text: String| text.parse::<ErrorCode>().map_err(|error| Problem::invalid("code", error));
    let code = params.code.map(code).transpose()?;
    within(app.operator.is_paused(kind)).await?;
    let retrying = tokio::time::timeout(MANY_TIME, app.operator.retry_dead(kind, code)).await;
    let retried = retrying.map_err(|_| Problem::queue_unavailable())??;
    info!(job.kind = %kind, retried, "dead jobs retried");
    Ok(Json(Retried { retried }))
}
