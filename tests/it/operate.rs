//! What a person does to jobs and queues, against a real Redis and real workers.

use darkroom::queue::operate::OperateError;
use darkroom_jobs::{
    Delete, EnqueueOptions, ErrorCode, Event, EventType, ImageId, JobId, Kind, ObjectKey, Receipt, Source,
    Status, Target, Timestamp, Upload,
};
use redis::AsyncCommands as _;

use crate::support::darkroom::{TestDarkroom, picture};

const META: &str = "{darkroom}:upload:meta:";

/// An upload whose original is not there: it fails twice, then it is dead.
async fn without_original(darkroom: &TestDarkroom) -> Upload {
    let upload = darkroom.staged(picture("plain.jpg")).await;
    darkroom.storage.remove_original(&upload.source).await.expect("the bucket answers");
    upload
}

fn not_an_image(user: &str) -> Upload {
    let source = Source::Inline { base64: "bm8gcGljdHVyZQ==".into() };
    Upload { user_id: user.parse().expect("an id"), image_id: ImageId::random(), source }
}

fn code(receipt: &Receipt) -> Option<ErrorCode> {
    receipt.error.as_ref().map(|error| error.code)
}

async fn number(darkroom: &TestDarkroom, key: &str, field: &str) -> Option<u64> {
    darkroom.redis.clone().hget(key, field).await.expect("redis answers")
}

async fn ready(darkroom: &TestDarkroom) -> u64 {
    darkroom.redis.clone().llen("{darkroom}:upload:active").await.expect("redis answers")
}

#[tokio::test]
async fn a_cancelled_job_is_settled_announced_and_never_run() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    let removed = darkroom.operator().cancel(&job).await.expect("it waits");
    let _worker = darkroom.worker(&[]);
    let (later, key) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.final_receipt(&later).await;

    let receipt = darkroom.final_receipt(&job).await;
    assert_eq!(receipt, removed.receipt);
    assert_eq!((receipt.status, receipt.deliveries), (Status::Cancelled, 0));
    assert!(receipt.finished_at >= receipt.enqueued_at && receipt.finished_at.is_some());
    assert_eq!(receipt.source.expect("the payload names it").source_type, "staged");
    let entries: Vec<redis::Value> =
        darkroom.redis.clone().xrange_all("{darkroom}:events").await.expect("redis answers");
    let event: (String, (String, String)) =
        redis::from_redis_value(entries[0].clone()).expect("one field an event");
    let event: Event = serde_json::from_str(&event.1.1).expect("an event");
    assert_eq!((event.event_type, event.subject), (EventType::ImageCancelled, Some(job.to_string())));
    assert_eq!(ready(&darkroom).await, 0, "a claim drops the husk");
    let original = removed.original.expect("the payload names it");
    darkroom.storage.remove_original(&original).await.expect("the bucket answers");
    darkroom.eventually_only(&[key.as_str()]).await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_can_be_cancelled() {
    let darkroom = TestDarkroom::start().await;
    let tomorrow = Timestamp::from_unix_ms(
        std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64 + 86_400_000,
    );
    let options = EnqueueOptions { run_at: Some(tomorrow), ..Default::default() };
    let job = darkroom.producer.enqueue_with(not_an_image("u1"), options).await.expect("redis takes jobs");

    darkroom.operator().cancel(&job).await.expect("it waits");

    let scheduled: u64 =
        darkroom.redis.clone().zcard("{darkroom}:upload:scheduled").await.expect("redis answers");
    assert_eq!((darkroom.final_receipt(&job).await.status, scheduled), (Status::Cancelled, 0));
}

#[tokio::test]
async fn the_husk_of_a_cancelled_job_that_was_forgotten_becomes_no_job() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.operator().cancel(&job).await.expect("it waits");
    let () = redis::pipe()
        .zrem("{darkroom}:upload:done", job.as_str())
        .hdel("{darkroom}:upload:data", job.as_str())
        .del(format!("{META}{job}"))
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");

    let _worker = darkroom.worker(&[]);
    let (later, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.final_receipt(&later).await;

    assert_eq!(darkroom.producer.receipt(&job).await.expect("redis answers"), None);
}

