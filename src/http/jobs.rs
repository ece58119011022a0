//! Jobs on their way into a queue, and where they stand.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use darkroom_jobs::{
    DecodeError, Delete, EnqueueOptions, Ingest, Job, JobId, Kind, ObjectKey, Payload, Receipt, Source,
    Status, Upload, WaitError, check_size,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::{
    body,
    extract::{Params, Segment, idempotency_key, wait},
    fields::{check_source, undecodable},
    items::Items,
    openapi::Refusals,
    problem::Problem,
    state::{App, within},
};

/// Longest `Idempotency-Key`; what is appended for an item of an array fits into the queue's own 255.
pub const MAX_KEY: usize = 240;
/// Most receipts of one answer.
const MOST_RECEIPTS: u16 = 500;

/// A job that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Taken {
    /// The job.
    job_id: String,
    /// Where its picture will be; null when it makes none.
    key: Option<String>,
    /// Where to ask for its receipt.
    status_url: String,
}

impl Taken {
    /// The answer for a job that is in its queue.
    pub fn new(id: &JobId, key: Option<&ObjectKey>) -> Self {
        let status_url = format!("/api/jobs/{id}");
        Self { job_id: id.to_string(), key: key.map(ToString::to_string), status_url }
    }
}

/// Enqueues a photo of a user, or up to 1,000.
///
/// An array is answered by an array in the same order: each item is what a single job would have been answered with,
/// a problem included. With an `Idempotency-Key`, item n of an array has the key `{key}/{n}`.
#[utoipa::path(
    post, path = "/api/jobs/upload", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 240 characters")),
    request_body(content = ref("#/components/schemas/UploadOrMany"), content_type = "application/json"),
    responses((status = 202, description = "Taken", body = ref("#/components/schemas/TakenOrMany")), Refusals)
)]
pub async fn upload(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    enqueue(&app, Kind::Upload, request).await
}

/// Enqueues an image of a product, or up to 1,000.
///
/// An array is answered by an array in the same order: each item is what a single job would have been answered with,
/// a problem included. With an `Idempotency-Key`, item n of an array has the key `{key}/{n}`.
#[utoipa::path(
    post, path = "/api/jobs/ingest", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 240 characters")),
    request_body(content = ref("#/components/schemas/IngestOrMany"), content_type = "application/json"),
    responses((status = 202, description = "Taken", body = ref("#/components/schemas/TakenOrMany")), Refusals)
)]
pub async fn ingest(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    enqueue(&app, Kind::Ingest, request).await
}

/// Enqueues a deletion, or up to 1,000.
///
/// An array is answered by an array in the same order: each item is what a single job would have been answered with,
/// a problem included. With an `Idempotency-Key`, item n of an array has the key `{key}/{n}`.
#[utoipa::path(
    post, path = "/api/jobs/delete", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 240 characters")),
    request_body(content = ref("#/components/schemas/DeleteOrMany"), content_type = "application/json"),
    responses((status = 202, description = "Taken", body = ref("#/components/schemas/TakenOrMany")), Refusals)
)]
pub async fn delete(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    enqueue(&app, Kind::Delete, request).await
}

async fn enqueue(app: &App, kind: Kind, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers(), MAX_KEY)?;
    let (body, _reservation) = body::jobs(request, &app.memory).await?;
    match Items::of(&body)? {
        Items::One(item) => one(app, kind, item, key).await,
        Items::Many(items) => many(app, kind, &items, key).await,
    }
}

async fn one(app: &App, kind: Kind, item: &RawValue, key: Option<String>) -> Result<Response, Problem> {
    let Wanted { payload, object } = Wanted::read(kind, item)?;
    let options = EnqueueOptions { idempotency_key: key, ..EnqueueOptions::default() };
    let id = within(async {
        app.admit(kind, 1).await?;
        app.producer.enqueue_json(kind, &payload, options).await.map_err(Problem::from)
    })
    .await?;
    let taken = Taken::new(&id, object.as_ref());
    let location = [(header::LOCATION, taken.status_url.clone())];
    Ok((StatusCode::ACCEPTED, location, Json(taken)).into_response())
}

/// What an item of an array is answered with.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Taken(Taken),
    Refused(Problem),
}

async fn many(app: &App, kind: Kind, items: &[&RawValue], key: Option<String>) -> Result<Response, Problem> {
    let (mut objects, mut jobs) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (n, item) in items.iter().enumerate() {
        objects.push(Wanted::read(kind, item).map(|Wanted { payload, object }| {
            let idempotency_key = key.as_ref().map(|key| format!("{key}/{n}"));
            jobs.push((payload, EnqueueOptions { idempotency_key, ..EnqueueOptions::default() }));
            object
        }));
        // A thousand large items take long to read: others have their turn between them.
        tokio::task::yield_now().await;
    }
    let pushed = within(async {
        app.admit(kind, items.len() as u64).await?;
        app.producer.enqueue_json_many(kind, jobs).await.map_err(Problem::from)
    });
    let mut pushed = pushed.await?.into_iter();

    let answers = objects.into_iter().map(|object| {
        let object = match object {
            Ok(object) => object,
            Err(problem) => return Answer::Refused(problem),
        };
        match pushed.next().expect("one answer for each job that was pushed") {
            Ok(id) => Answer::Taken(Taken::new(&id, object.as_ref())),
            Err(error) => Answer::Refused(error.into()),
        }
    });
    Ok((StatusCode::ACCEPTED, Json(answers.collect::<Vec<_>>())).into_response())
}

