//! Removes one image for good.
//!
//! 1. Write its tombstone: from now on no upload can bring it back.
//! 2. Remove the object and its variants.
//! 3. Remove originals that are staged for it.
//! 4. Look again: only an empty bucket is a proof, and where versions cannot be seen only one that never had any.

use std::time::Duration;

use darkroom_jobs::{Delete, Deletion, ErrorCode, ObjectKey, Target};
use tracing::{info, warn};

use super::{context::Context, error::JobError, report::Report};
use crate::storage::{
    Storage,
    error::Error as StorageError,
    list::{Listed, Page, Prefix},
    probe::Versioning,
};

/// Note of the pass that follows a deletion: a frozen worker may send a signed PUT minutes later.
pub const SECOND_PASS: &str = "second pass";

/// Pause before a deletion is looked at again that this release cannot do.
const PUT_OFF: Duration = Duration::from_secs(60 * 60);

/// Removes what the job names. Running it twice removes nothing more.
///
/// # Errors
///
/// See [`JobError`]. Everything of an owner is put off until there is erasure: never refused, never said to be done.
pub async fn run(ctx: &Context, job: &Delete) -> Result<Report, JobError> {
    let Some(key) = job.target.object_key() else { return Err(put_off(&job.target)) };

    ctx.tombstones.bury(&key).await?;

    let mut removed = remove(&ctx.storage, &Prefix::image(&key), |name| is_of_image(name, &key)).await?;
    let staged = remove(&ctx.storage, &Prefix::staged_image(&key), |_| true).await?;

    let left = remove(&ctx.storage, &Prefix::image(&key), |name| is_of_image(name, &key)).await?;
    removed.add(&left);
    let no_versions = removed.versions_known || ctx.storage.versioning().await? == Versioning::Off;
    let verified = no_versions && left.is_empty();
    info!(object.key = %key, objects = removed.objects, verified, "image deleted");
    Ok(Report::Deleted(Deletion {
        verified,
        objects: removed.objects,
        versions: removed.versions,
        markers: removed.markers,
        staged: staged.objects,
        versions_known: removed.versions_known,
        not_covered: ["cdn", "backups", "staged_unnamed"].map(str::to_owned).into(),
    }))
}

fn put_off(target: &Target) -> JobError {
    warn!(owner = %target.owner_prefix(), "erasure of an owner put off: this release deletes single images only");
    JobError::Deferred { after: PUT_OFF, note: Some("waits for erasure".into()), limited: false }
}

/// `{stem}.jpg`, and the variants `{stem}_{variant}.jpg`.
fn is_of_image(name: &str, key: &ObjectKey) -> bool {
    let rest = name.strip_prefix(key.stem());
    rest.is_some_and(|rest| rest == ".jpg" || (rest.starts_with('_') && rest.ends_with(".jpg")))
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Removed {
    objects: u64,
    versions: u64,
    markers: u64,
    versions_known: bool,
}

impl Removed {
    fn is_empty(&self) -> bool {
        self.objects + self.versions + self.markers == 0
    }

    fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.versions += other.versions;
        self.markers += other.markers;
        self.versions_known &= other.versions_known;
    }

    fn count(&mut self, entry: &Listed) {
        match entry {
            Listed { is_marker: true, .. } => self.markers += 1,
            Listed { is_latest: true, .. } => self.objects += 1,
            _ => self.versions += 1,
        }
    }
}

/// Removes everything of a prefix that `wanted` names, with all versions where the bucket tells them.
async fn remove(
    storage: &Storage,
    prefix: &Prefix,
    wanted: impl Fn(&str) -> bool,
) -> Result<Removed, JobError> {
    let mut removed = Removed { versions_known: true, ..Removed::default() };
    let mut from = None;
    loop {
        let page = next_page(storage, prefix, from, &mut removed.versions_known).await?;
        let entries: Vec<_> = page.entries.into_iter().filter(|entry| wanted(&entry.key)).collect();
        let stayed = storage.delete_many(&entries).await?;
        if let Some(first) = stayed.first() {
            return Err(JobError::NotRemoved { key: first.key.clone(), reason: first.code.clone() });
        }
        entries.iter().for_each(|entry| removed.count(entry));
        from = page.next;
        if from.is_none() {
            return Ok(removed);
        }
    }
}

async fn next_page(
    storage: &Storage,
    prefix: &Prefix,
    from: Option<crate::storage::list::Cursor>,
    versions_known: &mut bool,
) -> Result<Page, StorageError> {
    if *versions_known && let Some(page) = storage.list_versions(prefix, from.clone()).await? {
        return Ok(page);
    }
    *versions_known = false;
    storage.list(prefix, from).await
}

/// What S3 answers when a key stayed, as a code: access that was denied does not come back by itself.
pub(super) fn code_of(reason: &str) -> ErrorCode {
    if reason == "AccessDenied" { ErrorCode::StorageDenied } else { ErrorCode::StorageUnavailable }
}
