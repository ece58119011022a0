//! `darkroom storage`: a look into the bucket, and a hand in it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use darkroom_jobs::{MAX_SOURCE_BYTES, ObjectKey, OwnerId, OwnerPrefix};
use serde_json::json;

use super::{WrongCall, connect, media_type, out};
use crate::{
    config,
    storage::{
        Storage,
        error::ErrorKind,
        list::Prefix,
        probe::{Health, HealthStatus, finding::Finding},
        put::ObjectAttributes,
    },
};

/// Largest object that is got: it is in memory, whole.
const MOST_BYTES: u64 = 1 << 30;

/// Looks into the bucket; puts, gets and removes single objects.
#[derive(Args, Debug)]
pub struct Bucket {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Puts, gets and removes a canary, and says how the bucket is, with all that a worker in this environment would find; exit 1 when it is down.
    Health {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        opened: config::OpenedNetworks,
    },
    /// Puts a file, over whatever is there.
    Put {
        /// user_photos/USER/IMAGE.jpg, products/PRODUCT/IMAGE.jpg or staging/…
        key: ObjectKey,
        /// File of at most 32 MiB.
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Gets an object.
    Get {
        /// Its key.
        key: ObjectKey,
        /// File to write; left out, the object goes to standard output, and what --json tells to standard error.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Removes objects. Leaves no tombstone: to delete a picture for good, enqueue a `delete`.
    Rm {
        /// Their keys; what is not there counts as removed.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<ObjectKey>,
        #[command(flatten)]
        common: Common,
    },
    /// Lists objects, ordered by key.
    Ls {
        /// Photos of this user alone.
        #[arg(long, group = "whose")]
        user_id: Option<OwnerId>,
        /// Images of this product alone.
        #[arg(long, group = "whose")]
        product_id: Option<OwnerId>,
        /// Originals that wait; they may have a bucket of their own.
        #[arg(long, group = "whose")]
        staging: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Debug)]
struct Common {
    /// Prints JSON, one object on each line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    s3: config::S3,
}

/// Runs the command.
///
/// # Errors
///
/// When the bucket, or a file, is not to be had.
pub async fn run(args: Bucket) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Health { common, opened } => return health(&common, &opened).await,
        What::Put { key, file, common } => put(&common, &key, &file).await?,
        What::Get { key, output, common } => return get(&common, &key, output.as_deref()).await,
        What::Rm { keys, common } => remove(&common, &keys).await?,
        What::Ls { user_id, product_id, staging, common } => {
            let prefix = match (user_id, product_id) {
                (Some(user), _) => Prefix::owner(&OwnerPrefix::user(&user)),
                (_, Some(product)) => Prefix::owner(&OwnerPrefix::product(&product)),
                (None, None) if staging => Prefix::staging(),
                (None, None) => Prefix::everything(),
            };
            list(&common, &prefix).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn health(common: &Common, opened: &config::OpenedNetworks) -> anyhow::Result<ExitCode> {
    let storage = connect::storage(&common.s3).await?.reporting(Finding::of_networks(opened));
    let health = storage.probe().await;
    if common.json {
        out::line(serde_json::to_string(&health)?)?;
    } else {
        tell(&health)?;
    }
    Ok(if health.status == HealthStatus::Down { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was found, for a person.
fn tell(health: &Health) -> anyhow::Result<()> {
    out::line(format_args!("{}: {} at {}", health.status.as_str(), health.bucket, health.endpoint))?;
    let latency = &health.latency_ms;
    let steps =
        [("head", latency.head), ("put", latency.put), ("get", latency.get), ("delete", latency.delete)];
    let took: Vec<_> = steps.iter().filter_map(|(step, ms)| ms.map(|ms| format!("{step} {ms} ms"))).collect();
    if !took.is_empty() {
        out::line(format_args!("  {}", took.join(", ")))?;
    }
    for finding in &health.findings {
        let (code, message, hint) = (finding.code.as_str(), &finding.message, &finding.hint);
        out::line(format_args!("  {code}: {message}\n    {hint}"))?;
    }
    if let Some(failure) = &health.error {
        out::line(format_args!("  {}: {}\n    {}", failure.code, failure.message, failure.hint))?;
    }
    Ok(())
}

async fn put(common: &Common, key: &ObjectKey, file: &Path) -> anyhow::Result<()> {
    let size = match tokio::fs::metadata(file).await {
        Ok(facts) if facts.is_file() => facts.len(),
        _ => bail!(WrongCall(format!("there is no file {}", file.display()))),
    };
    if size > MAX_SOURCE_BYTES {
        bail!("{} has {size} bytes, at most {MAX_SOURCE_BYTES}", file.display());
    }
    let storage = connect::storage(&common.s3).await?;
    let content =
        tokio::fs::read(file).await.with_context(|| format!("could not read {}", file.display()))?;
    let attributes =
        ObjectAttributes { content_type: Some(media_type::of(file).into()), ..Default::default() };
    let stored = storage.upload(key, content.into(), &attributes).await?;
    if common.json {
        out::line(json!({ "key": key, "size": stored.size, "etag": stored.etag }))?;
    } else {
        out::line(format_args!("{key}  {} bytes", stored.size))?;
    }
    Ok(())
}

async fn get(common: &Common, key: &ObjectKey, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let storage = connect::storage(&common.s3).await?;
    let found = match storage.download(key, MOST_BYTES, None).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("there is no object {key}");
            return Ok(ExitCode::FAILURE);
        }
        found => found?,
    };
    let size = found.bytes.len();
    let facts = json!({
        "key": key, "size": size, "content_type": found.content_type, "etag": found.etag, "sha256": found.sha256
    });
    let Some(path) = output else {
        out::bytes(&found.bytes)?;
        if common.json {
            eprintln!("{facts}");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let unwritable = || format!("could not write {}", path.display());
    tokio::fs::write(path, &found.bytes).await.with_context(unwritable)?;
    if common.json {
        out::line(facts)?;
    } else {
        out::line(format_args!("{key}  {size} bytes  {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(common: &Common, keys: &[ObjectKey]) -> anyhow::Result<()> {
    let storage = connect::storage(&common.s3).await?;
    for key in keys {
        storage.delete(key).await.with_context(|| format!("could not remove {key}"))?;
        if common.json {
            out::line(json!({ "key": key, "removed": true }))?;
        } else {
            out::line(format_args!("{key}  removed"))?;
        }
    }
    Ok(())
}

async fn list(common: &Common, prefix: &Prefix) -> anyhow::Result<()> {
    let storage: Storage = connect::storage(&common.s3).await?;
    let mut from = None;
    loop {
        let page = storage.list(prefix, from).await?;
        for entry in page.entries {
            if common.json {
                out::line(json!({ "key": entry.key, "size": entry.size }))?;
            } else {
                out::line(format_args!("{:>10}  {}", entry.size, entry.key))?;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}
