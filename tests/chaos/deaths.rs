//! Workers that die, panic or are told to stop at a step of a job: it is neither lost nor done twice.

use darkroom::config::steps::Step;
use darkroom_jobs::{ErrorCode, Status};
use redis::AsyncCommands as _;

use crate::support::darkroom::{TestDarkroom, picture};

#[tokio::test]
async fn a_job_is_redelivered_after_its_worker_dies() {
    let darkroom = TestDarkroom::start().await;
    let mut doomed = darkroom.worker_stopping_at(Step::Stored, &[]);
    let (job, key) = darkroom.upload(picture("plain.jpg")).await;

    doomed.reached(Step::Stored).await;
    doomed.kill().await;
    let _second = darkroom.worker(&[]);
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.deliveries, receipt.attempts), (Status::Done, 2, 1));
    darkroom.eventually_only(&[key.as_str()]).await;
}

#[tokio::test]
async fn a_job_whose_worker_dies_once_it_is_settled_is_not_run_again() {
    let darkroom = TestDarkroom::start().await;
    let mut doomed = darkroom.worker_stopping_at(Step::Settled, &[]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    doomed.reached(Step::Settled).await;
    doomed.kill().await;
    let _second = darkroom.worker(&[]);
    let (next, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.final_receipt(&next).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.deliveries, receipt.attempts), (Status::Done, 1, 1));
}

#[tokio::test]
async fn a_panic_in_one_handler_is_retried_and_leaves_its_neighbours_alone() {
    let darkroom = TestDarkroom::start().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(darkroom.upload(picture("plain.jpg")).await.0);
    }

    let mut worker = darkroom.worker_panicking_at(
        Step::Fetched,
        &[("DARKROOM_CONCURRENCY_UPLOAD", "3"), ("DARKROOM_LOG", "debug")],
    );
    worker.logged(&["stopped at a step"]).await;
    let mut receipts = Vec::new();
    for job in &jobs {
        receipts.push(darkroom.final_receipt(job).await);
    }

    let mut lives: Vec<_> = receipts.iter().map(|receipt| (receipt.deliveries, receipt.attempts)).collect();
    lives.sort_unstable();
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Done));
    assert_eq!(lives, [(1, 1), (1, 1), (2, 2)]);
    assert!(worker.is_running());
}

#[tokio::test]
async fn a_job_whose_handler_always_panics_is_internal_and_dead_after_three_tries() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    let stop = format!("fetched,panic,job={job}");
    let _worker = darkroom.worker(&[("DARKROOM_TEST_STOP_AT", &stop), ("DARKROOM_RETRY_BASE_MS", "1000")]);
    let retrying = darkroom.receipt_when(&job, Status::Retrying).await;
    let receipt = darkroom.final_receipt(&job).await;

    let (first, last) = (retrying.error.expect("it says why"), receipt.error.expect("it says why"));
    assert_eq!((first.code, first.attempt, first.max_attempts), (ErrorCode::Internal, 1, 3));
    assert!(first.message.contains("the handler panicked: panicked at step fetched"), "{}", first.message);
    assert_eq!((receipt.status, last.code, receipt.attempts), (Status::Failed, ErrorCode::Internal, 3));
}

#[tokio::test]
async fn a_panic_outside_of_a_handler_is_counted_as_a_crash() {
    let mut darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    let mut worker = darkroom.worker_panicking_at(Step::Claimed, &[]);
    let receipt = darkroom.final_receipt(&job).await;
    let meta = format!("{{darkroom}}:upload:meta:{job}");
    let crashes: u32 = darkroom.redis.hget(meta, "dr_crashes").await.expect("redis answers");

    assert_eq!((receipt.status, receipt.deliveries, receipt.attempts), (Status::Done, 2, 1));
    assert_eq!(crashes, 1);
    assert!(worker.is_running());
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_back_what_it_cannot_finish() {
    let darkroom = TestDarkroom::start().await;
    let mut first = darkroom.worker_stopping_at(Step::Fetched, &[("DARKROOM_SHUTDOWN_MS", "300")]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    first.reached(Step::Fetched).await;

    first.signal("TERM");
    let exit = first.exit_code().await;
    let between = darkroom.producer.receipt(&job).await.expect("redis answers").expect("the job is known");
    let _second = darkroom.worker(&[]);
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(exit, Some(0), "{}", first.log());
    assert_eq!((between.status, between.attempts), (Status::Queued, 0));
    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 2));
}

#[tokio::test]
async fn a_second_signal_hands_back_at_once() {
    let darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker_stopping_at(Step::Fetched, &[("DARKROOM_SHUTDOWN_MS", "20000")]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(Step::Fetched).await;

    worker.signal("TERM");
    worker.logged(&["\"stopping\""]).await;
    worker.signal("TERM");
    let exit = worker.exit_code().await;

    let receipt = darkroom.producer.receipt(&job).await.expect("redis answers").expect("the job is known");
    assert_eq!((exit, receipt.status), (Some(0), Status::Queued), "{}", worker.log());
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_lets_running_jobs_finish_and_takes_no_others() {
    let darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker_stopping_at(Step::Fetched, &[]);
    let (running, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(Step::Fetched).await;

    worker.signal("TERM");
    worker.logged(&["\"stopping\""]).await;
    let (late, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.let_go_on();
    let exit = worker.exit_code().await;

    let late = darkroom.producer.receipt(&late).await.expect("redis answers").expect("the job is known");
    assert_eq!(exit, Some(0), "{}", worker.log());
    assert_eq!(darkroom.final_receipt(&running).await.status, Status::Done);
    assert_eq!((late.status, late.deliveries), (Status::Queued, 0));
}