#[tokio::test]
async fn a_running_a_settled_and_an_unknown_job_are_not_cancelled() {
    let darkroom = TestDarkroom::start().await;
    darkroom.services.s3.pause();
    let mut worker = darkroom.worker(&[]);
    let unknown = JobId::generate();
    let settled = darkroom.producer.enqueue(not_an_image("u1")).await.expect("redis takes jobs");
    let settled_as = darkroom.final_receipt(&settled).await.status;
    worker.kill().await;
    let (running, _) = (darkroom.producer.enqueue(not_an_image("u1")).await.expect("redis takes jobs"), ());
    let () = redis::pipe()
        .lpop("{darkroom}:upload:active", None)
        .zadd("{darkroom}:upload:leases", running.as_str(), u64::MAX)
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");
    let operator = darkroom.operator();

    let answers = (
        operator.cancel(&unknown).await.expect_err("no such job"),
        operator.cancel(&running).await.expect_err("somebody has it"),
        operator.cancel(&settled).await.expect_err("it is over"),
    );

    assert_eq!(settled_as, Status::Failed);
    assert!(matches!(answers.0, OperateError::Unknown(_)), "{:?}", answers.0);
    assert!(matches!(answers.1, OperateError::Running(_)), "{:?}", answers.1);
    assert!(matches!(answers.2, OperateError::NotPossible { status: Status::Failed, .. }), "{:?}", answers.2);
    assert!(matches!(operator.retry(&running).await, Err(OperateError::Running(_))));
    assert!(matches!(operator.discard(&running).await, Err(OperateError::Running(_))));
}

#[tokio::test]
async fn a_retried_job_has_all_its_attempts_again_and_its_first_time() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let upload = without_original(&darkroom).await;
    let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let dead = darkroom.final_receipt(&job).await;
    assert_eq!((code(&dead), dead.attempts), (Some(ErrorCode::SourceMissing), 2));
    let Source::Staged { key, .. } = &upload.source else { panic!("it is staged") };
    darkroom
        .storage
        .upload(&ObjectKey::staged(key), picture("plain.jpg").into(), &Default::default())
        .await
        .expect("stored");

    let queued = darkroom.operator().retry(&job).await.expect("it is dead");
    let receipt = darkroom.final_receipt(&job).await;

    assert!(!queued.is_final);
    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 3));
    assert_eq!(receipt.enqueued_at, dead.enqueued_at);
    assert_eq!(number(&darkroom, "{darkroom}:upload:stats", "dead_bytes").await, Some(0));
    assert!(matches!(
        darkroom.operator().retry(&job).await,
        Err(OperateError::NotPossible { status: Status::Done, .. })
    ));
}

#[tokio::test]
async fn a_retried_job_tells_why_it_died_until_it_runs() {
    let darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker(&[]);
    let job = darkroom.producer.enqueue(not_an_image("u1")).await.expect("redis takes jobs");
    darkroom.final_receipt(&job).await;
    worker.kill().await;

    let queued = darkroom.operator().retry(&job).await.expect("it is dead");

    assert_eq!((queued.status, queued.is_final, queued.attempts), (Status::Queued, false, 0));
    assert_eq!((code(&queued), queued.finished_at), (Some(ErrorCode::NotAnImage), None));
    let result: Option<String> =
        darkroom.redis.clone().hget(format!("{META}{job}"), "result").await.expect("redis answers");
    assert_eq!(result, None, "who waits for the result waits again");
}

#[tokio::test]
async fn a_retried_job_whose_picture_was_deleted_meanwhile_is_superseded() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let upload = without_original(&darkroom).await;
    let target = Target::UserPhoto { user_id: upload.user_id.clone(), image_id: upload.image_id };
    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    darkroom.final_receipt(&job).await;
    let deletion = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    darkroom.final_receipt(&deletion).await;

    darkroom.operator().retry(&job).await.expect("it is dead");

    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Superseded);
}

