//! The producer against a real server.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests may panic, start a server and ask the environment"
)]

mod support;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use darkroom_jobs::{
    EnqueueError, EnqueueOptions, ErrorCode, ImageId, JobId, Kind, Payload, Producer, Receipt, Source,
    Status, Timestamp, Upload, WaitError,
};
use redis::AsyncCommands;
use support::Redis;
use tokio::task::JoinSet;

fn upload() -> Upload {
    Upload {
        user_id: "42".parse().unwrap(),
        image_id: ImageId::random(),
        source: Source::Staged { key: "staging/a/b".parse().unwrap(), bytes: None, etag: None, sha256: None },
    }
}

fn keyed(key: &str) -> EnqueueOptions {
    EnqueueOptions { idempotency_key: Some(key.into()), ..Default::default() }
}

#[tokio::test]
async fn an_enqueued_job_is_ready_with_its_payload_and_the_stock_words() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;

    let id = producer.enqueue(upload()).await.unwrap();

    let active: Vec<String> = look.lrange("{test}:upload:active", 0, -1).await.unwrap();
    assert_eq!(active, [id.as_str()]);
    let mut meta: HashMap<String, String> = look.hgetall(format!("{{test}}:upload:meta:{id}")).await.unwrap();
    assert!(meta.remove("dr_enqueued_at").unwrap().parse::<u64>().is_ok());
    let words = [("attempts", "0"), ("max_attempts", "18"), ("status", "Pending"), ("dr_seen", id.as_str())];
    assert_eq!(meta, HashMap::from(words.map(|(name, value)| (name.to_owned(), value.to_owned()))));
    assert!(look.hexists::<_, _, bool>("{test}:upload:data", id.as_str()).await.unwrap());
}

#[tokio::test]
async fn a_repeated_call_changes_nothing_even_after_the_job_is_done() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let options = EnqueueOptions { job_id: Some(JobId::generate()), ..Default::default() };
    let job = upload();

    let first = producer.enqueue_with(job.clone(), options.clone()).await.unwrap();
    let again = producer.enqueue_with(job.clone(), options.clone()).await.unwrap();
    let waiting: u32 = look.llen("{test}:upload:active").await.unwrap();
    let () = look.del("{test}:upload:active").await.unwrap();
    let () = look.hset("{test}:upload:data", first.as_str(), "").await.unwrap();
    let settled = producer.enqueue_with(job, options).await.unwrap();

    assert_eq!((&again, &settled), (&first, &first));
    assert_eq!(waiting, 1);
    assert_eq!(look.llen::<_, u32>("{test}:upload:active").await.unwrap(), 0);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_job_and_refuses_another_payload() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let job = upload();

    let first = producer.enqueue_with(job.clone(), keyed("order-1")).await.unwrap();
    let () = look.hset("{test}:upload:data", first.as_str(), "").await.unwrap();
    let same = producer.enqueue_with(job, keyed("order-1")).await.unwrap();
    let other = producer.enqueue_with(upload(), keyed("order-1")).await.unwrap_err();

    assert_eq!(same, first);
    assert_eq!(other.code(), ErrorCode::IdempotencyConflict);
    assert!(matches!(other, EnqueueError::Conflict(holder) if holder == first));
    let ttl: i64 = look.ttl("{test}:upload:idempotency:order-1").await.unwrap();
    assert!((86_390..=86_400).contains(&ttl));
}

#[tokio::test]
async fn a_job_for_later_is_scheduled_and_one_for_next_year_refused() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let now_s: u64 = redis::cmd("TIME").query_async::<(u64, u64)>(&mut look).await.unwrap().0;
    let at = |days: u64| EnqueueOptions {
        run_at: Some(Timestamp::from_unix_ms((now_s + days * 86_400) * 1000)),
        ..Default::default()
    };

    let later = producer.enqueue_with(upload(), at(29)).await.unwrap();
    let refused = producer.enqueue_with(upload(), at(31)).await.unwrap_err();

    let due: u64 = look.zscore("{test}:upload:scheduled", later.as_str()).await.unwrap();
    assert_eq!(due, now_s + 29 * 86_400);
    assert_eq!(refused.code(), ErrorCode::JobMalformed);
    assert_eq!(look.hlen::<_, u32>("{test}:upload:data").await.unwrap(), 1);
    let receipt = producer.receipt(&later).await.unwrap().unwrap();
    assert_eq!(receipt.status, Status::Queued);
    assert_eq!(receipt.next_attempt_at, Some(Timestamp::from_unix_ms(due * 1000)));
}

