//! Originals on their way in: through us, or directly to the bucket by a signed URL.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use darkroom_jobs::{
    EnqueueOptions, ErrorCode, ImageId, Ingest, JobId, MAX_SOURCE_BYTES, ObjectKey, Payload, Source,
    StagedKey, Upload,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tracing::info;
use utoipa::ToSchema;

use super::{
    body::{self, Original},
    extract::{Owner, Params, idempotency_key},
    fields::{self, Field, reads},
    jobs::{MAX_KEY, Taken},
    openapi::Refusals,
    problem::Problem,
    state::{App, within},
};
use crate::storage::{delete, error::ErrorKind, put::ObjectAttributes};

/// How long a signed PUT is valid.
const PUT_VALID: Duration = Duration::from_secs(15 * 60);
/// How long the bucket may take to keep an original.
const STAGING_TIME: Duration = Duration::from_secs(40);
/// How long credentials for a signature may take.
const SIGNING_TIME: Duration = Duration::from_secs(3);
/// How long a job may take to remove what it does not need.
const TIDYING_TIME: Duration = Duration::from_secs(5);

/// Whose picture it is.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UploadParams {
    /// Owner of the photo; this or `product_id`.
    user_id: Option<String>,
    /// Product that the image shows; this or `user_id`.
    product_id: Option<String>,
    /// UUID; unset: one is made.
    image_id: Option<String>,
}

/// What is to be uploaded directly to the bucket.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PresignRequest {
    /// Owner of the photo; this or `product_id`. A string or an integer.
    #[schema(value_type = Option<String>)]
    user_id: Option<OwnerText>,
    /// Product that the image shows; this or `user_id`. A string or an integer.
    #[schema(value_type = Option<String>)]
    product_id: Option<OwnerText>,
    /// UUID; unset: one is made.
    image_id: Option<String>,
    /// Size of the original, 1 to 33,554,432.
    #[schema(minimum = 1, maximum = 33_554_432)]
    bytes: u64,
    /// Its media type: `image/*` or `application/octet-stream`.
    content_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OwnerText {
    Text(String),
    Number(u64),
}

/// The fields of a [`PresignRequest`], in words.
const PRESIGN: [Field; 5] = [
    Field::optional("user_id", reads::<Option<OwnerText>>, "a string or an integer"),
    Field::optional("product_id", reads::<Option<OwnerText>>, "a string or an integer"),
    Field::optional("image_id", reads::<Option<String>>, "a UUID with hyphens"),
    Field::required("bytes", reads::<u64>, "the size of the original in bytes, a whole number"),
    Field::required("content_type", reads::<String>, "image/* or application/octet-stream"),
];

