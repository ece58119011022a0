//! Each script is applied, but its answer is lost with the connection: whoever asked asks again, and nothing happens twice.

use darkroom::{config::steps::Step, queue::scripts};
use darkroom_jobs::{BucketHealth, Delete, JobId, Kind, Producer, Receipt, Status, Target};
use redis::Script;

use crate::support::{
    cut_wire::CutWire,
    darkroom::{TestDarkroom, Worker, picture},
};

/// A worker of one queue whose connection breaks at its first call of the script. Redis has the script already: the first call of an
/// unknown one is answered `NOSCRIPT`.
async fn cut_off(darkroom: &mut TestDarkroom, script: &Script, kind: Kind) -> (CutWire, Worker) {
    let () = script.prepare_invoke().load_async(&mut darkroom.redis).await.map(drop).expect("redis loads it");
    let wire = CutWire::breaking_after(script, &darkroom.services.redis.url()).await;
    let more = [
        ("DARKROOM_REDIS_URL", &*wire.url),
        ("DARKROOM_SHUTDOWN_MS", "300"),
        ("DARKROOM_QUEUES", kind.as_str()),
    ];
    let worker = darkroom.worker_stopping_at(Step::Fetched, &more);
    (wire, worker)
}

/// Status, deliveries, attempts.
fn life(receipt: &Receipt) -> (Status, u32, u32) {
    (receipt.status, receipt.deliveries, receipt.attempts)
}

async fn events(darkroom: &mut TestDarkroom) -> u32 {
    redis::cmd("XLEN").arg("{darkroom}:events").query_async(&mut darkroom.redis).await.expect("redis answers")
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_leaves_a_lease_that_runs_out() {
    let mut darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    darkroom.let_go_on();
    let (wire, _worker) = cut_off(&mut darkroom, &scripts::JOBS_CLAIM, Kind::Upload).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert!(wire.is_broken());
    assert_eq!(life(&receipt), (Status::Done, 2, 1));
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_is_repeated_and_stands_once() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.let_go_on();
    let (wire, worker) = cut_off(&mut darkroom, &scripts::JOBS_SETTLE, Kind::Upload).await;

    let (job, key) = darkroom.upload(picture("plain.jpg")).await;
    let receipt = darkroom.final_receipt(&job).await;
    worker.logged(&["job settled"]).await;

    assert!(wire.is_broken());
    assert_eq!((life(&receipt), events(&mut darkroom).await), ((Status::Done, 1, 1), 1));
    darkroom.eventually_only(&[key.as_str()]).await;
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_costs_no_lease() {
    let mut darkroom = TestDarkroom::start().await;
    let (wire, worker) = cut_off(&mut darkroom, &scripts::LEASES_EXTEND, Kind::Upload).await;

    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.logged(&["leases are not renewed"]).await;
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;

    assert!(wire.is_broken());
    assert_eq!(life(&receipt), (Status::Done, 1, 1));
}

#[tokio::test]
async fn a_hand_back_whose_answer_is_lost_is_repeated_and_the_job_waits_once() {
    let mut darkroom = TestDarkroom::start().await;
    let (wire, mut worker) = cut_off(&mut darkroom, &scripts::LEASE_RETURN, Kind::Upload).await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(Step::Fetched).await;

    worker.signal("TERM");
    let exit = worker.exit_code().await;

    let receipt = darkroom.producer.receipt(&job).await.expect("redis answers").expect("the job is known");
    assert!(wire.is_broken());
    assert_eq!((exit, life(&receipt)), (Some(0), (Status::Queued, 1, 0)), "{}", worker.log());
}

#[tokio::test]
async fn an_enqueue_whose_answer_is_lost_is_repeated_and_each_job_waits_once() {
    let mut darkroom = TestDarkroom::start().await;
    let script = Script::new(include_str!("../../jobs/src/enqueue.lua"));
    let () = script.prepare_invoke().load_async(&mut darkroom.redis).await.map(drop).expect("redis loads it");
    let wire = CutWire::breaking_after(&script, &darkroom.services.redis.url()).await;
    let producer = Producer::connect(&wire.url, "darkroom").await.expect("redis answers");

    let jobs = (0..250).map(|_| BucketHealth {});
    let ids = producer.enqueue_many::<BucketHealth, _>(jobs).await.expect("it is repeated");

    let waiting: Vec<JobId> = redis::cmd("LRANGE")
        .arg("{darkroom}:bucket_health:active")
        .arg(&[0, -1])
        .query_async::<Vec<String>>(&mut darkroom.redis)
        .await
        .expect("redis answers")
        .iter()
        .map(|id| id.parse().expect("an id"))
        .collect();
    assert!(wire.is_broken());
    assert_eq!(waiting, ids);
}

#[tokio::test]
async fn an_upkeep_whose_answer_is_lost_is_done_again_a_second_later() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.let_go_on();
    let payload = serde_json::to_vec(&darkroom.staged(picture("plain.jpg")).await).expect("a job is JSON");
    darkroom.push_by_hand(Kind::Upload, "by-hand", &payload).await;

    let (wire, _worker) = cut_off(&mut darkroom, &scripts::QUEUES_TICK, Kind::Upload).await;
    let receipt = darkroom.final_receipt(&"by-hand".parse::<JobId>().expect("an id")).await;

    assert!(wire.is_broken());
    assert_eq!(life(&receipt), (Status::Done, 1, 1));
}

#[tokio::test]
async fn a_tombstone_whose_answer_is_lost_is_written_again() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.let_go_on();
    let (wire, _worker) = cut_off(&mut darkroom, &scripts::TOMBSTONE_WRITE, Kind::Delete).await;

    let target = Target::UserPhoto {
        user_id: "u1".parse().expect("an id"),
        image_id: darkroom_jobs::ImageId::random(),
    };
    let job = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    assert!(wire.is_broken());
    assert_eq!(life(&receipt), (Status::Done, 1, 1));
}
