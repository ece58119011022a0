//! The scripts by which a person changes jobs and queues: granted, refused, repeated.
//!
//! All calls are made by a user who may touch nothing but what the script's KEYS name.

use darkroom::queue::scripts::{JOB_CANCEL, JOB_DISCARD, JOBS_RETRY, QUEUE_PAUSE, QUEUE_RESUME};
use redis::{AsyncCommands, RedisResult};

use crate::support::scripts::{DONE, Scripts, Settling};

const DEAD: Settling<'static> = Settling { outcome: "dead", ..DONE };

/// A job that died, as a worker leaves it.
async fn dead(scripts: &mut Scripts, job: &str) {
    let token = scripts.leased(job).await;
    assert_eq!(scripts.settle(job, &token, &DEAD).await, Ok(1));
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn retry(scripts: &mut Scripts, jobs: &[&str]) -> RedisResult<u64> {
    let q = scripts.queue.clone();
    let keys = [q.dead(), q.active(), q.stats(), q.meta_prefix(), scripts.keys.wake()];
    scripts.call(&JOBS_RETRY, &keys, &texts(&[&["upload"], jobs].concat())).await
}

async fn discard(scripts: &mut Scripts, job: &str, key: &str) -> u8 {
    let q = scripts.queue.clone();
    let meta = format!("{}{job}", q.meta_prefix());
    let keys = [q.dead(), q.data(), meta, q.stats(), q.idempotency(key)];
    scripts.call(&JOB_DISCARD, &keys, &texts(&[job])).await.expect("the script answers")
}

async fn cancel(scripts: &mut Scripts, job: &str, deliveries: &str) -> u8 {
    let (q, all) = (scripts.queue.clone(), scripts.keys.clone());
    let meta = format!("{}{job}", q.meta_prefix());
    let keys = [
        q.leases(),
        q.data(),
        meta,
        q.scheduled(),
        q.done(),
        q.dead(),
        q.stats(),
        all.events(),
        all.settled(),
    ];
    let args = texts(&[job, deliveries, r#"{"status":"it"}"#, "{}"]);
    scripts.call(&JOB_CANCEL, &keys, &args).await.expect("the script answers")
}

#[tokio::test]
async fn a_dead_job_is_sent_round_once_with_a_clean_slate() {
    let mut scripts = Scripts::start().await;
    dead(&mut scripts, "a").await;
    for field in ["dr_crashes", "dr_note", "dr_reason", "dr_crashed_at", "dr_deferred_at"] {
        scripts.set_meta("a", field, "8").await;
    }
    let enqueued = scripts.meta("a").await["dr_enqueued_at"].clone();

    let answers = [retry(&mut scripts, &["a", "b"]).await, retry(&mut scripts, &["a"]).await];

    assert_eq!(answers, [Ok(1), Ok(0)]);
    assert_eq!((scripts.active().await, scripts.zset(scripts.queue.dead()).await.len()), (texts(&["a"]), 0));
    let meta = scripts.meta("a").await;
    assert_eq!((meta["attempts"].as_str(), meta["dr_crashes"].as_str()), ("0", "0"));
    assert_eq!((meta["status"].as_str(), meta["dr_enqueued_at"].as_str()), ("Queued", enqueued.as_str()));
    assert_eq!(meta["dr_last"], r#"{"status":"it"}"#);
    for gone in ["result", "dr_bytes", "dr_settled", "dr_note", "dr_reason", "dr_first_at", "dr_crashed_at"] {
        assert!(!meta.contains_key(gone), "{gone} is still there");
    }
    assert_eq!(scripts.redis.hget::<_, _, i64>(scripts.queue.stats(), "dead_bytes").await.unwrap(), 0);
    let rows = scripts.claim(&["t1"]).await;
    assert_eq!((rows[0].id.as_str(), rows[0].attempts, rows[0].crashes), ("a", 0, 0));
}

#[tokio::test]
async fn more_jobs_than_one_call_may_touch_are_refused_whole() {
    let mut scripts = Scripts::start().await;
    dead(&mut scripts, "a").await;

    assert!(retry(&mut scripts, &["a"; 501]).await.is_err());

    assert_eq!(scripts.zset(scripts.queue.dead()).await.len(), 1);
}

#[tokio::test]
async fn a_dead_job_is_forgotten_with_its_own_idempotency_key_alone() {
    let mut scripts = Scripts::start().await;
    for (job, holder) in [("a", "a"), ("b", "later")] {
        dead(&mut scripts, job).await;
        let () = scripts.redis.set(scripts.queue.idempotency(job), holder).await.unwrap();
    }

    let answers = [
        discard(&mut scripts, "a", "a").await,
        discard(&mut scripts, "a", "a").await,
        discard(&mut scripts, "b", "b").await,
    ];

    assert_eq!(answers, [1, 0, 1]);
    assert!(scripts.meta("a").await.is_empty());
    assert_eq!(scripts.redis.hlen::<_, u32>(scripts.queue.data()).await.unwrap(), 0);
    assert_eq!(scripts.redis.hget::<_, _, i64>(scripts.queue.stats(), "dead_bytes").await.unwrap(), 0);
    let holders = ["a", "b"].map(|key| scripts.queue.idempotency(key));
    let holders: Vec<Option<String>> = scripts.redis.mget(&holders[..]).await.unwrap();
    assert_eq!(holders, [None, Some("later".to_owned())]);
}

#[tokio::test]
async fn a_job_that_is_not_dead_is_not_forgotten() {
    let mut scripts = Scripts::start().await;
    scripts.ready("a", "payload").await;

    assert_eq!(discard(&mut scripts, "a", "").await, 0);

    assert_eq!(scripts.claim(&["t1"]).await.len(), 1);
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_once_and_its_husk_is_dropped() {
    let mut scripts = Scripts::start().await;
    scripts.ready("a", "payload").await;
    scripts.ready("b", "payload").await;

    let answers = [cancel(&mut scripts, "a", "0").await, cancel(&mut scripts, "a", "0").await];

    assert_eq!(answers, [1, 3]);
    let meta = scripts.meta("a").await;
    assert_eq!((meta["result"].as_str(), meta["status"].as_str()), (r#"{"Ok":{"status":"it"}}"#, "Done"));
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 1);
    assert_eq!(scripts.redis.hget::<_, _, u32>(scripts.queue.stats(), "cancelled").await.unwrap(), 1);
    assert_eq!(scripts.redis.hget::<_, _, String>(scripts.queue.data(), "a").await.unwrap(), "");
    let rows = scripts.claim(&["t1", "t2"]).await;
    assert_eq!(rows.into_iter().map(|row| row.id).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_job_that_is_put_off_is_cancelled_where_it_waits() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let again = Settling { outcome: "again", event: "", after_ms: 60_000, ..DONE };
    assert_eq!(scripts.settle("a", &token, &again).await, Ok(1));

    // The receipt was made before the delivery: it would hide what happened since.
    let answers = [cancel(&mut scripts, "a", "0").await, cancel(&mut scripts, "a", "1").await];

    assert_eq!(answers, [4, 1]);
    assert!(scripts.zset(scripts.queue.scheduled()).await.is_empty());
    assert!(!scripts.meta("a").await.contains_key("dr_last"));
}

#[tokio::test]
async fn a_job_that_runs_or_that_nobody_knows_is_not_cancelled() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;

    assert_eq!([cancel(&mut scripts, "a", "1").await, cancel(&mut scripts, "nobody", "0").await], [2, 0]);

    assert_eq!(scripts.settle("a", &token, &DONE).await, Ok(1), "the worker's word counts");
    assert!(scripts.meta("nobody").await.is_empty());
}

#[tokio::test]
async fn the_husk_of_a_job_that_was_forgotten_is_dropped() {
    let mut scripts = Scripts::start().await;
    let () = scripts.redis.rpush(scripts.queue.active(), "forgotten").await.unwrap();
    scripts.ready("a", "payload").await;

    let rows = scripts.claim(&["t1", "t2"]).await;

    assert_eq!(rows.into_iter().map(|row| row.id).collect::<Vec<_>>(), ["a"]);
    assert!(scripts.meta("forgotten").await.is_empty());
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_once_and_a_pause_keeps_its_beginning() {
    let mut scripts = Scripts::start().await;
    let (paused, wake) = (scripts.queue.paused(), scripts.keys.wake());
    scripts.ready("a", "payload").await;

    let mut pauses = Vec::new();
    for _ in 0..2 {
        let changed: u8 = scripts.call(&QUEUE_PAUSE, std::slice::from_ref(&paused), &[]).await.unwrap();
        pauses.push((changed, scripts.redis.get::<_, u64>(&paused).await.unwrap()));
    }
    let meanwhile = scripts.claim(&["t1"]).await;
    let mut resumes = Vec::new();
    for _ in 0..2 {
        let keys = [paused.clone(), wake.clone()];
        resumes.push(scripts.call::<u8>(&QUEUE_RESUME, &keys, &texts(&["upload"])).await.unwrap());
    }

    assert_eq!((pauses[0].0, pauses[1].0, pauses[0].1 == pauses[1].1), (1, 0, true));
    assert!(pauses[0].1 > 1_000_000_000_000, "milliseconds");
    assert_eq!((meanwhile.len(), resumes), (0, vec![1, 0]));
    assert_eq!(scripts.claim(&["t1"]).await.len(), 1);
}
