//! Objects in files. A file is one line of JSON and then the content, and comes into being by a rename: a reader sees
//! one object whole, never parts of two. Its name is a hash of the key, so its length does not matter.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    fs,
    io::{AsyncBufReadExt, BufReader},
    sync::RwLock,
};
use ulid::Ulid;

use crate::digest;

const UNFINISHED: &str = "unfinished-";

/// What is kept of an object beside its content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub key: String,
    pub size: u64,
    /// MD5 of the content in hex, without quotes.
    pub etag: String,
    pub modified: SystemTime,
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub metadata: HashMap<String, String>,
}

/// What must hold of the object under the key for a PUT to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Absent,
    Etag(String),
}

/// Why a PUT did not happen.
#[derive(Debug)]
pub(super) enum NotStored {
    NoBucket,
    ConditionFailed,
    /// The key is no path, or another object is where it would have a folder.
    KeyRefused,
    Io(io::Error),
}

impl From<io::Error> for NotStored {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) type Bucket = BTreeMap<String, Arc<Facts>>;

#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    buckets: RwLock<BTreeMap<String, Bucket>>,
}

impl Store {
    pub async fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root).await?;
        let mut buckets = BTreeMap::new();
        let mut folders = fs::read_dir(root).await?;
        while let Some(folder) = folders.next_entry().await? {
            if folder.file_type().await?.is_dir() {
                let name = folder.file_name().to_string_lossy().into_owned();
                buckets.insert(name, read_bucket(&folder.path()).await?);
            }
        }
        Ok(Self { root: root.to_owned(), buckets: RwLock::new(buckets) })
    }

    /// Whether the bucket is new.
    pub async fn create_bucket(&self, name: &str) -> io::Result<bool> {
        let mut buckets = self.buckets.write().await;
        if buckets.contains_key(name) {
            return Ok(false);
        }
        fs::create_dir_all(self.root.join(name)).await?;
        buckets.insert(name.to_owned(), Bucket::new());
        Ok(true)
    }

    /// Writes beside, then decides and renames under the lock: of many that want the key absent, one wins.
    pub async fn put(
        &self,
        bucket: &str,
        facts: Facts,
        content: &[u8],
        condition: &Condition,
    ) -> Result<(), NotStored> {
        match self.buckets.read().await.get(bucket) {
            None => return Err(NotStored::NoBucket),
            Some(objects) if !is_path(&facts.key) || is_in_the_way(objects, &facts.key) => {
                return Err(NotStored::KeyRefused);
            }
            Some(_) => {}
        }
        let mut file = serde_json::to_vec(&facts).map_err(io::Error::from)?;
        file.push(b'\n');
        file.extend_from_slice(content);
        let unfinished = self.root.join(bucket).join(format!("{UNFINISHED}{}", Ulid::generate()));
        fs::write(&unfinished, &file).await?;

        let mut buckets = self.buckets.write().await;
        let objects = buckets.get_mut(bucket).ok_or(NotStored::NoBucket)?;
        if is_in_the_way(objects, &facts.key) {
            fs::remove_file(&unfinished).await?;
            return Err(NotStored::KeyRefused);
        }
        let there = objects.get(&facts.key);
        let granted = match condition {
            Condition::Always => true,
            Condition::Absent => there.is_none(),
            Condition::Etag(etag) => there.is_some_and(|there| there.etag == *etag),
        };
        if !granted {
            fs::remove_file(&unfinished).await?;
            return Err(NotStored::ConditionFailed);
        }
        fs::rename(&unfinished, self.file(bucket, &facts.key)).await?;
        objects.insert(facts.key.clone(), Arc::new(facts));
        Ok(())
    }

    /// An object as it is in its file; `None` when there is none.
    pub async fn get(&self, bucket: &str, key: &str) -> io::Result<Option<(Facts, Bytes)>> {
        let file = match fs::read(self.file(bucket, key)).await {
            Ok(file) => Bytes::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let line = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
        let facts = serde_json::from_slice(&file[..line]).map_err(io::Error::from)?;
        Ok(Some((facts, file.slice((line + 1).min(file.len())..))))
    }

    pub async fn delete(&self, bucket: &str, key: &str) -> io::Result<()> {
        let mut buckets = self.buckets.write().await;
        if buckets.get_mut(bucket).and_then(|objects| objects.remove(key)).is_some() {
            fs::remove_file(self.file(bucket, key)).await?;
        }
        Ok(())
    }

    /// What `look` makes of a bucket; `None` when there is no such bucket.
    pub async fn look<T>(&self, bucket: &str, look: impl FnOnce(&Bucket) -> T) -> Option<T> {
        self.buckets.read().await.get(bucket).map(look)
    }

    fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(digest::sha256(key.as_bytes()))
    }
}

/// Whether every store could keep the key: on many, a key is the path of a file.
fn is_path(key: &str) -> bool {
    !key.starts_with('/') && !key.contains("//") && !key.split('/').any(|part| matches!(part, "." | ".."))
}

/// Whether an object is where this key needs a folder, or the other way round.
fn is_in_the_way(objects: &Bucket, key: &str) -> bool {
    let below = format!("{key}/");
    let has_below = objects.range(below.clone()..).next().is_some_and(|(other, _)| other.starts_with(&below));
    has_below || key.match_indices('/').any(|(at, _)| objects.contains_key(&key[..at]))
}

async fn read_bucket(folder: &Path) -> io::Result<Bucket> {
    let mut objects = Bucket::new();
    let mut files = fs::read_dir(folder).await?;
    while let Some(file) = files.next_entry().await? {
        if file.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(file.path()).await?;
            continue;
        }
        let mut line = Vec::new();
        BufReader::new(fs::File::open(file.path()).await?).read_until(b'\n', &mut line).await?;
        let facts: Facts = serde_json::from_slice(&line).map_err(io::Error::from)?;
        objects.insert(facts.key.clone(), Arc::new(facts));
    }
    Ok(objects)
}
