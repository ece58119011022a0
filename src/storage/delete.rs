//! Removing objects and their versions. What is not there counts as removed.

use std::time::Duration;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::{Engine, engine::general_purpose::STANDARD};
use darkroom_jobs::{ObjectKey, Source};
use md5::{Digest, Md5};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{
    Place, Storage,
    error::{Error, ErrorKind},
    list::Listed,
};

/// Most keys of one DeleteObjects.
const BATCH: usize = 1_000;

/// An object that a bucket would not remove.
#[derive(Clone, Debug)]
pub struct NotDeleted {
    /// Its key, without `S3_PREFIX`.
    pub key: String,
    /// Its version, where the server tells: Ceph does not.
    pub version: Option<String>,
    /// S3's word for the reason.
    pub code: String,
}

/// Waits for the removal of an original that nobody needs any more, but not for long.
pub async fn tidy<E: std::fmt::Display>(limit: Duration, removal: impl Future<Output = Result<(), E>>) {
    match timeout(limit, removal).await {
        Ok(Ok(())) => debug!("staged original removed"),
        Ok(Err(error)) => warn!(error = %error, "staged original not removed; its lifecycle rule will"),
        Err(_) => warn!("staged original not removed in time; its lifecycle rule will"),
    }
}

impl NotDeleted {
    /// An entry that we may not remove.
    pub fn denied(entry: &Listed) -> Self {
        Self { key: entry.key.clone(), version: entry.version.clone(), code: "AccessDenied".into() }
    }

    /// Whether a listed entry may be what stayed.
    pub fn is(&self, entry: &Listed) -> bool {
        self.key == entry.key && (self.version.is_none() || self.version == entry.version)
    }
}

impl Storage {
    /// Removes an object; in a bucket with versions this leaves a marker.
    ///
    /// # Errors
    ///
    /// Any but [`ErrorKind::NotFound`].
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        self.remove_version(&self.place(key), None).await
    }

    /// Removes the original of a job that nobody will run again: a staged one; other sources leave nothing to remove.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete); an original that is gone is no error.
    pub async fn remove_original(&self, source: &Source) -> Result<(), Error> {
        match source {
            Source::Staged { key, .. } => self.delete(&ObjectKey::staged(key)).await,
            Source::Inline { .. } | Source::Url { .. } => Ok(()),
        }
    }

    /// Removes what a listing found, each entry with its version, 1,000 at a time. Returns what stayed.
    ///
    /// # Errors
    ///
    /// When a whole request failed; earlier batches are gone by then.
    pub async fn delete_many(&self, entries: &[Listed]) -> Result<Vec<NotDeleted>, Error> {
        let (staged, kept): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.key.starts_with("staging/"));
        let mut stayed = Vec::new();
        for batch in kept.chunks(BATCH).chain(staged.chunks(BATCH)) {
            match self.delete_batch(batch).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    stayed.extend(self.delete_singly(batch).await?);
                }
                outcome => stayed.extend(outcome?),
            }
        }
        Ok(stayed)
    }

    async fn delete_batch(&self, batch: &[&Listed]) -> Result<Vec<NotDeleted>, Error> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let identify = |entry: &&Listed| {
            let name = self.place_of(&entry.key).name;
            let object = ObjectIdentifier::builder().key(name).set_version_id(entry.version.clone());
            object.build().expect("the key is set")
        };
        let objects = batch.iter().map(identify).collect();
        let order = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let request = self.client.delete_objects().bucket(self.place_of(&first.key).bucket);
        let request = request.delete(order.expect("the objects are set"));

        // Older MinIO and others refuse a DeleteObjects without Content-MD5, which the SDK no longer sends.
        let request = request.customize().mutate_request(|request| {
            if let Some(md5) = request.body().bytes().map(|body| STANDARD.encode(Md5::digest(body))) {
                request.headers_mut().insert("content-md5", md5);
            }
        });
        let answer = self.ask("DeleteObjects", request.send()).await?;

        let refused = answer.errors.unwrap_or_default().into_iter();
        let refused = refused.filter(|error| error.code() != Some("NoSuchKey"));
        Ok(refused
            .map(|error| NotDeleted {
                key: self.key_of(error.key().unwrap_or_default()),
                version: error.version_id.filter(|version| !version.is_empty()),
                code: error.code.unwrap_or_default(),
            })
            .collect())
    }

    async fn delete_singly(&self, batch: &[&Listed]) -> Result<Vec<NotDeleted>, Error> {
        let mut stayed = Vec::new();
        for entry in batch {
            match self.remove_version(&self.place_of(&entry.key), entry.version.as_deref()).await {
                // One that is locked does not keep those after it.
                Err(error) if error.kind() == ErrorKind::Denied => stayed.push(NotDeleted::denied(entry)),
                outcome => outcome?,
            }
        }
        Ok(stayed)
    }

    pub(super) async fn remove_version(&self, place: &Place, version: Option<&str>) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&place.bucket).key(&place.name);
        let request = request.set_version_id(version.map(str::to_owned));
        match self.ask("DeleteObject", request.send()).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
