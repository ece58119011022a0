//! A job that ends every process that runs it, or never ends: it is dead in the end, and its neighbours are done.

use std::time::{Duration, Instant};

use darkroom_jobs::{ErrorCode, JobId, Receipt, Status};
use redis::{AsyncCommands as _, SortedSetAddOptions, aio::MultiplexedConnection};

use crate::{scene::Scene, size::size, support::darkroom::picture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_aborts_its_process_is_poison_and_its_neighbours_are_done() {
    dies_of("abort", "9 poison: abort").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_overflows_its_stack_is_poison_and_its_neighbours_are_done() {
    dies_of("overflow", "9 poison: stack overflow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_uses_up_the_memory_of_its_process_is_poison_and_its_neighbours_are_done() {
    dies_of("exhaust", "9 poison: out of memory").await;
}

/// A supervisor starts the worker again each time that the job has ended it.
async fn dies_of(manner: &str, scenario: &'static str) {
    let mut scene = Scene::start(Duration::from_millis(20)).await;
    scene.enqueue(20).await;
    let poison = scene.upload(picture("plain.jpg")).await;
    let stop = format!("fetched,{manner},job={poison}");
    // No crash may be taken for an outage, in which none is counted.
    let settings = [("DARKROOM_TEST_STOP_AT", &*stop), ("DARKROOM_OUTAGE_MS", "60000")];
    let mut worker = scene.worker_of_limited_memory(&settings);

    let (deadline, mut deaths) = (Instant::now() + Duration::from_secs(200), 0);
    let receipt = loop {
        assert!(Instant::now() < deadline, "it is not dead after {deaths} deaths\n{}", worker.log());
        if let Some(receipt) = final_receipt(&scene, &poison).await {
            break receipt;
        }
        if !worker.is_running() {
            deaths += 1;
            scene.enqueue(5).await;
            worker = scene.worker_of_limited_memory(&settings);
        }
        hurry(&mut scene.redis().await, Some(&poison)).await;
    };
    let tally = tokio::select! {
        tally = scene.settled() => tally,
        () = async { loop { hurry(&mut scene.redis().await, None).await } } => unreachable!("it never ends"),
    };

    let mut row = scene.row(scenario, &tally).await;
    row.note = format!("{deaths} processes died, then the job was dead: poison");
    row.hold();
    let code = receipt.error.as_ref().map(|error| error.code);
    assert_eq!((receipt.status, code, deaths), (Status::Failed, Some(ErrorCode::Poison), 8));
    assert_eq!(tally.done(), scene.jobs.len() - 1, "{:?}", tally.failures());
    assert!(worker.is_running());
}

/// In a full run it takes 5 minutes: an upload has three times 90 s. In a quick one it has 5 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_never_ends_is_dead_after_three_time_outs_and_its_neighbours_are_done() {
    let mut scene = Scene::start(Duration::from_millis(20)).await;
    let endless = scene.upload(picture("plain.jpg")).await;
    let (stop, time) = (format!("fetched,job={endless}"), size("5000", "90000"));
    let mut worker = scene.worker(&[("DARKROOM_TEST_STOP_AT", &*stop), ("DARKROOM_TIMEOUT_UPLOAD_MS", time)]);

    let (deadline, mut receipt) = (Instant::now() + Duration::from_secs(360), None);
    while receipt.is_none() && Instant::now() < deadline {
        scene.enqueue(10).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        receipt = final_receipt(&scene, &endless).await;
    }
    let tally = scene.settled().await;

    let mut row = scene.row("9 poison: never ends", &tally).await;
    row.note = "three time-outs, then the job was dead: job_timeout".into();
    row.hold();
    let receipt = receipt.expect("it is dead in the end");
    let code = receipt.error.as_ref().map(|error| error.code);
    assert_eq!((receipt.status, code, receipt.attempts), (Status::Failed, Some(ErrorCode::JobTimeout), 3));
    assert_eq!(tally.done(), scene.jobs.len() - 1, "{:?}", tally.failures());
    assert!(worker.is_running());
}

/// From the third crash on a job waits for minutes, so that its neighbours do not meet it again: here its time comes at
/// once, that of all when there is nothing to meet any more.
async fn hurry(redis: &mut MultiplexedConnection, only: Option<&JobId>) {
    let if_it_waits = SortedSetAddOptions::update_only(None);
    for scheduled in ["{darkroom}:upload:scheduled", "{darkroom}:ingest:scheduled"] {
        let waiting: Vec<String> = redis.zrange(scheduled, 0, -1).await.expect("redis answers");
        for job in waiting.iter().filter(|job| only.is_none_or(|only| only.as_str() == *job)) {
            let _: u8 = redis.zadd_options(scheduled, job, 1, &if_it_waits).await.expect("redis answers");
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn final_receipt(scene: &Scene, job: &JobId) -> Option<Receipt> {
    let receipt = scene.darkroom.producer.receipt(job).await.expect("redis answers");
    receipt.filter(|receipt| receipt.is_final)
}