/// A job that can be enqueued.
struct Wanted {
    /// The same text for the same job, however its sender writes JSON: an idempotency key compares it.
    payload: String,
    /// What the job will make.
    object: Option<ObjectKey>,
}

impl Wanted {
    /// Decodes an item as a worker would.
    fn read(kind: Kind, item: &RawValue) -> Result<Self, Problem> {
        check_size(item.get().as_bytes()).map_err(|error| Problem::from(error).of("body"))?;
        let value: Value = body::parsed(item.get().as_bytes())?;
        let payload = value.to_string();
        let read = match kind {
            Kind::Upload => read::<Upload>(&payload),
            Kind::Ingest => read::<Ingest>(&payload),
            Kind::Delete => read::<Delete>(&payload),
            Kind::BucketHealth => Ok((None, None)),
        };
        let (object, source) = read.map_err(|error| undecodable(kind, &value, error))?;
        check_source(source.as_ref())?;
        Ok(Self { payload, object })
    }
}

fn read<J: Job>(json: &str) -> Result<(Option<ObjectKey>, Option<Source>), DecodeError> {
    let job = Payload::<J>::decode(json.as_bytes())?.job;
    Ok((job.object_key(), job.source().cloned()))
}

/// How long to wait.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// Answers when the receipt is final, or after this time: `30s`, `1500ms`, at most `60s`. At once when 256 others wait.
    wait: Option<String>,
}

/// Reads the receipt of a job; waits until it is final when asked to.
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job"), WaitParams),
    responses(
        (status = 200, description = "Where the job stands; watch `final`", body = ref("#/components/schemas/Receipt")),
        Refusals,
    )
)]
pub async fn receipt(
    State(app): State<App>,
    id: Segment,
    Params(params): Params<WaitParams>,
) -> Result<Response, Problem> {
    let id = id.job_id()?;
    let patience = params.wait.as_deref().map(wait).transpose()?.unwrap_or_default();
    let now = known(&app, &id).await?;
    if now.is_final || patience.is_zero() {
        return Ok(fresh(&now));
    }
    let Ok(_place) = app.waits.try_acquire() else { return Ok(fresh(&now)) };
    tokio::select! {
        waited = app.producer.wait(&id, patience) => match waited {
            Ok(receipt) => Ok(fresh(&receipt)),
            Err(WaitError::TimedOut(receipt)) => Ok(fresh(&receipt)),
            Err(WaitError::Unknown(id)) => Err(unknown(&id)),
            Err(WaitError::Unavailable(error)) => Err(error.into()),
        },
        () = app.ending() => known(&app, &id).await.map(|receipt| fresh(&receipt)),
    }
}

async fn known(app: &App, id: &JobId) -> Result<Receipt, Problem> {
    within(app.producer.receipt(id)).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &JobId) -> Problem {
    Problem::not_found(format!("no queue knows job {id}"))
}

/// A receipt changes: nobody keeps it.
fn fresh(receipt: &Receipt) -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
    (headers, Json(receipt)).into_response()
}

/// Which jobs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Of this queue alone.
    kind: Option<String>,
    /// With this status alone.
    status: Option<String>,
    /// At most so many of each queue, 1 to 500; 50 when unset.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

/// Jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobList {
    /// Their receipts.
    #[schema(value_type = Vec<Object>)]
    jobs: Vec<Receipt>,
}

/// Longest that a list may take: with a status, many receipts may have to be read.
const LIST_TIME: Duration = Duration::from_secs(10);

/// Lists jobs, the newest first within each place.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs", params(ListParams),
    responses(
        (status = 200, description = "Receipts", body = JobList),
        Refusals,
    )
)]
pub async fn list(
    State(app): State<App>,
    Params(params): Params<ListParams>,
) -> Result<Json<JobList>, Problem> {
    let kind = |text: String| text.parse::<Kind>().map_err(|error| Problem::invalid("kind", error));
    let kinds = params.kind.map(kind).transpose()?.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
    let status = params.status.map(status).transpose()?;
    let limit = params.limit.as_deref().map(limit).transpose()?.unwrap_or(50);
    let reading = async {
        let mut jobs = Vec::new();
        for kind in kinds {
            jobs.extend(app.inspector.list(kind, status, limit.into()).await?);
        }
        Ok::<_, Problem>(jobs)
    };
    within(app.inspector.counts(Kind::Upload)).await?;
    let jobs = tokio::time::timeout(LIST_TIME, reading).await;
    Ok(Json(JobList { jobs: jobs.map_err(|_| Problem::queue_unavailable())?? }))
}

fn limit(text: &str) -> Result<u16, Problem> {
    let number = text.parse().ok().filter(|number| (1..=MOST_RECEIPTS).contains(number));
    number.ok_or_else(|| Problem::invalid("limit", format!("limit is 1 to {MOST_RECEIPTS}, not {text:?}")))
}

fn status(text: String) -> Result<Status, Problem> {
    const STATUSES: &str = "queued, running, retrying, done, failed, superseded, expired or cancelled";
    let wrong = |_| Problem::invalid("status", format!("status is {STATUSES}, not {text:?}"));
    serde_json::from_value(Value::String(text.clone())).map_err(wrong)
}
