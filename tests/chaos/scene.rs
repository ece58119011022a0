//! A darkroom that is put under load: jobs of few bytes, a bucket that counts, and the tally of what became of each job.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use base64::Engine as _;
use darkroom::{dev::pictures, storage::list::Prefix};
use darkroom_jobs::{
    EnqueueOptions, ErrorCode, ImageId, JobId, Kind, ObjectKey, OwnerId, Producer, Receipt, Status,
    redis_keys::Keys,
};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    bucket::CountingBucket,
    report::Row,
    support::darkroom::{TestDarkroom, Worker},
    timeline,
};

/// The settings that darkroom has by itself, where those of the tests' workers are shorter.
pub const AS_RELEASED: [(&str, &str); 4] = [
    ("DARKROOM_LEASE_MS", "30000"),
    ("DARKROOM_HEARTBEAT_MS", "5000"),
    ("DARKROOM_REAP_MS", "1000"),
    ("DARKROOM_RETRY_BASE_MS", "5000"),
];

/// Jobs that one call enqueues.
const BATCH: usize = 1_000;

/// How long an enqueue is repeated, and a job waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A job of the load.
#[derive(Clone, Debug)]
pub struct LoadJob {
    pub kind: Kind,
    pub id: JobId,
    pub key: ObjectKey,
    /// JSON; empty when it was enqueued already.
    pub payload: String,
}

/// What became of the load.
pub struct Tally {
    pub receipts: Vec<Receipt>,
    /// Deliveries whose lease ran out.
    pub crashes: usize,
    /// Jobs that this befell more than twice: from the third time on they wait, for a minute at first.
    pub thrice: HashSet<JobId>,
}

impl Tally {
    /// How many failed of each code.
    pub fn failures(&self) -> BTreeMap<ErrorCode, usize> {
        let mut failures = BTreeMap::new();
        for error in self.receipts.iter().filter_map(|receipt| receipt.error.as_ref()) {
            *failures.entry(error.code).or_default() += 1;
        }
        failures
    }

    pub fn done(&self) -> usize {
        self.receipts.iter().filter(|receipt| receipt.status == Status::Done).count()
    }
}

pub struct Scene {
    pub darkroom: TestDarkroom,
    pub bucket: CountingBucket,
    pub jobs: Vec<LoadJob>,
}

impl Scene {
    /// Every PUT of a picture takes `latency` longer.
    pub async fn start(latency: Duration) -> Self {
        let darkroom = TestDarkroom::start().await;
        let bucket = CountingBucket::before(&darkroom.services.s3.endpoint_url, latency).await;
        Self { darkroom, bucket, jobs: Vec::new() }
    }

    /// A worker with 8 slots for uploads and 8 for ingests, whose log tells the steps of its jobs.
    pub fn worker(&self, more: &[(&str, &str)]) -> Worker {
        self.darkroom.worker(&self.settings(more))
    }

    /// The same, of another build of darkroom.
    pub fn worker_of(&self, program: &Path, more: &[(&str, &str)]) -> Worker {
        self.darkroom.worker_of(program, &self.settings(more))
    }

    /// The same that the system gives 16 GiB of addresses at most.
    pub fn worker_of_limited_memory(&self, more: &[(&str, &str)]) -> Worker {
        self.darkroom.worker_within(16 << 20, &self.settings(more))
    }

    fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let slots = [("DARKROOM_CONCURRENCY_UPLOAD", "8"), ("DARKROOM_CONCURRENCY_INGEST", "8")];
        let ours = [("S3_ENDPOINT_URL", &*self.bucket.endpoint_url), timeline::STEPS];
        [&slots[..], &ours, more].concat()
    }

    pub async fn enqueue(&mut self, count: usize) {
        let jobs = load(count);
        push(&self.darkroom.producer, &jobs).await;
        self.jobs.extend(jobs);
    }

    /// Stages a photo and enqueues its upload.
    pub async fn upload(&mut self, original: Vec<u8>) -> JobId {
        let (id, key) = self.darkroom.upload(original).await;
        self.jobs.push(LoadJob { kind: Kind::Upload, id: id.clone(), key, payload: String::new() });
        id
    }

    /// Enqueues the jobs one after the other in that time, whatever Redis does meanwhile; give them to [`Scene::fed`].
    pub fn feed(&self, producer: Producer, count: usize, over: Duration) -> JoinHandle<Vec<LoadJob>> {
        tokio::spawn(async move {
            const PARTS: u32 = 50;
            let jobs = load(count);
            let since = Instant::now();
            for (part, some) in (1..).zip(jobs.chunks(count.div_ceil(PARTS as usize))) {
                push(&producer, some).await;
                tokio::time::sleep((over * part / PARTS).saturating_sub(since.elapsed())).await;
            }
            jobs
        })
    }

    pub async fn fed(&mut self, feed: JoinHandle<Vec<LoadJob>>) {
        self.jobs.extend(feed.await.expect("the load is enqueued"));
    }

    /// Waits, at most 300 s, until every job is settled for good; those that are not are missing in the tally.
    pub async fn settled(&self) -> Tally {
        let deadline = Instant::now() + PATIENCE;
        let mut tally = Tally { receipts: Vec::new(), crashes: 0, thrice: HashSet::new() };
        let mut left: Vec<&LoadJob> = self.jobs.iter().collect();
        while !left.is_empty() && Instant::now() < deadline {
            let mut redis = self.redis().await;
            let mut waiting = Vec::new();
            for some in left.chunks(BATCH) {
                for (job, known) in some.iter().zip(known(&mut redis, some).await) {
                    match known {
                        (Some(result), crashes) => {
                            let crashes = crashes.unwrap_or(0);
                            tally.crashes += crashes;
                            tally.thrice.extend((crashes > 2).then(|| job.id.clone()));
                            tally.receipts.push(Receipt::from_result(&result).expect("it is a receipt"));
                        }
                        (None, _) => waiting.push(*job),
                    }
                }
            }
            left = waiting;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for job in left {
            println!("not settled: {job:?}, {:?}", self.darkroom.producer.receipt(&job.id).await);
        }
        tally
    }

    /// The row of a scenario whose jobs are settled. Each has to be where it belongs: [`TestDarkroom`] looks when it is dropped.
    pub async fn row(&self, scenario: &'static str, tally: &Tally) -> Row {
        let objects = self.objects().await;
        let done = tally.receipts.iter().filter(|receipt| receipt.status == Status::Done);
        let done: HashSet<_> = done.map(|receipt| &receipt.job_id).collect();
        let is_kept = |job: &&LoadJob| done.contains(&job.id) && objects.contains(job.key.as_str());
        let completed = self.jobs.iter().filter(is_kept).count();
        let failed = tally.receipts.len() - done.len();
        Row {
            scenario,
            enqueued: self.jobs.len(),
            completed,
            duplicates: self.bucket.duplicates(),
            lost: self.jobs.len() - completed - failed,
            burnt: tally.receipts.iter().map(|receipt| receipt.attempts.saturating_sub(1) as usize).sum(),
            recoveries: Vec::new(),
            note: String::new(),
        }
    }

    async fn objects(&self) -> HashSet<String> {
        let (mut objects, mut next) = (HashSet::new(), None);
        loop {
            let page = self.darkroom.storage.list(&Prefix::everything(), next.take()).await;
            let page = page.expect("the bucket answers");
            objects.extend(page.entries.into_iter().map(|entry| entry.key));
            next = page.next;
            if next.is_none() {
                return objects;
            }
        }
    }

    /// A fresh connection, within 60 s: Redis may be away.
    pub async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.darkroom.services.redis.url()).expect("a url");
        let deadline = Instant::now() + Duration::from_secs(60);
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
        loop {
            match client.get_multiplexed_async_connection_with_config(&patient).await {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "redis stays away: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Result and crashes of each job; of a Redis that goes away meanwhile, of none.
async fn known(redis: &mut MultiplexedConnection, jobs: &[&LoadJob]) -> Vec<(Option<String>, Option<usize>)> {
    let keys = Keys::new("darkroom").expect("it is a namespace");
    let mut pipeline = redis::pipe();
    for job in jobs {
        pipeline.cmd("HMGET").arg(keys.queue(job.kind).meta(&job.id)).arg(&["result", "dr_crashes"]);
    }
    pipeline.query_async(redis).await.unwrap_or_else(|_| vec![(None, None); jobs.len()])
}

/// Enqueues until Redis has acknowledged it: the ids are the same each time.
pub async fn push(producer: &Producer, jobs: &[LoadJob]) {
    for kind in [Kind::Upload, Kind::Ingest] {
        let jobs: Vec<_> = jobs.iter().filter(|job| job.kind == kind).collect();
        for some in jobs.chunks(BATCH) {
            let deadline = Instant::now() + PATIENCE;
            let options =
                |id: &JobId| EnqueueOptions { job_id: Some(id.clone()), ..EnqueueOptions::default() };
            loop {
                let entries = some.iter().map(|job| (job.payload.clone(), options(&job.id)));
                match producer.enqueue_json_many(kind, entries).await {
                    Ok(answers) => {
                        break answers.into_iter().for_each(|answer| drop(answer.expect("it is a job")));
                    }
                    Err(error) => assert!(Instant::now() < deadline, "not enqueued: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Uploads and ingests in turn, each with a picture of a few pixels in it.
pub fn load(count: usize) -> Vec<LoadJob> {
    let picture = pictures::sized("jpeg", 16, 16).expect("it is a kind of picture");
    let picture = base64::engine::general_purpose::STANDARD.encode(picture);
    let owner: OwnerId = "u1".parse().expect("an id");
    let job = |number: usize| {
        let (image_id, source) = (ImageId::random(), json!({ "type": "inline", "base64": picture }));
        let (kind, key, field) = match number % 2 {
            0 => (Kind::Upload, ObjectKey::user_photo(&owner, &image_id), "user_id"),
            _ => (Kind::Ingest, ObjectKey::product_image(&owner, &image_id), "product_id"),
        };
        let payload = json!({ field: owner, "image_id": image_id, "source": source }).to_string();
        LoadJob { kind, id: JobId::generate(), key, payload }
    };
    (0..count).map(job).collect()
}
