//! Finished pictures: where they are, and whether they are there. A key from outside is parsed, and made anew of its ids.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use darkroom_jobs::ObjectKey;
use tokio::time::timeout;

use super::{extract::Segment, openapi::Refusals, problem::Problem, state::App};

/// How long a signed GET is valid.
const GET_VALID: Duration = Duration::from_secs(5 * 60);
/// How long the bucket, or the source of credentials, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Redirects to a signed URL of the picture, valid for 5 minutes. The bucket is not asked whether it is there.
#[utoipa::path(
    get, path = "/api/objects/{*key}", tag = "objects",
    params(("key" = String, Path, description = "user_photos/{user_id}/{image_id}.jpg or products/{product_id}/{image_id}.jpg")),
    responses(
        (status = 302, description = "Signed URL in `Location`"),
        Refusals,
    )
)]
pub async fn locate(State(app): State<App>, key: Segment) -> Result<Response, Problem> {
    let key = finished(&key)?;
    let signed = timeout(PATIENCE, app.storage.presign_get(&key, GET_VALID)).await;
    let signed = signed
        .map_err(|_| Problem::storage_unavailable("no credentials for S3 were to be had in time"))??;
    let headers = [(header::LOCATION, signed.url), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// Says whether the picture is there.
#[utoipa::path(
    head, path = "/api/objects/{*key}", tag = "objects",
    params(("key" = String, Path, description = "As of GET")),
    responses(
        (status = 200, description = "It is there"),
        (status = 404, description = "It is not there"),
        Refusals,
    )
)]
pub async fn exists(State(app): State<App>, key: Segment) -> Result<StatusCode, Problem> {
    let key = finished(&key)?;
    let asked = timeout(PATIENCE, app.storage.exists(&key)).await;
    match asked.map_err(|_| Problem::storage_unavailable("the bucket did not answer in time"))?? {
        true => Ok(StatusCode::OK),
        false => Err(Problem::not_found(format!("there is no {key}"))),
    }
}

/// The key of a finished picture; originals that wait are nobody's to fetch.
fn finished(key: &Segment) -> Result<ObjectKey, Problem> {
    let key: ObjectKey = key.0.parse().map_err(|error| Problem::id("key", &error))?;
    if key.as_str().starts_with("staging/") {
        return Err(Problem::not_found("originals are not given out").of("key"));
    }
    Ok(key)
}