#[tokio::test]
async fn a_job_is_due_to_the_millisecond_and_so_never_later_than_it_may_be() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let now_s: u64 = redis::cmd("TIME").query_async::<(u64, u64)>(&mut look).await.unwrap().0;
    let run_at = Timestamp::from_unix_ms((now_s + 86_400) * 1000 + 1);

    let options = EnqueueOptions { run_at: Some(run_at), ..Default::default() };
    let id = producer.enqueue_with(upload(), options).await.unwrap();

    let due: String = look.zscore("{test}:upload:scheduled", id.as_str()).await.unwrap();
    assert_eq!(due.parse::<f64>().unwrap(), run_at.unix_ms() as f64 / 1000.0);
    assert_eq!(producer.receipt(&id).await.unwrap().unwrap().next_attempt_at, Some(run_at));
}

#[tokio::test]
async fn an_idempotency_key_that_outlives_its_job_keeps_no_other_out() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let forgotten = producer.enqueue_with(upload(), keyed("order-1")).await.unwrap();
    let () = look.hdel("{test}:upload:data", forgotten.as_str()).await.unwrap();
    let () = look.del(format!("{{test}}:upload:meta:{forgotten}")).await.unwrap();

    let next = producer.enqueue_with(upload(), keyed("order-1")).await.unwrap();
    let other = producer.enqueue_with(upload(), keyed("order-1")).await.unwrap_err();

    assert_ne!(next, forgotten);
    assert!(producer.receipt(&next).await.unwrap().is_some());
    assert!(matches!(other, EnqueueError::Conflict(holder) if holder == next));
}

#[tokio::test]
async fn a_final_receipt_that_cannot_be_read_is_an_error_and_a_strangers_says_nothing() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let id = producer.enqueue(upload()).await.unwrap();
    let meta = format!("{{test}}:upload:meta:{id}");
    let () = look.hset(&meta, "result", r#"{"Ok":{"v":9}}"#).await.unwrap();

    let unread = producer.receipt(&id).await.unwrap_err();
    let listed = producer.receipts(Kind::Upload, std::slice::from_ref(&id), |_| true).await;
    let () = look.hdel(&meta, "dr_seen").await.unwrap();
    let unseen = producer.receipt(&id).await.unwrap().unwrap();

    assert!(unread.to_string().contains(id.as_str()) && listed.is_err(), "{unread}");
    assert_eq!(unseen.status, Status::Queued);
}

#[tokio::test]
async fn a_payload_is_read_only_for_a_receipt_that_is_wanted_and_has_no_context() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let context = serde_json::json!({ "row": 7 });
    let job = Payload { context: Some(context.clone()), ..upload().into() };
    let ids = [producer.enqueue::<Upload>(job).await.unwrap()];
    let () = redis::cmd("CONFIG").arg("RESETSTAT").query_async(&mut look).await.unwrap();
    let read = async |look: &mut redis::aio::MultiplexedConnection| {
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(look).await.unwrap();
        stats.contains("cmdstat_hget:")
    };

    let unwanted = producer.receipts(Kind::Upload, &ids, |_| false).await.unwrap();
    let before = read(&mut look).await;
    let wanted = producer.receipts(Kind::Upload, &ids, |_| true).await.unwrap();

    assert_eq!((unwanted, before, read(&mut look).await), (vec![], false, true));
    assert_eq!(wanted[0].context, Some(context));
}

#[tokio::test]
async fn a_context_that_no_receipt_can_carry_is_refused_at_the_door_and_shown_by_none() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let job = Payload { context: Some("x".repeat(5_000).into()), ..upload().into() };
    let json = serde_json::to_string(&job).unwrap();

    let typed = producer.enqueue::<Upload>(job).await.unwrap_err();
    let given = producer.enqueue_json(Kind::Upload, &json, EnqueueOptions::default()).await.unwrap_err();
    let () = look.hset("{test}:upload:data", "by-hand", json).await.unwrap();
    let by_hand = producer.receipt(&"by-hand".parse().unwrap()).await.unwrap().unwrap();

    assert_eq!([typed.code(), given.code()], [ErrorCode::JobMalformed; 2]);
    assert_eq!(by_hand.context, None);
}

#[tokio::test]
async fn ten_thousand_jobs_are_taken_in_order() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let jobs: Vec<_> = (0..10_000).map(|_| upload()).collect();

    let ids = producer.enqueue_many(jobs).await.unwrap();

    let active: Vec<String> = look.lrange("{test}:upload:active", 0, -1).await.unwrap();
    assert!(active.iter().eq(ids.iter().map(JobId::as_str).collect::<Vec<_>>().iter()));
}

#[tokio::test]
async fn a_full_redis_says_queue_full_and_a_lost_script_is_loaded_again() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    producer.enqueue(upload()).await.unwrap();

    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut look).await.unwrap();
    producer.enqueue(upload()).await.unwrap();
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").query_async(&mut look).await.unwrap();
    let full = producer.enqueue(upload()).await.unwrap_err();

    assert_eq!(full.code(), ErrorCode::QueueFull);
    assert!(full.to_string().contains("maxmemory"));
}

