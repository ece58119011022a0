//! Keeps one picture: what `upload` and `ingest` share.
//!
//! 1. Stop when the picture was deleted meanwhile.
//! 2. Fetch the original, within the size limit. When a job with the same one is done, and so it is gone, stop here.
//! 3. Normalize it in the sandbox, within the memory budget.
//! 4. Look again, and store it under the key made of its ids; doing it twice is harmless. Of an owner who was erased and
//!    came back, an older picture under this key is removed first.
//! 5. Look once more: a delete that came during the PUT wins.

use std::time::{Duration, Instant};

use darkroom_jobs::{
    Encoding, Kind, MAX_SOURCE_BYTES, Object, ObjectKey, Source, SourceFacts, StagedKey, Timestamp, Visual,
    Warning, WarningCode,
};
use tracing::info;

use super::{
    context::{Context, REMOVAL, elapsed_ms},
    error::JobError,
    purge::purge,
    scope::{Cutoff, Scope},
};
use crate::{
    config::steps::Step,
    imaging::{Limits, PresetName, header::Header},
    queue::clock::milliseconds,
    sandbox::{self, Photo, Priority},
    sources::{self, Original},
    storage::{
        delete::tidy,
        error::ErrorKind,
        get::ObjectHead,
        put::{CACHE_PRIVATE, CACHE_PUBLIC, ObjectAttributes, StagedAs, StoredObject},
    },
};

/// Media type of everything that is stored.
const JPEG: &str = "image/jpeg";

/// Pause when an upload of before the deletion of its owner crossed one of after it.
const CROSSED: Duration = Duration::from_secs(1);

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
    let kept = make(ctx, key, source, preset).await;
    if let (Err(JobError::Superseded), Source::Staged { key, .. }) = (&kept, source) {
        remove_original(ctx, key).await;
    }
    kept
}

/// Of an owner who was erased the original goes, as after every settlement, but not one that was staged since under the
/// same key: a job of after the deletion needs it.
async fn remove_original(ctx: &Context, key: &StagedKey) {
    let Some(deleted_at) = ctx.learn(|learnt| learnt.owner_erased_at) else { return };
    let removal = async {
        let cutoff = Cutoff::measured(&ctx.storage, deleted_at, || ctx.now()).await?;
        purge(&ctx.storage, &Scope::original(key, cutoff)).await.map(drop)
    };
    tidy(REMOVAL, removal).await;
}

async fn make(
    ctx: &Context,
    key: &ObjectKey,
    source: &Source,
    preset: PresetName,
) -> Result<Object, JobError> {
    let since = ctx.still_wanted(key).await?;

    let original = match fetch(ctx, source).await {
        Err(missing @ JobError::Source(sources::error::Error::Missing(_))) => {
            return kept_before(ctx, key, source, since, missing).await;
        }
        fetched => fetched?,
    };
    ctx.reached(Step::Fetched).await;
    let photo = normalize(ctx, &original, preset).await?;
    ctx.reached(Step::Normalized).await;

    let since = ctx.still_wanted(key).await?;
    ctx.reached(Step::Storing).await;
    let stored = store(ctx, key, &original, &photo, since).await?;
    ctx.reached(Step::Stored).await;

    let since = ctx.still_wanted(key).await?;
    require_there(ctx, key, since).await?;
    info!(object.key = %key, size_bytes = stored.size, "picture stored");
    describe(ctx, key, stored, &photo).await
}

