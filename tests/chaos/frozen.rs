//! A process that stands still for longer than its leases and then goes on, as after a suspended machine or a starved one.

use std::time::{Duration, Instant};

use darkroom::config::steps::Step;

use crate::{
    scene::{AS_RELEASED, Scene},
    size::size,
    timeline::{Moment, recoveries},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_frozen_finds_its_jobs_done_reports_nothing_and_lives_on() {
    let (frozen_for, jobs) = size((Duration::from_secs(6), 40), (Duration::from_secs(60), 400));
    let settings = size(&[][..], &AS_RELEASED);
    let mut scene = Scene::start(Duration::from_millis(300)).await;
    let release = scene.darkroom.folder().join("let-go-on");
    let stop = format!("fetched,until={}", release.display());
    let mut frozen = scene.worker(&[settings, &[("DARKROOM_TEST_STOP_AT", &*stop)]].concat());
    scene.enqueue(jobs).await;
    frozen.reached(Step::Fetched).await;

    let (hit, since) = (Moment::of(&frozen), Instant::now());
    frozen.signal("STOP");
    let second = scene.worker(settings);
    let tally = scene.settled().await;
    tokio::time::sleep(frozen_for.saturating_sub(since.elapsed())).await;
    scene.darkroom.let_go_on();
    frozen.signal("CONT");
    frozen.logged(&["the job is another worker's by now"]).await;
    drop(second);
    let before = tally.receipts.len();
    scene.enqueue(10).await;
    let after = scene.settled().await;

    let mut row = scene.row("3 frozen process (SIGSTOP, SIGCONT)", &after).await;
    row.recoveries = recoveries(scene.darkroom.folder(), &[hit]);
    row.note = format!("frozen for {} s, {} leases ran out", frozen_for.as_secs(), after.crashes);
    row.hold();
    let told = |job| after.receipts.iter().find(|receipt| receipt.job_id == job);
    assert!(tally.receipts.iter().all(|receipt| told(receipt.job_id.clone()) == Some(receipt)));
    assert_eq!((before, after.done(), row.burnt), (jobs, jobs + 10, 0), "{:?}", after.failures());
    assert!(frozen.is_running() && after.crashes > 0);
}
