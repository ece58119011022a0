//! Redis dies, is away, forgets its scripts, drops or pauses its connections: the worker outlives it, and so do its jobs.

use std::time::Duration;

use darkroom::{
    config::steps::Step,
    dev::redis::EmbeddedRedis,
    queue::{connection, operate::Operator, periodic::Periodic, scripts},
};
use darkroom_jobs::{ErrorCode, JobId, Kind, Producer, Status, redis_keys};
use futures_util::StreamExt as _;

use crate::{
    address::Address,
    support::darkroom::{TestDarkroom, Worker, picture},
};

/// Longer than the lease of the tests' workers.
const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(2_500);

/// What counts as an outage here.
const SOON: (&str, &str) = ("DARKROOM_OUTAGE_MS", "1000");

/// A job that a worker holds at a step.
async fn held(darkroom: &TestDarkroom, step: Step) -> (Worker, JobId) {
    let worker = darkroom.worker_stopping_at(step, &[SOON]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(step).await;
    (worker, job)
}

async fn tell(darkroom: &mut TestDarkroom, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    let () = command.arg(&words[1..]).query_async(&mut darkroom.redis).await.expect("redis obeys");
}

#[tokio::test]
async fn a_result_is_kept_while_redis_is_dead_and_settled_once_when_it_is_back() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.always_on_disk().await;
    let (mut worker, job) = held(&darkroom, Step::Settling).await;

    darkroom.services.redis.kill().await.expect("it runs");
    darkroom.let_go_on();
    worker.logged(&["settlement failed"]).await;
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    darkroom.restart_redis().await;
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(
        (receipt.status, receipt.deliveries, receipt.attempts),
        (Status::Done, 1, 1),
        "{}",
        worker.log()
    );
    assert!(worker.is_running());
    let events: u32 =
        redis::cmd("XLEN").arg("{darkroom}:events").query_async(&mut darkroom.redis).await.unwrap();
    assert_eq!(events, 1);
}

#[tokio::test]
async fn a_job_that_runs_while_redis_dies_and_returns_keeps_its_lease_and_is_run_once() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.always_on_disk().await;
    let (mut worker, job) = held(&darkroom, Step::Fetched).await;
    let (waiting, _) = darkroom.upload(picture("plain.png")).await;
    let (waiting_too, _) = darkroom.upload(picture("plain.png")).await;

    darkroom.services.redis.kill().await.expect("it runs");
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    darkroom.restart_redis().await;
    let (late, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.final_receipt(&late).await;
    darkroom.let_go_on();

    let receipt = darkroom.final_receipt(&job).await;
    assert_eq!(
        (receipt.status, receipt.deliveries, receipt.attempts),
        (Status::Done, 1, 1),
        "{}",
        worker.log()
    );
    for job in [waiting, waiting_too] {
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    }
    assert!(worker.is_running());
}

#[tokio::test]
async fn after_redis_was_away_leases_are_renewed_then_results_settled_and_then_jobs_claimed() {
    let mut darkroom = TestDarkroom::start().await;
    let direct = darkroom.services.redis.url();
    let address = Address::of(&direct).await;
    let (ends, _) = darkroom.upload(picture("plain.jpg")).await;
    let (runs, _) = darkroom.upload(picture("plain.png")).await;
    let stop = format!(
        "settling,job={ends},until={};fetched,job={runs}",
        darkroom.folder().join("let-go-on").display()
    );
    let there = ("DARKROOM_REDIS_URL", &*address.url);
    let worker = darkroom.worker(&[("DARKROOM_TEST_STOP_AT", &*stop), there]);
    worker.reached(Step::Settling).await;
    worker.reached(Step::Fetched).await;

    address.lead_to("redis://127.0.0.1:1");
    tell(&mut darkroom, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    darkroom.let_go_on();
    worker.logged(&["settlement failed"]).await;
    let (next, _) = darkroom.upload(picture("plain.jpg")).await;
    let client = redis::Client::open(&*direct).expect("a url");
    let mut monitor = client.get_async_monitor().await.expect("redis answers");
    address.lead_to(&direct);
    darkroom.final_receipt(&next).await;

    let scripts = [
        ("renew", &scripts::LEASES_EXTEND),
        ("settle", &scripts::JOBS_SETTLE),
        ("claim", &scripts::JOBS_CLAIM),
    ];
    let mut calls = Vec::new();
    let mut commands = std::pin::pin!(monitor.on_message::<String>());
    while calls.len() < scripts.len() {
        let command = tokio::time::timeout(Duration::from_secs(20), commands.next()).await;
        let command = command.expect("the calls come").expect("redis goes on");
        let called = scripts.iter().find(|(_, script)| command.contains(script.get_hash()));
        calls.extend(called.map(|(name, _)| *name).filter(|name| !calls.contains(name)));
    }
    assert_eq!(calls, ["renew", "settle", "claim"], "{}", worker.log());
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_while_redis_is_away_ends_in_time() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.always_on_disk().await;
    let more = [SOON, ("DARKROOM_SHUTDOWN_MS", "300")];
    let mut worker = darkroom.worker_stopping_at(Step::Fetched, &more);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(Step::Fetched).await;
    darkroom.services.redis.kill().await.expect("it runs");

    worker.signal("TERM");
    let exit = tokio::time::timeout(Duration::from_secs(28), worker.exit_code()).await;
    darkroom.restart_redis().await;
    let _next = darkroom.worker(&[SOON]);
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(exit.ok(), Some(Some(0)), "{}", worker.log());
    assert_eq!((receipt.status, receipt.attempts), (Status::Done, 1));
}

#[tokio::test]
async fn a_worker_that_starts_before_redis_waits_for_it() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.always_on_disk().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.services.redis.kill().await.expect("it runs");

    let worker = darkroom.worker(&[]);
    worker.logged(&["redis is away; waiting for it"]).await;
    darkroom.restart_redis().await;

    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    let reminders = worker.log().matches("redis is away").count();
    assert_eq!(reminders, 1, "{}", worker.log());
}

