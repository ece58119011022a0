//! Originals that are files here: each is staged in the bucket, then its job is enqueued.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use darkroom_jobs::{ErrorCode, ImageId, JobId, MAX_SOURCE_BYTES, ObjectKey, Producer, Source, StagedKey};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use super::{
    Owner, push,
    taken::{Place, Refusal, Taken},
};
use crate::{
    cli::{WrongCall, connect, media_type},
    digest,
    storage::{self, Storage, put::ObjectAttributes},
};

/// Files that are read and staged at once: so many originals are in memory.
const AT_ONCE: usize = 4;

/// One original, and what its picture will be called.
#[derive(Clone, Debug)]
pub struct Image {
    /// The original.
    pub file: PathBuf,
    /// Of the picture.
    pub image_id: ImageId,
}

/// The files that the words mean: files, the pictures of folders, and what patterns match. At least one.
///
/// # Errors
///
/// [`WrongCall`] when a word means no file.
pub fn find(words: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for word in words {
        let files = if word.is_dir() {
            pictures_in(word)?
        } else if word.is_file() {
            vec![word.clone()]
        } else {
            matching(word)?
        };
        if files.is_empty() {
            bail!(WrongCall(format!("there is no picture at {}", word.display())));
        }
        found.extend(files);
    }
    Ok(found)
}

/// Files whose name says that they are pictures; the folders in it are not looked into.
fn pictures_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("could not read the folder {}", folder.display());
    let mut files = Vec::new();
    let mut left_out = 0;
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        match path.is_file() {
            true if media_type::of_picture(&path).is_some() => files.push(path),
            is_file => left_out += usize::from(is_file),
        }
    }
    if left_out > 0 {
        eprintln!("{}: files left out that are no pictures by their names: {left_out}", folder.display());
    }
    files.sort();
    Ok(files)
}

fn matching(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Some(text) = pattern.to_str() else { return Ok(Vec::new()) };
    let paths = match glob::glob(text) {
        Ok(paths) => paths,
        Err(error) => bail!(WrongCall(format!("{text} is no pattern: {error}"))),
    };
    let mut files =
        paths.collect::<Result<Vec<_>, _>>().with_context(|| format!("could not follow {text}"))?;
    files.retain(|path| path.is_file());
    Ok(files)
}

/// Stages and enqueues the files, some at once; each id is printed as its job is taken. When it is the bucket or Redis
/// that refuses, the files that are left are not tried.
///
/// # Errors
///
/// When the settings of S3 cannot be used, or Redis is away before anything is staged.
pub async fn enqueue(
    producer: &Producer,
    images: Vec<Image>,
    owner: &Owner,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let storage = connect::storage_of_environment().await?;
    producer.receipt(&JobId::generate()).await.context(connect::AWAY)?;
    let bar = bar(images.len());
    let mut left = images.into_iter();
    let mut running = JoinSet::new();
    let mut stopped = false;
    loop {
        while !stopped && running.len() < AT_ONCE {
            let Some(image) = left.next() else { break };
            let (storage, producer, owner) = (storage.clone(), producer.clone(), owner.clone());
            running.spawn(async move { (keep(&storage, &producer, &owner, &image).await, image.file) });
        }
        let Some(ended) = running.join_next().await else { break };
        let (answer, file) = ended.context("staging a file died")?;
        let blame = answer.as_ref().err().map(|refusal| refusal.code.blame());
        stopped |= blame == Some(darkroom_jobs::Blame::Platform);
        bar.suspend(|| taken.note(&Place::File(file), answer.map(|(id, key)| (id, Some(key)))))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if left.len() > 0 {
        eprintln!("files that were not tried: {}", left.len());
    }
    Ok(())
}

/// Shown on a terminal alone.
fn bar(files: usize) -> ProgressBar {
    if files < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left");
    ProgressBar::new(files as u64).with_style(style.expect("our own template parses"))
}

/// Stages one file, and enqueues its job.
async fn keep(
    storage: &Storage,
    producer: &Producer,
    owner: &Owner,
    image: &Image,
) -> Result<(JobId, ObjectKey), Refusal> {
    let content = read(&image.file).await?;
    let Staged { source, fresh } = stage(storage, owner, image, content).await?;
    let internal =
        |error: serde_json::Error| Refusal { code: ErrorCode::Internal, message: error.to_string() };
    let (payload, key) = owner.job(image.image_id, source.clone()).map_err(internal)?;
    let Refusal { code, message } = match push::one(producer, owner.kind(), &payload, None).await {
        Ok(id) => return Ok((id, key)),
        Err(refusal) => refusal,
    };
    let original = match code {
        ErrorCode::QueueUnavailable => "its staged original stays".to_owned(),
        _ if !fresh => "its staged original stays: another job has the same".to_owned(),
        _ => match storage.remove_original(&source).await {
            Ok(()) => "its staged original was removed".to_owned(),
            Err(error) => format!("its staged original stays until its lifecycle rule takes it: {error}"),
        },
    };
    Err(Refusal { code, message: format!("{message}; {original}") })
}

/// The whole file, of 1 byte to 32 MiB; a larger one is refused before it is read.
async fn read(file: &Path) -> Result<Bytes, Refusal> {
    let unreadable =
        |error: std::io::Error| Refusal { code: ErrorCode::SourceMissing, message: error.to_string() };
    let announced = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
    let size = |bytes: u64| match bytes {
        0 => Err(Refusal { code: ErrorCode::SourceEmpty, message: "the file has no bytes".into() }),
        1..=MAX_SOURCE_BYTES => Ok(()),
        _ => Err(Refusal {
            code: ErrorCode::SourceTooLarge,
            message: format!("the file has {bytes} bytes, at most {MAX_SOURCE_BYTES}"),
        }),
    };
    size(announced)?;
    let content = tokio::fs::read(file).await.map_err(unreadable)?;
    // Somebody may be writing it.
    size(content.len() as u64)?;
    Ok(content.into())
}

/// An original that the bucket has.
struct Staged {
    source: Source,
    /// Whether we put it there just now.
    fresh: bool,
}

/// Puts an original where the job will look, unless it is there. One of another content stays: it is another job's.
async fn stage(storage: &Storage, owner: &Owner, image: &Image, content: Bytes) -> Result<Staged, Refusal> {
    let key = StagedKey::of(owner.kind(), owner.id(), image.image_id);
    let sha256 = digest::sha256(&content);
    let attributes = ObjectAttributes {
        content_type: Some(media_type::of(&image.file).into()),
        source_sha256: Some(sha256.clone()),
        ..Default::default()
    };
    let refused = |error: storage::error::Error| Refusal {
        code: error.code(),
        message: format!("{:#}", anyhow::Error::from(error)),
    };
    let stored = storage.put_once(&ObjectKey::staged(&key), content, &attributes).await.map_err(refused)?;
    let source = Source::Staged { key, bytes: Some(stored.size), etag: stored.etag, sha256: Some(sha256) };
    Ok(Staged { source, fresh: !stored.already_there })
}
