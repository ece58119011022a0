//! Leases are kept while every core decodes, and while a job takes far longer than its lease.

use std::time::{Duration, Instant};

use darkroom::dev::pictures;
use darkroom_jobs::{Receipt, Status};
use redis::AsyncCommands as _;

use crate::{scene::Scene, size::size, support::darkroom::picture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_is_lost_while_all_cores_decode() {
    let (busy_for, lease) = size((Duration::from_secs(10), "2000"), (Duration::from_secs(60), "10000"));
    let photo = pictures::photo(3_000, 2_000);
    let mut scene = Scene::start(Duration::ZERO).await;
    // As many as are claimed are decoded: far more of them than there are cores.
    let slots = [("DARKROOM_CONCURRENCY_UPLOAD", "16"), ("DARKROOM_DECODE_TIMEOUT_MS", "80000")];
    let mut worker = scene.worker(&[&slots[..], &[("DARKROOM_LEASE_MS", lease)]].concat());

    let since = Instant::now();
    while since.elapsed() < busy_for {
        let waiting: usize =
            scene.darkroom.redis.llen("{darkroom}:upload:active").await.expect("redis answers");
        if waiting < 4 {
            scene.upload(photo.clone()).await;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let tally = scene.settled().await;
    let took = since.elapsed();

    let lost_leases = worker.log().matches("lease lost").count();
    let decoding: u64 = tally.receipts.iter().filter_map(|receipt| receipt.timings_ms.decode).sum();
    let mut row = scene.row("4 all cores decode", &tally).await;
    row.note = format!(
        "lease {} s, {:.0} s busy, {decoding} ms of decoding, {lost_leases} leases lost",
        lease.parse::<u64>().expect("a number") / 1000,
        took.as_secs_f64()
    );
    row.hold();
    assert!(tally.receipts.iter().all(ran_once), "{:?}", tally.failures());
    assert!(worker.is_running() && lost_leases == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_take_five_times_their_lease_are_run_once_each() {
    let (lease_ms, count) = size((2_000, 2), (10_000, 6));
    let mut scene = Scene::start(Duration::from_millis(5 * lease_ms)).await;
    let lease = lease_ms.to_string();
    let settings = [
        ("DARKROOM_LEASE_MS", &*lease),
        ("DARKROOM_CONCURRENCY_UPLOAD", "1"),
        ("DARKROOM_CONCURRENCY_INGEST", "1"),
        ("DARKROOM_QUEUES", "upload"),
        ("S3_ATTEMPT_TIMEOUT_MS", "80000"),
        ("S3_OPERATION_TIMEOUT_MS", "85000"),
    ];
    let mut workers = [scene.worker(&settings), scene.worker(&settings)];

    for _ in 0..count {
        scene.upload(picture("plain.jpg")).await;
    }
    let tally = scene.settled().await;

    let mut row = scene.row("5 jobs of 5 leases, concurrency 1, 2 workers", &tally).await;
    row.note = format!("lease {} s", lease_ms / 1000);
    row.hold();
    assert!(tally.receipts.iter().all(ran_once), "{:?}", tally.failures());
    assert_eq!((row.duplicates, row.burnt), (0, 0));
    assert!(workers.iter_mut().all(|worker| worker.is_running()));
}

fn ran_once(receipt: &Receipt) -> bool {
    (receipt.status, receipt.deliveries) == (Status::Done, 1)
}
