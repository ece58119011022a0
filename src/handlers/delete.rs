//! Removes one image for good.
//!
//! 1. Write its tombstone: from now on no upload can bring it back.
//! 2. Remove the object, its variants, and all their versions.
//! 3. Remove originals that are staged for it.
//! 4. Look again: only an empty bucket is a proof.

use std::time::Duration;

use darkroom_jobs::{Delete, Deletion, ObjectKey, Target};
use tracing::{info, warn};

use super::{context::Context, error::JobError, report::Report};

/// Note of the pass that follows a deletion: a frozen worker may send a signed PUT minutes later.
pub const SECOND_PASS: &str = "second pass";

/// Removes what the job names.
///
/// # Errors
///
/// See [`JobError`]. Everything of an owner is put off until there is erasure: never refused, never said to be done.
pub async fn run(ctx: &Context, job: &Delete) -> Result<Report, JobError> {
    let Some(key) = job.target.object_key() else { return Err(put_off(&job.target)) };

    ctx.tombstones.bury(&key).await?;

    let mut deletion = remove(ctx, &key).await?;
    deletion.staged = ctx.storage.delete_prefix(&staged_prefix(&job.target, &key)).await?;

    deletion.verified = deletion.verified && !ctx.storage.any_image(&key).await?;
    info!(object.key = %key, objects = deletion.objects, verified = deletion.verified, "image deleted");
    Ok(Report::Deleted(deletion))
}