async fn fetch(ctx: &Context, source: &Source) -> Result<Original, JobError> {
    let started = Instant::now();
    let original = ctx.sources.fetch(source, ctx.note.as_deref()).await?;
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

/// Whoever repeats an upload stages the same original under the same key, or names it in a second job, and the first job
/// that is done removes it: the picture that is there is this job's too. What proves it is the content, or else that the
/// picture was made of what was staged there.
async fn kept_before(
    ctx: &Context,
    key: &ObjectKey,
    source: &Source,
    since: Option<Timestamp>,
    missing: JobError,
) -> Result<Object, JobError> {
    // A deletion that took the original along is no failure.
    ctx.still_wanted(key).await?;
    let Source::Staged { key: staged, etag, sha256, bytes } = source else { return Err(missing) };
    let there = ctx.storage.head(key).await?;
    let is_ours = |object: &ObjectHead| match sha256 {
        Some(sha256) => {
            object.source_sha256().is_some_and(|of_object| of_object.eq_ignore_ascii_case(sha256))
        }
        None => object.was_staged(&StagedAs::new(staged, etag.as_deref())),
    };
    let Some(there) = there.filter(|there| is_ours(there) && is_since(there, since)) else {
        return Err(missing);
    };
    ctx.learn(|learnt| {
        learnt.source = Some(SourceFacts {
            source_type: source.type_name().into(),
            size: *bytes,
            sha256: there.source_sha256().map(str::to_owned),
            ..SourceFacts::default()
        });
    });

    ctx.still_wanted(key).await?;
    info!(object.key = %key, size_bytes = there.size, "picture was stored by another job");
    describe_there(ctx, key, there.size, there.etag).await
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

/// The warning that a file is not what its server or producer claims; a claim that says nothing about pictures is none.
pub fn type_mismatch(declared: Option<&str>, detected: &str) -> Option<Warning> {
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
    since: Option<Timestamp>,
) -> Result<StoredObject, JobError> {
    let started = Instant::now();
    let cache_control = if ctx.kind == Kind::Ingest { CACHE_PUBLIC } else { CACHE_PRIVATE };
    let attributes = ObjectAttributes {
        content_type: Some(JPEG.into()),
        cache_control: Some(cache_control.into()),
        job_id: Some(ctx.job_id.clone()),
        enqueued_ms: Some(ctx.enqueued_at.unix_ms()),
        source_sha256: Some(original.sha256.clone()),
        staged: original.staged.clone(),
        pipeline: Some(PIPELINE.into()),
    };
    if let Some(since) = since {
        purge(&ctx.storage, &Scope::object(key, since)).await?;
    }
    let jpeg = photo.normalized.jpeg.clone().into();
    let stored = ctx.storage.put_once(key, jpeg, &attributes).await;
    let there_before = match &stored {
        Ok(stored) => stored.already_there,
        Err(error) => error.kind() == ErrorKind::Conflict,
    };
    if there_before && since.is_some() {
        // A late upload of before the deletion may have put it: then it goes, and nothing of ours was written.
        require_there(ctx, key, since).await?;
    }
    ctx.learn(|learnt| learnt.timings.store = Some(elapsed_ms(started)));
    Ok(stored?)
}

/// Of an owner who was erased and came back, the picture that is there has to be of after the deletion. What a late
/// upload put, or its clean-up took away, is put right by the next delivery.
async fn require_there(ctx: &Context, key: &ObjectKey, since: Option<Timestamp>) -> Result<(), JobError> {
    if since.is_none() {
        return Ok(());
    }
    match ctx.storage.head(key).await? {
        Some(there) if is_since(&there, since) => Ok(()),
        _ => Err(JobError::Deferred { after: CROSSED, note: None, limited: true }),
    }
}

/// Whether an object was made by a job that was enqueued after the deletion of its owner.
fn is_since(object: &ObjectHead, since: Option<Timestamp>) -> bool {
    since.is_none_or(|since| object.enqueued_ms().is_some_and(|ms| ms > since.unix_ms()))
}

/// Describes the object that is there: what an earlier delivery stored may be of another release or preset.
async fn describe(
    ctx: &Context,
    key: &ObjectKey,
    stored: StoredObject,
    photo: &Photo,
) -> Result<Object, JobError> {
    if !stored.same_bytes {
        return describe_there(ctx, key, stored.size, stored.etag).await;
    }
    let picture = &photo.normalized;
    let sides = (picture.width, picture.height);
    let described = object(ctx, key, stored.size, stored.etag, sides, photo.sha256.clone());
    Ok(Object { encoding: picture.encoding, ..described })
}

/// Describes an object by its content.
async fn describe_there(
    ctx: &Context,
    key: &ObjectKey,
    size: u64,
    etag: Option<String>,
) -> Result<Object, JobError> {
    let there = ctx.storage.download(key, MAX_SOURCE_BYTES, etag.as_deref()).await?;
    let header = Header::read(&there.bytes, &Limits::default()).map_err(sandbox::Error::from)?;
    Ok(object(ctx, key, size, etag, (header.width, header.height), there.sha256))
}

fn object(
    ctx: &Context,
    key: &ObjectKey,
    size: u64,
    etag: Option<String>,
    (width, height): (u32, u32),
    sha256: String,
) -> Object {
    Object {
        key: key.clone(),
        bucket: ctx.storage.bucket().into(),
        url: (ctx.kind == Kind::Ingest).then(|| ctx.storage.public_url(key)).flatten(),
        content_type: JPEG.into(),
        size,
        width,
        height,
        etag,
        sha256,
        encoding: Encoding::Reencoded,
    }
}
