//! Removes one image for good, or everything of an owner ([`erase`]).
//!
//! 1. Write its tombstone: from now on no upload can bring it back.
//! 2. Remove the object and its variants.
//! 3. Remove originals that are staged for it.
//! 4. Look again: only an empty bucket is a proof, and where versions cannot be seen only one that never had any.

use darkroom_jobs::{Delete, Deletion, ObjectKey, Target, Timestamp};
use tracing::info;

use super::{
    context::Context,
    erase,
    error::JobError,
    purge::{Refusals, Removed, purge, remove},
    report::Report,
    scope::Scope,
};
use crate::config::steps::Step;

/// Note of the pass that follows a deletion: a frozen worker may send a signed PUT minutes later.
pub const SECOND_PASS: &str = "second pass";

/// Copies that no deletion reaches.
const NOT_COVERED: [&str; 3] = ["cdn", "backups", "staged_unnamed"];

/// Removes what the job names. Running it twice removes nothing more.
///
/// # Errors
///
/// See [`JobError`].
pub async fn run(ctx: &Context, job: &Delete) -> Result<Report, JobError> {
    match job.target.object_key() {
        Some(key) => image(ctx, &job.target, &key).await.map(Report::Deleted),
        None => erase::run(ctx, &job.target).await.map(Report::Erased),
    }
}

async fn image(ctx: &Context, target: &Target, key: &ObjectKey) -> Result<Deletion, JobError> {
    let deleted_at = ctx.tombstones.bury(key).await?;
    ctx.reached(Step::Buried).await;

    let (image, originals) = (Scope::image(key), Scope::originals_of_image(key));
    // Originals tell where a picture was taken: one that is locked does not keep them from being removed.
    let mut refused = Refusals::default();
    let mut removed = remove(&ctx.storage, &image, &mut refused).await?;
    removed.add(&remove(&ctx.storage, &originals, &mut refused).await?);
    refused.result()?;
    ctx.reached(Step::Removed).await;

    let left = purge(&ctx.storage, &image).await?;
    removed.add(&left);
    let verified = left.is_empty()
        && nothing_hides(ctx, &removed, &[image, originals]).await?
        && ctx.tombstones.stands(key, deleted_at).await?;
    info!(object.key = %key, objects = removed.objects, verified, "image deleted");
    Ok(describe(target, deleted_at, verified, &removed))
}

/// Whether no version can be left that nobody has seen.
///
/// # Errors
///
/// When the bucket could not be asked.
pub(super) async fn nothing_hides(
    ctx: &Context,
    removed: &Removed,
    scopes: &[Scope],
) -> Result<bool, JobError> {
    if removed.versions_hidden {
        for scope in scopes {
            if !scope.never_versioned(&ctx.storage).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// What a receipt says of a deletion.
pub(super) fn describe(
    target: &Target,
    deleted_at: Timestamp,
    verified: bool,
    removed: &Removed,
) -> Deletion {
    let events = target.is_owner().then_some("events");
    Deletion {
        target: Some(target.clone()),
        deleted_at: Some(deleted_at),
        verified,
        objects: removed.objects,
        versions: removed.versions,
        markers: removed.markers,
        staged: removed.staged,
        versions_known: !removed.versions_hidden,
        not_covered: NOT_COVERED.into_iter().chain(events).map(str::to_owned).collect(),
    }
}
