//! Where an original comes from: a staged object, or the job itself.
//!
//! Never decodes, and never reads more than the limit.

pub mod error;

mod inline;
mod staged;

use bytes::Bytes;
use darkroom_jobs::Source;

use crate::storage::{Storage, error::Error as StorageError};
use error::Error;

/// Gets originals.
#[derive(Clone, Debug)]
pub struct Sources {
    storage: Storage,
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
}

impl Sources {
    /// Staged originals are read from this storage.
    pub fn new(storage: Storage) -> Self {
        Self { storage }
    }

    /// Gets an original, whole, within the limit of its source.
    ///
    /// # Errors
    ///
    /// Each variant of [`Error`]; URLs are [`Error::HostBlocked`], whatever they are.
    pub async fn fetch(&self, source: &Source) -> Result<Original, Error> {
        let original = match source {
            Source::Staged { key, bytes, etag, sha256 } => {
                let expected =
                    staged::Expected { bytes: *bytes, etag: etag.as_deref(), sha256: sha256.as_deref() };
                staged::fetch(&self.storage, key, &expected).await?
            }
            Source::Inline { base64 } => inline::decode(base64)?,
            Source::Url { .. } => return Err(Error::HostBlocked),
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
