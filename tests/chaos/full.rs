//! A Redis that has reached `maxmemory`: it takes no new jobs, and everything else goes on.

use std::time::Duration;

use darkroom::config::steps::Step;
use darkroom_jobs::{ErrorCode, Status};
use redis::AsyncCommands as _;

use crate::{
    scene::Scene,
    size::size,
    support::darkroom::{TestDarkroom, picture},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_new_jobs_while_all_others_are_renewed_retried_handed_back_and_settled() {
    let jobs = size(100, 2_000);
    let mut scene = Scene::start(Duration::from_millis(50)).await;
    let late = scene.darkroom.staged(picture("plain.png")).await;
    let retried = scene.upload(picture("plain.jpg")).await;
    scene.enqueue(jobs).await;
    // One job is held for longer than its lease, and then handed back; another finds the bucket away at first.
    let stop = [("DARKROOM_TEST_STOP_AT", "fetched"), ("DARKROOM_SHUTDOWN_MS", "300")];
    scene.darkroom.services.s3.pause();
    let breaker = [("DARKROOM_BREAKER_FAILURES", "1000"), ("DARKROOM_BREAKER_PROBE_MS", "200")];
    let mut first = scene.worker(&[&stop[..], &breaker].concat());
    first.reached(Step::Fetched).await;
    scene.darkroom.receipt_when(&retried, Status::Retrying).await;

    max_memory(&mut scene.darkroom, "1").await;
    let refused = scene.darkroom.producer.enqueue(late.clone()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let leases_kept: usize =
        scene.darkroom.redis.zcard("{darkroom}:upload:leases").await.expect("redis answers");
    scene.darkroom.services.s3.resume();
    first.signal("TERM");
    let exit = first.exit_code().await;
    let mut second = scene.worker(&[]);
    let tally = scene.settled().await;
    let still_refused = scene.darkroom.producer.enqueue(late.clone()).await;
    max_memory(&mut scene.darkroom, "0").await;
    let taken = scene.darkroom.producer.enqueue(late).await.expect("there is room again");

    let mut row = scene.row("8 maxmemory reached", &tally).await;
    row.note = format!("enqueue is refused with queue_full; {} leases ran out", tally.crashes);
    row.hold();
    let code = |answer: Result<_, darkroom_jobs::EnqueueError>| answer.map_err(|refused| refused.code());
    assert_eq!([code(refused), code(still_refused)], [Err(ErrorCode::QueueFull), Err(ErrorCode::QueueFull)]);
    assert_eq!((exit, tally.done()), (Some(0), jobs + 1), "{:?}", tally.failures());
    assert_eq!(scene.darkroom.final_receipt(&taken).await.status, Status::Done);
    assert!(leases_kept > 0 && second.is_running());
    assert_eq!(tally.crashes, 0, "a lease was not renewed");
}

async fn max_memory(darkroom: &mut TestDarkroom, bytes: &str) {
    let mut command = redis::cmd("CONFIG");
    let () = command
        .arg(&["SET", "maxmemory", bytes])
        .query_async(&mut darkroom.redis)
        .await
        .expect("redis obeys");
}
