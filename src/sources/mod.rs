//! Where an original comes from: a staged object, the job itself, or a stranger's server.
//!
//! Never decodes, and never reads more than the limit.

pub mod error;

mod inline;
mod staged;
pub mod url;

use bytes::Bytes;
use darkroom_jobs::Source;

use crate::storage::{Storage, error::Error as StorageError, put::StagedAs};
use error::Error;
use url::Fetcher;

/// Gets originals.
#[derive(Clone, Debug)]
pub struct Sources {
    storage: Storage,
    fetcher: Fetcher,
}

/// A whole original, as it came.
#[derive(Clone, Debug)]
pub struct Original {
    /// 1 byte to 32 MiB.
    pub bytes: Bytes,
    /// Media type that was claimed for them.
    pub declared_type: Option<String>,
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
    /// Where they were staged.
    pub staged: Option<StagedAs>,
}

impl Sources {
    /// Staged originals are read from this storage, and URLs by this fetcher.
    pub fn new(storage: Storage, fetcher: Fetcher) -> Self {
        Self { storage, fetcher }
    }

    /// What fetching from URLs measures.
    pub fn metrics(&self) -> &url::metrics::Metrics {
        self.fetcher.metrics()
    }

    /// Gets an original, whole, within the limit of its source. `note`: what [`Error::Deferred`] told the last delivery
    /// of the job to remember.
    ///
    /// # Errors
    ///
    /// Each variant of [`Error`].
    pub async fn fetch(&self, source: &Source, note: Option<&str>) -> Result<Original, Error> {
        let original = match source {
            Source::Staged { key, bytes, etag, sha256 } => {
                let expected =
                    staged::Expected { bytes: *bytes, etag: etag.as_deref(), sha256: sha256.as_deref() };
                staged::fetch(&self.storage, key, &expected).await?
            }
            Source::Inline { base64 } => inline::decode(base64)?,
            Source::Url { url } => self.fetcher.fetch(url, note).await?,
        };
        if original.bytes.is_empty() {
            return Err(Error::Empty);
        }
        Ok(original)
    }

    /// Removes a staged original; other sources leave nothing to remove.
    ///
    /// # Errors
    ///
    /// When the bucket could not be asked; an original that is gone is no error.
    pub async fn remove(&self, source: &Source) -> Result<(), StorageError> {
        self.storage.remove_original(source).await
    }
}
