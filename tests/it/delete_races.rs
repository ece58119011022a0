//! A deletion and an upload of the same picture, each held at each of its steps, and then let go on or killed: in the end
//! the picture is gone, and both receipts tell the truth.
//!
//! All pairs of steps run at once, each with a user of its own: of one image, and of everything of the user.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use darkroom::config::steps::Step;
use darkroom_jobs::{Delete, EnqueueOptions, JobId, Receipt, Status, Target, Upload};

use crate::support::{
    darkroom::{TestDarkroom, Worker},
    deleting::{QUICK, key_of, user},
};

const UPLOAD_STEPS: [Step; 6] =
    [Step::Claimed, Step::Fetched, Step::Normalized, Step::Storing, Step::Stored, Step::Settling];
const DELETE_STEPS: [Step; 4] = [Step::Claimed, Step::Buried, Step::Removed, Step::Settling];

/// One pair of steps.
struct Pair {
    upload_at: Step,
    delete_at: Step,
    upload: Upload,
    target: Target,
    upload_job: JobId,
    delete_job: JobId,
}

/// Every pair, with all uploads and then all deletions held at their steps.
struct Held {
    darkroom: TestDarkroom,
    pairs: Vec<Pair>,
    uploader: Worker,
    deleter: Worker,
}

impl Held {
    async fn start() -> Self {
        let darkroom = TestDarkroom::start().await;
        let mut pairs = Vec::new();
        for (upload_at, delete_at) in
            UPLOAD_STEPS.iter().flat_map(|upload| DELETE_STEPS.iter().map(move |delete| (*upload, *delete)))
        {
            for whole in [false, true] {
                let name = format!("{}-{}-{whole}", upload_at.as_str(), delete_at.as_str());
                let upload = darkroom.photo_of(&name).await;
                let image = Target::UserPhoto { user_id: upload.user_id.clone(), image_id: upload.image_id };
                let target = if whole { user(&name) } else { image };
                let (upload_job, delete_job) = (JobId::generate(), JobId::generate());
                pairs.push(Pair { upload_at, delete_at, upload, target, upload_job, delete_job });
            }
        }
        let uploader = held(&darkroom, "upload", pairs.iter().map(|pair| (pair.upload_at, &pair.upload_job)));
        for pair in &pairs {
            let options = with_id(&pair.upload_job);
            darkroom.producer.enqueue_with(pair.upload.clone(), options).await.expect("redis takes jobs");
        }
        all_stopped(&uploader, pairs.len()).await;
        let deleter = held(&darkroom, "delete", pairs.iter().map(|pair| (pair.delete_at, &pair.delete_job)));
        for pair in &pairs {
            let (job, options) = (Delete { target: pair.target.clone() }, with_id(&pair.delete_job));
            darkroom.producer.enqueue_with(job, options).await.expect("redis takes jobs");
        }
        all_stopped(&deleter, pairs.len()).await;
        Self { darkroom, pairs, uploader, deleter }
    }

    /// Receipts of all uploads, once they are final.
    async fn uploads(&self) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for pair in &self.pairs {
            receipts.push(self.darkroom.final_receipt(&pair.upload_job).await);
        }
        receipts
    }

    /// Receipts of all deletions, once they are final.
    async fn deletions(&self) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for pair in &self.pairs {
            receipts.push(self.darkroom.final_receipt(&pair.delete_job).await);
        }
        receipts
    }

    /// Nothing is left; an upload is done only where `may_be_done` says that it was before the deletion, and superseded
    /// everywhere else; a deletion says that it is done, and removed the picture of an upload that was: `exactly`, unless
    /// the one that removed it died before it could say so.
    async fn judge(
        &self,
        uploads: &[Receipt],
        deletions: &[Receipt],
        was_before: impl Fn(&Pair) -> bool,
        exactly: bool,
    ) {
        for ((pair, upload), delete) in self.pairs.iter().zip(uploads).zip(deletions) {
            let of = format!("{:?}: {upload:?} {delete:?}", pair.upload.user_id);
            let expected = if was_before(pair) { Status::Done } else { Status::Superseded };
            let deletion = delete.deletion.as_ref().unwrap_or_else(|| panic!("{of}"));
            assert_eq!(
                (upload.status, delete.status, deletion.verified),
                (expected, Status::Done, true),
                "{of}"
            );
            let there = self.darkroom.storage.exists(&key_of(&pair.upload)).await;
            assert!(!there.expect("the bucket answers"), "{of}");
            if exactly && expected == Status::Done {
                assert_eq!(deletion.objects, 1, "{of}");
            }
            assert!(deletion.objects <= 1, "{of}");
        }
        self.darkroom.eventually_only(&[]).await;
    }

    fn let_go_on(&self, queue: &str) {
        std::fs::write(release(&self.darkroom, queue), "").expect("the folder is there");
    }
}

