//! Listing objects and versions, a page at a time.

use aws_sdk_s3::primitives::DateTime;
use darkroom_jobs::{ObjectKey, OwnerPrefix, StagedKey, Timestamp};

use super::{
    Storage,
    error::{Error, ErrorKind},
};

/// Which objects to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Everything of one owner.
    pub fn owner(owner: &OwnerPrefix) -> Self {
        Self(owner.to_string())
    }

    /// Originals of one owner that our own API staged.
    pub fn staged_of(owner: &OwnerPrefix) -> Self {
        Self(staged(owner.as_str()))
    }

    /// One object, with whatever name begins like its own up to `.jpg` (variants are `{stem}_…`).
    pub fn image(key: &ObjectKey) -> Self {
        Self(key.stem().to_owned())
    }

    /// Originals that our own API and command line staged for one image.
    pub fn staged_image(key: &ObjectKey) -> Self {
        Self(staged(key.stem()))
    }

    /// One original, with whatever name begins like its own.
    pub fn original(key: &StagedKey) -> Self {
        Self(key.as_str().to_owned())
    }

    /// All originals that wait.
    pub fn staging() -> Self {
        Self("staging/".to_owned())
    }

    /// All objects of the bucket that are below `S3_PREFIX`.
    pub fn everything() -> Self {
        Self(String::new())
    }

    /// Whether originals are listed, not finished pictures.
    pub fn is_staging(&self) -> bool {
        self.0.starts_with("staging/")
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `staging/{kind}/{owner}/…`: the folders of finished pictures are named otherwise than the kinds of jobs.
fn staged(path: &str) -> String {
    match path.split_once('/') {
        Some(("user_photos", rest)) => format!("staging/upload/{rest}"),
        Some(("products", rest)) => format!("staging/ingest/{rest}"),
        _ => format!("staging/{path}"),
    }
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key, without `S3_PREFIX`.
    pub key: String,
    /// Bytes; 0 for a delete marker.
    pub size: u64,
    /// When it was put, by the server's clock, to the second.
    pub modified: Option<Timestamp>,
    /// Version; `None` where versions were not asked for.
    pub version: Option<String>,
    /// Whether it is what a GET finds.
    pub is_latest: bool,
    /// Whether it is no object but the mark of its deletion.
    pub is_marker: bool,
}

/// At most 1,000 entries.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The entries, ordered by key.
    pub entries: Vec<Listed>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The server's marker: a token of its own where objects are listed.
    marker: String,
    version: Option<String>,
    of: Listing,
}

/// Which listing a cursor goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Objects,
    Versions,
    /// Either: it is a name.
    Any,
}

impl Cursor {
    /// Whether [`Storage::list_versions`] takes it.
    pub fn may_be_of_versions(&self) -> bool {
        self.of != Listing::Objects
    }

    /// Whether [`Storage::list`] takes it.
    pub fn may_be_of_objects(&self) -> bool {
        self.of != Listing::Versions
    }
}

impl Storage {
    /// One page of the objects of a prefix.
    ///
    /// # Errors
    ///
    /// As of every request; nothing found is an empty page.
    pub async fn list(&self, prefix: &Prefix, from: Option<Cursor>) -> Result<Page, Error> {
        let place = self.place_of(&prefix.0);
        let request = self.client.list_objects_v2().bucket(place.bucket).prefix(place.name);
        let (name, token) = match from {
            Some(Cursor { marker, of: Listing::Any, .. }) => (Some(marker), None),
            from => (None, from.map(|cursor| cursor.marker)),
        };
        let request = request.set_start_after(name).set_continuation_token(token);
        let answer = self.ask("ListObjectsV2", request.send()).await?;

        let next = answer.next_continuation_token;
        let next = next.map(|marker| Cursor { marker, version: None, of: Listing::Objects });
        let entries = answer.contents.unwrap_or_default().into_iter().map(|object| Listed {
            key: self.key_of(object.key().unwrap_or_default()),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            modified: object.last_modified().and_then(moment),
            version: None,
            is_latest: true,
            is_marker: false,
        });
        Ok(Page { entries: entries.collect(), next })
    }

    /// One page of all versions and delete markers of a prefix; `None` where the server does not tell, or not us.
    ///
    /// # Errors
    ///
    /// Any but [`ErrorKind::Unsupported`] and [`ErrorKind::Denied`].
    pub async fn list_versions(&self, prefix: &Prefix, from: Option<Cursor>) -> Result<Option<Page>, Error> {
        let place = self.place_of(&prefix.0);
        let (key, version) = from.map(|cursor| (cursor.marker, cursor.version)).unzip();
        let request = self.client.list_object_versions().bucket(place.bucket).prefix(place.name);
        let request = request.set_key_marker(key).set_version_id_marker(version.flatten());
        let answer = match self.ask("ListObjectVersions", request.send()).await {
            Ok(answer) => answer,
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };

        let next = answer.next_key_marker.filter(|_| answer.is_truncated == Some(true));
        let version = answer.next_version_id_marker;
        let next = next.map(|marker| Cursor { marker, version, of: Listing::Versions });
        let objects = answer.versions.unwrap_or_default().into_iter().map(|version| Listed {
            key: self.key_of(version.key().unwrap_or_default()),
            size: version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            is_latest: version.is_latest().unwrap_or_default(),
            modified: version.last_modified().and_then(moment),
            version: version.version_id,
            is_marker: false,
        });
        let markers = answer.delete_markers.unwrap_or_default().into_iter().map(|marker| Listed {
            key: self.key_of(marker.key().unwrap_or_default()),
            size: 0,
            is_latest: marker.is_latest().unwrap_or_default(),
            modified: marker.last_modified().and_then(moment),
            version: marker.version_id,
            is_marker: true,
        });
        let mut entries: Vec<_> = objects.chain(markers).collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Some(Page { entries, next }))
    }

    /// Where a listing goes on after all that is named so or comes before it.
    pub fn after(&self, key: &str) -> Cursor {
        Cursor { marker: self.place_of(key).name, version: None, of: Listing::Any }
    }

    pub(super) fn key_of(&self, name: &str) -> String {
        name.strip_prefix(&self.config.s3_prefix).unwrap_or(name).to_owned()
    }
}

fn moment(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|ms| u64::try_from(ms).ok()).map(Timestamp::from_unix_ms)
}