impl OwnerText {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Where to PUT an original, and what to enqueue then.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresignAnswer {
    /// Signed; valid for 15 minutes. Whoever holds it may PUT, so it belongs in no log.
    url: String,
    /// Headers that were signed, and must be sent as they are.
    headers: BTreeMap<String, String>,
    /// For the job.
    image_id: String,
    /// For the job.
    #[schema(value_type = Object)]
    source: Source,
}

/// Takes an original, stages it, and enqueues the job that keeps it.
///
/// The body is the original itself, or multipart with one file. With an `Idempotency-Key`, and the same original, a
/// repetition gives the same job and the same key.
#[utoipa::path(
    post, path = "/api/uploads", tag = "uploads",
    params(UploadParams, ("Idempotency-Key" = Option<String>, Header, description = "1 to 240 characters")),
    request_body(content(
        (Vec<u8> = "application/octet-stream"), (Vec<u8> = "image/*"), (UploadForm = "multipart/form-data"),
    )),
    responses(
        (status = 202, description = "Staged and enqueued", body = Taken),
        Refusals,
    )
)]
pub async fn upload(
    State(app): State<App>,
    Params(params): Params<UploadParams>,
    request: Request,
) -> Result<Response, Problem> {
    let owner = Owner::of(params.user_id.as_deref(), params.product_id.as_deref())?;
    let idempotency_key = idempotency_key(request.headers(), MAX_KEY)?;
    let image_id = image_id(params.image_id.as_deref(), &owner, idempotency_key.as_deref())?;
    // A trace differs each time: with it, no repetition would be the same payload.
    let traceparent = request.headers().get("traceparent").filter(|_| idempotency_key.is_none());
    let traceparent = traceparent.and_then(|value| value.to_str().ok()).map(str::to_owned);
    within(app.admit(owner.kind(), 1)).await?;

    let original = body::original(request, &app.memory).await?;
    let repeats = params.image_id.is_none() && idempotency_key.is_some();
    let staged = stage(&app, &owner, image_id, original, repeats).await?;
    let options = EnqueueOptions { idempotency_key, ..EnqueueOptions::default() };
    let (id, key) = enqueue(&app, &owner, image_id, &staged, traceparent, options).await?;

    info!(job.id = %id, object.key = %key, size_bytes = staged.bytes, "upload taken");
    Ok((StatusCode::ACCEPTED, Json(Taken::new(&id, Some(&key)))).into_response())
}

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read part by part")]
pub struct UploadForm {
    /// The original.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// An original that the bucket has.
struct Staged {
    key: StagedKey,
    bytes: u64,
    sha256: String,
    /// Whether we put it there just now.
    fresh: bool,
}

/// The one that was given; else, for an idempotency key, always the same; else a fresh one.
fn image_id(given: Option<&str>, owner: &Owner, idempotency_key: Option<&str>) -> Result<ImageId, Problem> {
    match (given, idempotency_key) {
        (Some(text), _) => text.parse().map_err(|error| Problem::id("image_id", &error)),
        (None, Some(key)) => Ok(derived(owner, key)),
        (None, None) => Ok(ImageId::random()),
    }
}

/// Made of the owner and the key: a repetition must write the same object.
fn derived(owner: &Owner, key: &str) -> ImageId {
    let digest = Sha256::digest(format!("darkroom\n{}\n{}\n{key}", owner.kind(), owner.id()));
    ImageId::of_digest(digest[..16].try_into().expect("a SHA-256 is longer"))
}

/// Puts the original where the job will look. One of another content that is there stays: it is another job's, and
/// where the idempotency key chose the place, that job has the same key.
async fn stage(
    app: &App,
    owner: &Owner,
    image_id: ImageId,
    original: Original,
    repeats: bool,
) -> Result<Staged, Problem> {
    let key = StagedKey::of(owner.kind(), owner.id(), image_id);
    let attributes = ObjectAttributes {
        content_type: original.content_type.clone(),
        source_sha256: Some(original.sha256.clone()),
        ..ObjectAttributes::default()
    };
    let object = ObjectKey::staged(&key);
    let putting = app.storage.put_once(&object, original.bytes.clone(), &attributes);
    let stored = timeout(STAGING_TIME, putting).await;
    let stored =
        stored.map_err(|_| Problem::storage_unavailable("the bucket did not keep the original in time"))?;
    let stored = stored.map_err(|error| match error.kind() {
        ErrorKind::Conflict if repeats => {
            let detail = "this idempotency key was used for another original, whose job is not done";
            Problem::job(StatusCode::CONFLICT, ErrorCode::IdempotencyConflict, detail)
        }
        _ => error.into(),
    })?;
    let (bytes, sha256) = (original.bytes.len() as u64, original.sha256);
    Ok(Staged { key, bytes, sha256, fresh: !stored.already_there })
}

async fn enqueue(
    app: &App,
    owner: &Owner,
    image_id: ImageId,
    staged: &Staged,
    traceparent: Option<String>,
    mut options: EnqueueOptions,
) -> Result<(JobId, ObjectKey), Problem> {
    let source = source(staged);
    let ours = JobId::generate();
    options.job_id = Some(ours.clone());
    let (key, answer) = match owner.clone() {
        Owner::User(user_id) => {
            let key = ObjectKey::user_photo(&user_id, &image_id);
            let job = traced(Upload { user_id, image_id, source }, traceparent);
            (key, within(app.producer.enqueue_with::<Upload>(job, options)).await)
        }
        Owner::Product(product_id) => {
            let key = ObjectKey::product_image(&product_id, &image_id);
            let job = traced(Ingest { product_id, image_id, source }, traceparent);
            (key, within(app.producer.enqueue_with::<Ingest>(job, options)).await)
        }
    };
    match &answer {
        Ok(id) if *id == ours => {}
        Ok(earlier) => tidy(app, staged, Some(earlier)).await,
        Err(problem) if problem.is_unknown() => {}
        Err(problem) => tidy(app, staged, problem.job_id()).await,
    }
    Ok((answer?, key))
}

fn traced<J>(job: J, traceparent: Option<String>) -> Payload<J> {
    Payload { traceparent, ..Payload::from(job) }
}

fn source(staged: &Staged) -> Source {
    // No ETag: with some encryptions it differs each time, and a repetition must be the same payload.
    let (key, sha256) = (staged.key.clone(), Some(staged.sha256.clone()));
    Source::Staged { key, bytes: Some(staged.bytes), etag: None, sha256 }
}

/// Removes an original that we staged for nothing: no new job needs it, nor does an earlier one that is final.
async fn tidy(app: &App, staged: &Staged, earlier: Option<&JobId>) {
    let removing = async {
        if !staged.fresh {
            return Ok(());
        }
        if let Some(id) = earlier
            && within(app.producer.receipt(id)).await?.is_some_and(|receipt| !receipt.is_final)
        {
            return Ok(());
        }
        app.storage.delete(&ObjectKey::staged(&staged.key)).await.map_err(Problem::from)
    };
    delete::tidy(TIDYING_TIME, removing).await;
}

/// Signs a PUT of one original to the bucket: of this size and media type, and where there is none yet.
#[utoipa::path(
    post, path = "/api/uploads/presign", tag = "uploads",
    request_body = PresignRequest,
    responses(
        (status = 200, description = "PUT it there, then enqueue `source`", body = PresignAnswer),
        Refusals,
    )
)]
pub async fn presign(State(app): State<App>, request: Request) -> Result<Json<PresignAnswer>, Problem> {
    let wanted = body::json(request, &app.memory).await?;
    let wanted: PresignRequest = fields::read(wanted, &PRESIGN)?;
    let (user_id, product_id) =
        (wanted.user_id.map(OwnerText::into_text), wanted.product_id.map(OwnerText::into_text));
    let owner = Owner::of(user_id.as_deref(), product_id.as_deref())?;
    let image_id = image_id(wanted.image_id.as_deref(), &owner, None)?;
    check_size(wanted.bytes)?;
    check_type(&wanted.content_type)?;

    let key = StagedKey::of(owner.kind(), owner.id(), image_id);
    let signing = app.storage.presign_put(&key, wanted.bytes, &wanted.content_type, PUT_VALID);
    let signed = timeout(SIGNING_TIME, signing).await;
    let signed = signed
        .map_err(|_| Problem::storage_unavailable("no credentials for S3 were to be had in time"))??;
    let source = Source::Staged { key, bytes: Some(wanted.bytes), etag: None, sha256: None };
    let image_id = image_id.to_string();
    Ok(Json(PresignAnswer { url: signed.url, headers: signed.headers, image_id, source }))
}

