//! Originals that wait under `staging/`.

use darkroom_jobs::{MAX_SOURCE_BYTES, ObjectKey, StagedKey};

use super::{Original, error::Error};
use crate::storage::{Storage, error::ErrorKind, put::StagedAs};

/// What the job says of the original.
pub(super) struct Expected<'a> {
    pub bytes: Option<u64>,
    pub etag: Option<&'a str>,
    pub sha256: Option<&'a str>,
}

pub(super) async fn fetch(
    storage: &Storage,
    key: &StagedKey,
    expected: &Expected<'_>,
) -> Result<Original, Error> {
    let etag = expected.etag.map(quoted);
    let found = storage.download(&ObjectKey::staged(key), MAX_SOURCE_BYTES, etag.as_deref()).await;
    let found = found.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::Missing(error),
        ErrorKind::TooLarge => Error::TooLarge,
        ErrorKind::Changed => Error::Changed("ETag"),
        _ => Error::Storage(error),
    })?;

    if expected.bytes.is_some_and(|bytes| bytes != found.bytes.len() as u64) {
        return Err(Error::Changed("size"));
    }
    if etag.is_some() && found.etag.as_deref().map(quoted) != etag {
        return Err(Error::Changed("ETag"));
    }
    if let Some(sha256) = expected.sha256.filter(|sha256| !sha256.eq_ignore_ascii_case(&found.sha256)) {
        return Err(Error::ChecksumMismatch { expected: sha256.to_owned(), actual: found.sha256 });
    }
    let staged = Some(StagedAs::new(key, found.etag.as_deref()));
    Ok(Original { bytes: found.bytes, declared_type: found.content_type, sha256: found.sha256, staged })
}

/// Producers copy ETags with and without quotes; Ceph compares them quoted.
fn quoted(etag: &str) -> String {
    format!("\"{}\"", etag.trim_matches('"'))
}