fn with_id(job: &JobId) -> EnqueueOptions {
    EnqueueOptions { job_id: Some(job.clone()), ..EnqueueOptions::default() }
}

fn release(darkroom: &TestDarkroom, queue: &str) -> PathBuf {
    darkroom.folder().join(format!("let-{queue}-go-on"))
}

/// A worker of one queue that holds each of the jobs at its step.
fn held<'a>(darkroom: &TestDarkroom, queue: &str, stops: impl Iterator<Item = (Step, &'a JobId)>) -> Worker {
    let until = release(darkroom, queue);
    let stop = |(step, job): (Step, &JobId)| format!("{},job={job},until={}", step.as_str(), until.display());
    let stops: Vec<_> = stops.map(stop).collect();
    worker(darkroom, queue, &stops.join(";"))
}

fn worker(darkroom: &TestDarkroom, queue: &str, stops: &str) -> Worker {
    let slots = [("DARKROOM_CONCURRENCY_UPLOAD", "100"), ("DARKROOM_CONCURRENCY_DELETE", "100")];
    let mut more = vec![QUICK, ("DARKROOM_QUEUES", queue), ("DARKROOM_RETRY_BASE_MS", "200")];
    more.extend(slots);
    if !stops.is_empty() {
        more.push(("DARKROOM_TEST_STOP_AT", stops));
    }
    darkroom.worker(&more)
}

/// Returns when so many jobs are held, within a minute: some fifty pictures are made for it.
async fn all_stopped(worker: &Worker, jobs: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = worker.log();
        let id = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line.pointer("/span/job.id").or(line.get("job.id"))?.to_string())
        };
        let stopped = log.lines().filter(|line| line.contains("stopped at a step"));
        let stopped: BTreeSet<_> = stopped.map(|line| id(line).unwrap_or_else(|| line.to_owned())).collect();
        if stopped.len() == jobs {
            return;
        }
        let others =
            || log.lines().filter(|line| line.contains("job settled")).collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < deadline, "{} of {jobs} jobs stopped; {}", stopped.len(), others());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_upload_goes_on_and_then_the_deletion() {
    let held = Held::start().await;

    held.let_go_on("upload");
    let uploads = held.uploads().await;
    held.let_go_on("delete");
    let deletions = held.deletions().await;

    let before = |pair: &Pair| pair.upload_at == Step::Settling || pair.delete_at == Step::Claimed;
    held.judge(&uploads, &deletions, before, true).await;
}

#[tokio::test]
async fn the_deletion_goes_on_and_then_the_upload() {
    let held = Held::start().await;

    held.let_go_on("delete");
    let deletions = held.deletions().await;
    held.let_go_on("upload");
    let uploads = held.uploads().await;

    held.judge(&uploads, &deletions, |pair| pair.upload_at == Step::Settling, true).await;
}

#[tokio::test]
async fn the_upload_dies_and_is_delivered_again_while_the_deletion_is_held() {
    let mut held = Held::start().await;

    held.uploader.kill().await;
    held.uploader = worker(&held.darkroom, "upload", "");
    let uploads = held.uploads().await;
    held.let_go_on("delete");
    let deletions = held.deletions().await;

    // Whoever comes again looks again: it was done only where there was no tombstone yet.
    held.judge(&uploads, &deletions, |pair| pair.delete_at == Step::Claimed, true).await;
}

#[tokio::test]
async fn the_deletion_dies_and_is_delivered_again_while_the_upload_is_held() {
    let mut held = Held::start().await;

    held.deleter.kill().await;
    held.deleter = worker(&held.darkroom, "delete", "");
    let deletions = held.deletions().await;
    held.let_go_on("upload");
    let uploads = held.uploads().await;

    held.judge(&uploads, &deletions, |pair| pair.upload_at == Step::Settling, false).await;
}

#[tokio::test]
async fn both_die_and_both_are_delivered_again() {
    let mut held = Held::start().await;

    held.uploader.kill().await;
    held.deleter.kill().await;
    held.deleter = worker(&held.darkroom, "delete", "");
    let deletions = held.deletions().await;
    held.uploader = worker(&held.darkroom, "upload", "");
    let uploads = held.uploads().await;

    held.judge(&uploads, &deletions, |_| false, false).await;
}