#[tokio::test]
async fn a_worker_that_waits_for_redis_ends_on_a_signal() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.services.redis.kill().await.expect("it runs");
    let mut worker = darkroom.worker(&[]);
    worker.logged(&["redis is away"]).await;

    worker.signal("TERM");

    assert_eq!(worker.exit_code().await, Some(0), "{}", worker.log());
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again_in_the_middle_of_a_job() {
    let mut darkroom = TestDarkroom::start().await;
    let (worker, job) = held(&darkroom, Step::Fetched).await;

    tell(&mut darkroom, &["SCRIPT", "FLUSH"]).await;
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;
    tell(&mut darkroom, &["SCRIPT", "FLUSH"]).await;
    let (next, _) = darkroom.upload(picture("plain.jpg")).await;

    assert_eq!((receipt.status, receipt.deliveries), (Status::Done, 1));
    assert_eq!(darkroom.final_receipt(&next).await.status, Status::Done);
    assert!(!worker.log().contains("NOSCRIPT"), "{}", worker.log());
}

#[tokio::test]
async fn connections_that_redis_drops_are_made_anew_and_the_job_goes_on() {
    let mut darkroom = TestDarkroom::start().await;
    let (mut worker, job) = held(&darkroom, Step::Normalized).await;

    for kind in ["normal", "pubsub"] {
        tell(&mut darkroom, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
    }
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;
    let (next, _) = darkroom.upload(picture("plain.jpg")).await;

    assert_eq!((receipt.status, receipt.deliveries), (Status::Done, 1), "{}", worker.log());
    assert_eq!(darkroom.final_receipt(&next).await.status, Status::Done);
    assert!(worker.is_running());
}

#[tokio::test]
async fn a_full_redis_refuses_new_jobs_while_those_that_run_are_renewed_and_settled() {
    let mut darkroom = TestDarkroom::start().await;
    let (worker, job) = held(&darkroom, Step::Fetched).await;
    let upload = darkroom.staged(picture("plain.png")).await;

    tell(&mut darkroom, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = darkroom.producer.enqueue(upload.clone()).await;
    let running = darkroom.producer.receipt(&job).await.expect("a full redis can be read");
    let counts = darkroom.inspector().counts(Kind::Upload).await.expect("a full redis can be read");
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;
    tell(&mut darkroom, &["CONFIG", "SET", "maxmemory", "0"]).await;
    let next = darkroom.producer.enqueue(upload).await.expect("there is room again");

    assert_eq!(refused.map_err(|refused| refused.code()), Err(ErrorCode::QueueFull));
    assert_eq!((running.map(|receipt| receipt.status), counts.leased), (Some(Status::Running), 1));
    assert_eq!((receipt.status, receipt.deliveries), (Status::Done, 1), "{}", worker.log());
    assert_eq!(darkroom.final_receipt(&next).await.status, Status::Done);
}

#[tokio::test]
async fn a_fail_over_is_followed_although_the_old_primary_still_answers_as_a_replica() {
    let darkroom = TestDarkroom::start().await;
    let first = darkroom.services.redis.url();
    let program = std::env::var_os("DARKROOM_TEST_REDIS_SERVER").map(std::path::PathBuf::from);
    let second =
        EmbeddedRedis::start(program.as_deref(), &darkroom.folder().join("second")).await.expect("it starts");
    let address = Address::of(&first).await;
    let producer = Producer::connect(&address.url, "darkroom").await.expect("redis answers");
    let keys = redis_keys::Keys::new("darkroom").expect("a namespace");
    let client = redis::Client::open(&*address.url).expect("a url");
    let managed = || connection::managed(&client).expect("a url");
    let operator = Operator::new(producer.clone(), managed(), keys.clone());
    let periodic = Periodic::new(managed(), keys, Duration::from_millis(1));
    assert!(!operator.is_paused(Kind::Ingest).await.expect("redis answers"));
    periodic.tick().await.expect("redis answers");
    let worker = darkroom.worker_stopping_at(Step::Settling, &[("DARKROOM_REDIS_URL", &*address.url)]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let upload = darkroom.staged(picture("plain.png")).await;
    worker.reached(Step::Settling).await;

    replicate(&second.url(), &first).await;
    ask(&second.url(), &["REPLICAOF", "NO", "ONE"]).await;
    address.lead_to(&second.url());
    replicate(&first, &second.url()).await;
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;
    let next = producer.enqueue(upload).await.expect("the new primary takes it");
    let (paused, ticked) = (operator.pause(Kind::Ingest).await, periodic.tick().await);

    assert_eq!((receipt.status, receipt.deliveries), (Status::Done, 1), "{}", worker.log());
    assert_eq!(darkroom.final_receipt(&next).await.status, Status::Done, "{}", worker.log());
    assert!(matches!(paused, Ok(true)) && ticked.is_ok(), "{paused:?}, {ticked:?}");
}

/// Makes a server the replica of another, and waits until it has what that has, within 20 s.
async fn replicate(replica: &str, primary: &str) {
    let port = primary.rsplit(':').next().expect("the url has a port");
    ask(replica, &["REPLICAOF", "127.0.0.1", port]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !ask(replica, &["INFO", "replication"]).await.contains("master_link_status:up") {
        assert!(tokio::time::Instant::now() < deadline, "{replica} does not follow {primary}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(url: &str, words: &[&str]) -> String {
    let client = redis::Client::open(url).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("redis answers");
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut redis).await.expect("redis obeys")
}