#[tokio::test]
async fn json_is_checked_before_it_is_pushed_and_pushed_as_given() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let good = r#"{ "target": {"type":"user", "user_id": 7}, "new_field": 1 }"#;
    let bad = r#"{"target":{"type":"user","user_id":"../7"}}"#;

    let jobs = [good, bad].map(|json| (json.to_owned(), EnqueueOptions::default()));
    let answers = producer.enqueue_json_many(Kind::Delete, jobs).await.unwrap();

    let id = answers[0].as_ref().unwrap();
    assert_eq!(answers[1].as_ref().unwrap_err().code(), ErrorCode::IdInvalid);
    let kept: String = look.hget("{test}:delete:data", id.as_str()).await.unwrap();
    assert_eq!(kept, good);
}

#[tokio::test]
async fn waiting_ends_when_the_job_is_settled_and_says_where_it_stands_when_it_is_not() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let id = producer.enqueue(upload()).await.unwrap();
    let () = look.zadd("{test}:upload:leases", id.as_str(), 1).await.unwrap();

    let Err(WaitError::TimedOut(running)) = producer.wait(&id, Duration::from_millis(50)).await else {
        panic!("nobody settled the job");
    };
    let waiting = tokio::spawn({
        let (producer, id) = (producer.clone(), id.clone());
        async move { producer.wait(&id, Duration::from_secs(10)).await }
    });
    let done = Receipt::new(id.clone(), Kind::Upload, Status::Done);
    let result = serde_json::json!({ "Ok": done }).to_string();
    let () = look.hset(format!("{{test}}:upload:meta:{id}"), "result", result).await.unwrap();
    let () = look.publish("{test}:settled", id.as_str()).await.unwrap();

    assert_eq!(running.status, Status::Running);
    assert_eq!(waiting.await.unwrap().unwrap(), done);
    let unknown = producer.wait(&JobId::generate(), Duration::from_secs(1)).await;
    assert!(matches!(unknown, Err(WaitError::Unknown(_))));
}

/// Calls of a command since the numbers were reset.
async fn calls(look: &mut redis::aio::MultiplexedConnection, command: &str) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(look).await.unwrap();
    let name = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Begins to wait for each job, and returns when each was looked for once.
async fn waiting(
    producer: &Producer,
    look: &mut redis::aio::MultiplexedConnection,
    ids: &[JobId],
) -> JoinSet<Result<Receipt, WaitError>> {
    let () = redis::cmd("CONFIG").arg("RESETSTAT").query_async(look).await.unwrap();
    let mut waiting = JoinSet::new();
    for id in ids {
        let (producer, id) = (producer.clone(), id.clone());
        waiting.spawn(async move { producer.wait(&id, Duration::from_secs(60)).await });
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    // A look asks every queue.
    while calls(look, "hmget").await < (ids.len() * Kind::ALL.len()) as u64 {
        assert!(Instant::now() < deadline, "nobody looks for the jobs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waiting
}

/// Ends a ready job as a worker does, but tells nobody.
async fn end_in_silence(look: &mut redis::aio::MultiplexedConnection, id: &JobId) -> Receipt {
    let done = Receipt::new(id.clone(), Kind::Upload, Status::Done);
    let result = serde_json::json!({ "Ok": done }).to_string();
    let () = redis::pipe()
        .atomic()
        .lrem("{test}:upload:active", 1, id.as_str())
        .hset("{test}:upload:data", id.as_str(), "")
        .hset_multiple(format!("{{test}}:upload:meta:{id}"), &[("status", "Done"), ("result", &result)])
        .zadd("{test}:upload:done", id.as_str(), 1)
        .query_async(look)
        .await
        .unwrap();
    done
}

#[tokio::test]
async fn waiting_ends_although_nobody_heard_that_the_job_was_settled() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let id = producer.enqueue(upload()).await.unwrap();

    let mut waiting = waiting(&producer, &mut look, std::slice::from_ref(&id)).await;
    let done = end_in_silence(&mut look, &id).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), waiting.join_next()).await;

    let receipt = ended.expect("it is looked for again").unwrap().unwrap();
    assert_eq!(receipt.unwrap(), done);
}

#[tokio::test]
async fn all_who_wait_in_one_process_share_a_subscription() {
    let redis = Redis::start();
    let producer = redis.producer().await;
    let mut look = redis.connection().await;
    let ids = producer.enqueue_many((0..20).map(|_| upload())).await.unwrap();

    let waiting = waiting(&producer, &mut look, &ids).await;
    let subscribers: (String, u32) =
        redis::cmd("PUBSUB").arg(&["NUMSUB", "{test}:settled"]).query_async(&mut look).await.unwrap();
    for id in &ids {
        end_in_silence(&mut look, id).await;
        let () = look.publish("{test}:settled", id.as_str()).await.unwrap();
    }
    let ended = waiting.join_all().await;

    assert_eq!(subscribers.1, 1);
    assert!(ended.iter().all(|ended| ended.as_ref().is_ok_and(|receipt| receipt.is_final)), "{ended:?}");
}
