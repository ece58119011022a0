//! The demo: real photos through the real queue, a real worker process and a bucket that goes away for a moment.
//!
//! 1. Start a Redis, an S3 server and a worker.
//! 2. Stage and enqueue every picture, and print what becomes of each as it finishes.
//! 3. Take the bucket away while a photo is in work; it is tried again, and done.
//! 4. Delete one picture.
//! 5. List the bucket, and write a page with the originals beside the results.

mod scenes;
pub mod table;
mod worker;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use darkroom_jobs::{
    Delete, ImageId, Ingest, JobId, Kind, MAX_SOURCE_BYTES, ObjectKey, Producer, Receipt, Source, StagedKey,
    Status, Target, Upload,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    scenes::{Expected, Scene},
    worker::Worker,
};
use super::{page, services::Services};
use crate::{
    config,
    storage::{Storage, list::Prefix, put::ObjectAttributes},
};

/// Longest that one job of the demo may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is shown, and where.
#[derive(Debug)]
pub struct Demo {
    /// Pictures of one's own, instead of ours.
    pub photos: Option<PathBuf>,
    /// Where ours are, when they were fetched.
    pub fetched: PathBuf,
    /// Folder of the page.
    pub out: PathBuf,
    /// The servers.
    pub dev: config::Dev,
}

/// A job that has finished.
#[derive(Debug)]
pub struct Shown {
    /// For people.
    pub name: String,
    /// What was sent, if anything was.
    pub original: Option<Bytes>,
    /// What was stored, if anything was.
    pub result: Option<Bytes>,
    /// What became of it.
    pub receipt: Receipt,
    /// From enqueued to known.
    pub took: Duration,
    /// Whether it is what had to become of it.
    pub as_expected: bool,
}

/// Everything the story needs while it runs.
struct Stage {
    services: Services,
    producer: Producer,
    storage: Storage,
}

/// A job that is under way.
struct Sent {
    id: JobId,
    scene: Scene,
    key: ObjectKey,
    since: Instant,
}

/// Runs the demo; whether every verdict was the expected one.
///
/// # Errors
///
/// When a server or the worker does not start, or a job is not settled in time.
pub async fn run(demo: &Demo) -> anyhow::Result<bool> {
    let scenes = match &demo.photos {
        Some(folder) => scenes::theirs(folder)?,
        None => scenes::ours(&demo.fetched)?,
    };
    let data = tempfile::tempdir()?;
    std::fs::create_dir_all(&demo.out).with_context(|| format!("could not create {}", demo.out.display()))?;
    let stage = Stage::set(&demo.dev, data.path()).await?;
    let worker = Worker::start(&stage.services, &demo.out.join("worker.log"))?;

    table::head();
    let mut shown = stage.all_at_once(&scenes).await?;
    shown.push(stage.while_the_bucket_is_away(&scenes).await?);
    shown.push(stage.delete_one(&shown).await?);

    stage.list_bucket().await?;
    worker.stop().await?;
    let page = demo.out.join("before-after.html");
    std::fs::write(&page, page::render(&shown))
        .with_context(|| format!("could not write {}", page.display()))?;
    println!("\nOriginals beside results: {}", page.display());
    Ok(shown.iter().all(|shown| shown.as_expected))
}

impl Stage {
    async fn set(dev: &config::Dev, folder: &Path) -> anyhow::Result<Self> {
        let services = Services::start(dev, folder).await?;
        let redis = services.settings::<config::Redis>()?;
        let producer = Producer::connect(redis.redis_url.reveal(), "darkroom").await?;
        let storage = Storage::new(&services.settings::<config::S3>()?).await?;
        println!("Redis at {}, S3 at {}, one worker process", services.redis.url(), services.s3.endpoint_url);
        Ok(Self { services, producer, storage })
    }

    async fn all_at_once(&self, scenes: &[Scene]) -> anyhow::Result<Vec<Shown>> {
        let mut waiting = JoinSet::new();
        for scene in scenes {
            let sent = self.send(scene).await?;
            let producer = self.producer.clone();
            waiting.spawn(async move { (producer.wait(&sent.id, PATIENCE).await, sent) });
        }

        let mut shown = Vec::new();
        while let Some(finished) = waiting.join_next().await {
            let (receipt, sent) = finished?;
            shown.push(self.show(sent, receipt?).await?);
        }
        Ok(shown)
    }