#[tokio::test]
async fn a_retried_poison_job_has_its_crashes_forgiven() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let crashed = [("dr_crashes", 8), ("dr_deliveries", 8)];
    let meta = format!("{META}{job}");
    let () = darkroom.redis.clone().hset_multiple(meta, &crashed).await.expect("redis answers");
    let _worker = darkroom.worker(&[]);
    assert_eq!(code(&darkroom.final_receipt(&job).await), Some(ErrorCode::Poison));

    darkroom.operator().retry(&job).await.expect("it is dead");

    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
}

#[tokio::test]
async fn dead_jobs_of_one_code_are_retried_and_the_others_stay() {
    let darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker(&[]);
    let missing = darkroom.producer.enqueue(without_original(&darkroom).await).await.expect("taken");
    let bad = darkroom.producer.enqueue(not_an_image("u1")).await.expect("taken");
    darkroom.final_receipt(&missing).await;
    darkroom.final_receipt(&bad).await;
    worker.kill().await;

    let retried = darkroom.operator().retry_dead(Kind::Upload, Some(ErrorCode::SourceMissing)).await;

    assert_eq!(retried.expect("redis answers"), 1);
    let status =
        async |job| darkroom.producer.receipt(job).await.expect("redis answers").expect("known").status;
    assert_eq!((status(&missing).await, status(&bad).await), (Status::Queued, Status::Failed));
}

#[tokio::test]
async fn more_dead_jobs_than_one_call_takes_are_all_retried() {
    let darkroom = TestDarkroom::start().await;
    let mut seed = redis::pipe();
    for number in 0..1_201 {
        seed.zadd("{darkroom}:upload:dead", format!("job-{number}"), 1_000 + number).ignore();
    }
    let () = seed.query_async(&mut darkroom.redis.clone()).await.expect("redis answers");

    let retried = darkroom.operator().retry_dead(Kind::Upload, None).await.expect("redis answers");

    let first: String =
        darkroom.redis.clone().lindex("{darkroom}:upload:active", 0).await.expect("redis answers");
    assert_eq!((retried, ready(&darkroom).await, first.as_str()), (1_201, 1_201, "job-0"));
}

#[tokio::test]
async fn a_discarded_job_is_gone_and_its_idempotency_key_free() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let upload = without_original(&darkroom).await;
    let options = EnqueueOptions { idempotency_key: Some("once".into()), ..Default::default() };
    let enqueue = || darkroom.producer.enqueue_with(upload.clone(), options.clone());
    let job = enqueue().await.expect("redis takes jobs");
    let dead = darkroom.final_receipt(&job).await;
    let operator = darkroom.operator();

    let removed = operator.discard(&job).await.expect("it is dead");
    let again = enqueue().await.expect("redis takes jobs");

    assert_eq!((removed.receipt, removed.original), (dead, Some(upload.source.clone())));
    assert_ne!(again, job);
    assert_eq!(darkroom.producer.receipt(&job).await.expect("redis answers"), None);
    assert_eq!(number(&darkroom, "{darkroom}:upload:stats", "dead_bytes").await, Some(0));
    assert!(matches!(operator.discard(&job).await, Err(OperateError::Unknown(_))));
    let known: bool =
        darkroom.redis.clone().hexists("{darkroom}:upload:data", job.as_str()).await.expect("redis answers");
    assert!(!known);
}

#[tokio::test]
async fn a_paused_queue_is_not_claimed_from_until_it_is_resumed() {
    let darkroom = TestDarkroom::start().await;
    let operator = darkroom.operator();
    assert!(operator.pause(Kind::Upload).await.expect("redis answers"));
    assert!(!operator.pause(Kind::Upload).await.expect("redis answers"), "it is paused");
    assert!(operator.is_paused(Kind::Upload).await.expect("redis answers"));
    let _worker = darkroom.worker(&[]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let target = Target::UserPhoto { user_id: "u2".parse().expect("an id"), image_id: ImageId::random() };

    let deletion = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    darkroom.final_receipt(&deletion).await;
    let meanwhile = darkroom.producer.receipt(&job).await.expect("redis answers").expect("it is known");
    let resumed = operator.resume(Kind::Upload).await.expect("redis answers");

    assert_eq!((meanwhile.status, meanwhile.deliveries), (Status::Queued, 0));
    assert!(resumed && !operator.resume(Kind::Upload).await.expect("redis answers"));
    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
}