fn check_size(bytes: u64) -> Result<(), Problem> {
    let (code, detail) = match bytes {
        0 => (ErrorCode::SourceEmpty, "an original has at least one byte".to_owned()),
        1..=MAX_SOURCE_BYTES => return Ok(()),
        _ => (ErrorCode::SourceTooLarge, format!("an original has at most {MAX_SOURCE_BYTES} bytes")),
    };
    Err(Problem::job(StatusCode::UNPROCESSABLE_ENTITY, code, detail).of("bytes"))
}

fn check_type(content_type: &str) -> Result<(), Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/+.-".contains(&b);
    let image = content_type.strip_prefix("image/").is_some_and(|rest| !rest.is_empty());
    let fits = content_type.len() <= 100 && content_type.bytes().all(allowed);
    if fits && (image || content_type == "application/octet-stream") {
        return Ok(());
    }
    Err(Problem::invalid("content_type", "it is image/* or application/octet-stream, without parameters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_idempotency_key_of_the_same_owner_names_the_same_image() {
        let owner = |id: &str| Owner::User(id.parse().unwrap());
        let id = |owner: &Owner, key| image_id(None, owner, Some(key)).unwrap();

        assert_eq!(id(&owner("u1"), "k"), id(&owner("u1"), "k"));
        assert_ne!(id(&owner("u1"), "k"), id(&owner("u1"), "l"));
        assert_ne!(id(&owner("u1"), "k"), id(&owner("u2"), "k"));
        assert_ne!(id(&owner("1"), "k"), id(&Owner::Product("1".parse().unwrap()), "k"));
        assert_ne!(image_id(None, &owner("u1"), None).unwrap(), image_id(None, &owner("u1"), None).unwrap());
    }

    #[test]
    fn only_what_can_be_an_original_is_signed() {
        assert!(check_type("image/jpeg").is_ok() && check_type("image/svg+xml").is_ok());
        for wrong in ["image/", "text/html", "image/jpeg; q=1", "image/\r\nx", ""] {
            assert!(check_type(wrong).is_err(), "{wrong:?} was taken");
        }
        assert!(check_size(1).is_ok() && check_size(MAX_SOURCE_BYTES).is_ok());
        assert!(check_size(0).is_err() && check_size(MAX_SOURCE_BYTES + 1).is_err());
    }
}