    /// The original is staged and fetched while the bucket is there; the result cannot be stored while it is not.
    async fn while_the_bucket_is_away(&self, scenes: &[Scene]) -> anyhow::Result<Shown> {
        let good = scenes.iter().find(|scene| scene.expected != Expected::Settled).or(scenes.first());
        let good = scenes.iter().find(|scene| scene.expected == Expected::Done).or(good);
        let mut scene = good.context("there is no picture")?.clone();
        scene.name = format!("{} (bucket down)", scene.name);
        if scene.expected == Expected::Done {
            scene.expected = Expected::DoneAfterRetry;
        }
        let staged = self.stage(&scene).await?;

        self.services.s3.pause();
        let sent = self.enqueue(&scene, staged).await?;
        self.retrying(&sent.id).await?;
        self.services.s3.resume();

        let receipt = self.producer.wait(&sent.id, PATIENCE).await?;
        self.show(sent, receipt).await
    }

    async fn delete_one(&self, shown: &[Shown]) -> anyhow::Result<Shown> {
        let kept = shown.iter().find_map(|shown| Some((shown, shown.receipt.object.as_ref()?)));
        let (picture, object) = kept.context("no picture was kept, so none can be deleted")?;
        let since = Instant::now();
        let id = self.producer.enqueue(Delete { target: target_of(&object.key)? }).await?;

        let receipt = self.producer.wait(&id, PATIENCE).await?;
        let gone = self.storage.head(&object.key).await?.is_none();
        let shown = Shown {
            name: format!("delete {}", picture.name),
            original: None,
            result: None,
            as_expected: receipt.status == Status::Done && gone,
            receipt,
            took: since.elapsed(),
        };
        table::row(&shown);
        Ok(shown)
    }

    async fn send(&self, scene: &Scene) -> anyhow::Result<Sent> {
        let staged = self.stage(scene).await?;
        self.enqueue(scene, staged).await
    }

    async fn stage(&self, scene: &Scene) -> anyhow::Result<(ImageId, Source)> {
        let image_id = ImageId::random();
        let key: StagedKey = format!("staging/{}/demo/{image_id}", scene.kind).parse()?;
        let object = ObjectKey::staged(&key);
        let stored =
            self.storage.upload(&object, scene.original.clone(), &ObjectAttributes::default()).await?;
        let bytes = Some(scene.original.len() as u64);
        Ok((image_id, Source::Staged { key, bytes, etag: stored.etag, sha256: None }))
    }

    async fn enqueue(&self, scene: &Scene, staged: (ImageId, Source)) -> anyhow::Result<Sent> {
        let (image_id, source) = staged;
        let since = Instant::now();
        let (id, key) = if scene.kind == Kind::Ingest {
            let product_id = "prod_10442".parse()?;
            let key = ObjectKey::product_image(&product_id, &image_id);
            (self.producer.enqueue(Ingest { product_id, image_id, source }).await?, key)
        } else {
            let user_id = "8f14e45f".parse()?;
            let key = ObjectKey::user_photo(&user_id, &image_id);
            (self.producer.enqueue(Upload { user_id, image_id, source }).await?, key)
        };
        Ok(Sent { id, scene: scene.clone(), key, since })
    }

    async fn retrying(&self, id: &JobId) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let status = self.producer.receipt(id).await?.map(|receipt| receipt.status);
            if status.is_some_and(|status| status == Status::Retrying || status.is_final()) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("the job was not tried while the bucket was away")
    }

    async fn show(&self, sent: Sent, receipt: Receipt) -> anyhow::Result<Shown> {
        let took = sent.since.elapsed();
        let result = match &receipt.object {
            Some(object) => Some(self.storage.download(&object.key, MAX_SOURCE_BYTES, None).await?.bytes),
            None => None,
        };
        let as_promised = receipt.object.as_ref().is_none_or(|object| object.key == sent.key);
        let shown = Shown {
            as_expected: sent.scene.expected.holds(&receipt) && as_promised,
            name: sent.scene.name,
            original: Some(sent.scene.original),
            result,
            receipt,
            took,
        };
        table::row(&shown);
        Ok(shown)
    }

    async fn list_bucket(&self) -> anyhow::Result<()> {
        println!("\n  The bucket now:");
        let mut from = None;
        loop {
            let page = self.storage.list(&Prefix::everything(), from).await?;
            for object in &page.entries {
                println!("  {:>9}  {}", table::size(object.size), object.key);
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }
}

fn target_of(key: &ObjectKey) -> anyhow::Result<Target> {
    let parts: Vec<_> = key.as_str().split(['/', '.']).collect();
    ensure!(parts.len() == 4, "{key} is not the key of a picture");
    let image_id = parts[2].parse()?;
    Ok(match parts[0] {
        "products" => Target::ProductImage { product_id: parts[1].parse()?, image_id },
        _ => Target::UserPhoto { user_id: parts[1].parse()?, image_id },
    })
}
