//! A worker with nothing to do: it is woken at once, and costs Redis next to nothing meanwhile.

use std::time::{Duration, Instant};

use darkroom_jobs::Status;
use redis::AsyncCommands as _;

use crate::support::darkroom::{TestDarkroom, picture};

#[tokio::test]
async fn an_idle_worker_is_woken_by_our_producer_and_does_not_wait_for_its_tick() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);

    let mut waited_ms = Vec::new();
    for _ in 0..8 {
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        let receipt = darkroom.final_receipt(&job).await;
        waited_ms.push(receipt.timings_ms.queue.expect("it waited"));
    }

    // A tick comes each second: by chance alone this is one run in a hundred.
    let soon = waited_ms.iter().filter(|ms| **ms < 300).count();
    assert!(soon >= 6, "{waited_ms:?}");
}

#[tokio::test]
async fn an_idle_worker_calls_at_most_two_scripts_a_second() {
    let mut darkroom = TestDarkroom::start().await;
    let defaults = [("DARKROOM_LEASE_MS", "30000"), ("DARKROOM_HEARTBEAT_MS", "5000")];
    let worker = darkroom.worker(&[&[("DARKROOM_QUEUES", "upload")], &defaults[..]].concat());
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    worker.logged(&["job settled"]).await;
    darkroom.until_the_slot_has_its_job().await;

    let before = calls(&mut darkroom).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = calls(&mut darkroom).await;

    assert!((2..=8).contains(&(after - before)), "{} calls in 4 s", after - before);
}

impl TestDarkroom {
    /// The schedule, which begins with one, does nothing more for a minute then; within 20 s.
    async fn until_the_slot_has_its_job(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.redis.exists::<_, bool>("{darkroom}:bucket_health:slot").await.expect("redis answers") {
            assert!(Instant::now() < deadline, "no slot was begun");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Script calls up to now.
async fn calls(darkroom: &mut TestDarkroom) -> u32 {
    let info: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut darkroom.redis).await.expect("redis answers");
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let line = line.expect("scripts were called");
    line.split(',').next().and_then(|calls| calls.parse().ok()).expect("it is a number")
}
