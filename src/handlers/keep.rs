//! Keeps one picture: what `upload` and `ingest` share.
//!
//! 1. Stop when the picture was deleted meanwhile.
//! 2. Fetch the original, within the size limit.
//! 3. Normalize it in the sandbox, within the memory budget.
//! 4. Look again, and store it under the key made of its ids; doing it twice is harmless.
//! 5. Look once more: a delete that came during the PUT wins.

use std::time::Instant;

use darkroom_jobs::{
    Encoding, Kind, MAX_SOURCE_BYTES, Object, ObjectKey, Source, SourceFacts, Visual, Warning, WarningCode,
};
use tracing::info;

use super::{
    context::{Context, elapsed_ms},
    error::JobError,
};
use crate::{
    config::steps::Step,
    imaging::{Limits, PresetName, header::Header},
    queue::clock::milliseconds,
    sandbox::{self, Photo, Priority},
    sources::Original,
    storage::put::{CACHE_PRIVATE, CACHE_PUBLIC, ObjectAttributes, StoredObject},
};

/// Media type of everything that is stored.
const JPEG: &str = "image/jpeg";

/// What turns originals into pictures, as objects name it.
pub const PIPELINE: &str = concat!("darkroom/", env!("CARGO_PKG_VERSION"));

/// Keeps the picture at `source` under `key`. Running it twice stores the same object once.
///
/// # Errors
///
/// See [`JobError`]; [`JobError::Superseded`] when a look finds a tombstone.
pub async fn keep(
    ctx: &Context,
    key: &ObjectKey,
    source: &Source,
    preset: PresetName,
) -> Result<Object, JobError> {
    ctx.still_wanted(key).await?;

    let original = fetch(ctx, source).await?;
    ctx.reached(Step::Fetched).await;
    let photo = normalize(ctx, &original, preset).await?;
    ctx.reached(Step::Normalized).await;

    ctx.still_wanted(key).await?;
    let stored = store(ctx, key, &original, &photo).await?;
    ctx.reached(Step::Stored).await;

    ctx.still_wanted(key).await?;
    info!(object.key = %key, size_bytes = stored.size, "picture stored");
    describe(ctx, key, stored, &photo).await
}

async fn fetch(ctx: &Context, source: &Source) -> Result<Original, JobError> {
    let started = Instant::now();
    let original = ctx.sources.fetch(source).await?;
    ctx.learn(|learnt| {
        learnt.timings.fetch = Some(elapsed_ms(started));
        learnt.source = Some(SourceFacts {
            source_type: source.type_name().into(),
            declared_type: original.declared_type.clone(),
            size: Some(original.bytes.len() as u64),
            sha256: Some(original.sha256.clone()),
            ..SourceFacts::default()
        });
    });
    Ok(original)
}

async fn normalize(ctx: &Context, original: &Original, preset: PresetName) -> Result<Photo, JobError> {
    let priority = if ctx.kind == Kind::Upload { Priority::Upload } else { Priority::Ingest };
    let bytes = original.bytes.clone();
    let photo = ctx.sandbox.normalize(bytes, preset, priority, |waiting| ctx.waits(waiting)).await;
    ctx.waits(false);
    let photo = photo?;
    learn(ctx, &photo);
    Ok(photo)
}

/// Notes what the picture told of itself.
fn learn(ctx: &Context, photo: &Photo) {
    let (facts, timings) = (&photo.normalized.facts, photo.timings);
    ctx.learn(|learnt| {
        let declared = learnt.source.as_ref().and_then(|source| source.declared_type.clone());
        learnt.warnings = photo.normalized.warnings.clone();
        learnt.warnings.extend(type_mismatch(declared.as_deref(), facts.detected_type));
        learnt.visual = Some(Visual { thumbhash: facts.thumbhash.clone(), dominant: facts.dominant.clone() });
        learnt.timings.decode = Some(milliseconds(timings.decode));
        learnt.timings.process = Some(milliseconds(timings.process));
        learnt.timings.encode = Some(milliseconds(timings.encode));
        if let Some(source) = &mut learnt.source {
            source.detected_type = Some(facts.detected_type.into());
            source.width = Some(facts.width);
            source.height = Some(facts.height);
            source.orientation = Some(facts.orientation);
            source.icc = facts.icc.clone();
            source.frames = Some(facts.frames);
            source.had_gps = Some(facts.had_gps);
        }
    });
}

/// A claim that says nothing about pictures is none.
fn type_mismatch(declared: Option<&str>, detected: &str) -> Option<Warning> {
    let declared = declared?.split(';').next()?.trim().to_ascii_lowercase();
    let claims = declared.starts_with("image/") || declared.starts_with("text/");
    let same = declared == detected || (declared == "image/jpg" && detected == JPEG);
    (claims && !same).then(|| Warning {
        code: WarningCode::TypeMismatch,
        message: format!("declared {declared}, detected {detected}"),
    })
}

async fn store(
    ctx: &Context,
    key: &ObjectKey,
    original: &Original,
    photo: &Photo,
) -> Result<StoredObject, JobError> {
    let started = Instant::now();
    let cache_control = if ctx.kind == Kind::Ingest { CACHE_PUBLIC } else { CACHE_PRIVATE };
    let attributes = ObjectAttributes {
        content_type: Some(JPEG.into()),
        cache_control: Some(cache_control.into()),
        job_id: Some(ctx.job_id.clone()),
        enqueued_ms: Some(ctx.enqueued_at.unix_ms()),
        source_sha256: Some(original.sha256.clone()),
        pipeline: Some(PIPELINE.into()),
    };
    let stored = ctx.storage.put_once(key, photo.normalized.jpeg.clone().into(), &attributes).await?;
    ctx.learn(|learnt| learnt.timings.store = Some(elapsed_ms(started)));
    Ok(stored)
}

/// Describes the object that is there: what an earlier delivery stored may be of another release or preset.
async fn describe(
    ctx: &Context,
    key: &ObjectKey,
    stored: StoredObject,
    photo: &Photo,
) -> Result<Object, JobError> {
    let picture = &photo.normalized;
    let (mut width, mut height, mut sha256) = (picture.width, picture.height, photo.sha256.clone());
    if !stored.same_bytes {
        let there = ctx.storage.download(key, MAX_SOURCE_BYTES, stored.etag.as_deref()).await?;
        let header = Header::read(&there.bytes, &Limits::default()).map_err(sandbox::Error::from)?;
        (width, height) = (header.width, header.height);
        sha256 = there.sha256;
    }
    Ok(Object {
        key: key.clone(),
        bucket: ctx.storage.bucket().into(),
        url: (ctx.kind == Kind::Ingest).then(|| ctx.storage.public_url(key)).flatten(),
        content_type: JPEG.into(),
        size: stored.size,
        width,
        height,
        etag: stored.etag,
        sha256,
        encoding: Encoding::Reencoded,
    })
}
