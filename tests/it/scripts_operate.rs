//! The scripts beside a delivery, each by itself: what a person does, the periodic slot, the report of the bucket.
//!
//! All calls are made by a user who may touch nothing but what the script's KEYS name.

use std::time::Duration;

use darkroom::{
    handlers::delete::SECOND_PASS,
    queue::scripts::{HEALTH_WRITE, SLOT_ENQUEUE},
};
use futures_util::StreamExt as _;
use redis::AsyncCommands as _;

use crate::support::scripts::{DONE, Scripts, Settling};

fn words<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(str::to_owned)
}

async fn slot(scripts: &mut Scripts, period_ms: &str, job: &str) -> u8 {
    let q = &scripts.queue;
    let meta = format!("{}{job}", q.meta_prefix());
    let keys = [q.slot(), q.data(), meta, q.active(), q.scheduled(), q.leases(), scripts.keys.wake()];
    let args = words([period_ms, job, "{}", "upload", "1"]);
    scripts.call(&SLOT_ENQUEUE, &keys, &args).await.expect("redis answers")
}

async fn dead(scripts: &mut Scripts, job: &str) {
    let token = scripts.leased(job).await;
    let settled = scripts.settle(job, &token, &Settling { outcome: "dead", ..DONE }).await;
    assert_eq!(settled.expect("redis answers"), 1);
}

async fn dead_bytes(scripts: &mut Scripts) -> i64 {
    scripts.redis.hget(scripts.queue.stats(), "dead_bytes").await.expect("redis answers")
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_once_and_one_that_runs_or_is_unknown_is_not() {
    let mut scripts = Scripts::start().await;
    scripts.leased("runs").await;
    scripts.ready("waits", "payload").await;

    let refused = [scripts.cancel("unknown", "0").await, scripts.cancel("runs", "1").await];
    let outdated = scripts.cancel("waits", "1").await;
    let answers = [scripts.cancel("waits", "0").await, scripts.cancel("waits", "0").await];

    assert_eq!((refused, outdated, answers), ([0, 2], 4, [1, 3]));
    assert_eq!(scripts.zset(scripts.queue.done()).await[0].0, "waits");
    assert_eq!(scripts.meta("waits").await["result"], r#"{"Ok":{"status":"cancelled"}}"#);
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 1);
    assert!(scripts.claim(&["t"]).await.is_empty(), "its husk is dropped");
}

#[tokio::test]
async fn a_dead_job_is_discarded_once_with_its_weight_and_the_key_that_led_to_it() {
    let mut scripts = Scripts::start().await;
    let holder = scripts.queue.idempotency("order-1");
    dead(&mut scripts, "a").await;
    let () = scripts.redis.set(&holder, "another").await.unwrap();
    dead(&mut scripts, "b").await;
    scripts.leased("runs").await;

    let answers = [scripts.discard("a", "order-1").await, scripts.discard("a", "order-1").await];
    let kept: bool = scripts.redis.exists(&holder).await.unwrap();
    let () = scripts.redis.set(&holder, "b").await.unwrap();
    let more = [scripts.discard("runs", "order-1").await, scripts.discard("b", "order-1").await];

    assert_eq!((answers, kept, more), ([1, 0], true, [0, 1]));
    assert!(!scripts.redis.exists::<_, bool>(&holder).await.unwrap());
    assert_eq!(dead_bytes(&mut scripts).await, 0);
    assert_eq!(scripts.redis.hkeys::<_, Vec<String>>(scripts.queue.data()).await.unwrap(), ["runs"]);
}

#[tokio::test]
async fn a_dead_job_goes_round_again_once_with_a_clean_slate_and_its_last_receipt() {
    let mut scripts = Scripts::start().await;
    dead(&mut scripts, "a").await;
    for field in ["dr_crashes", "dr_note", "dr_reason", "dr_crashed_at", "dr_deferred_at", "dr_first_at"] {
        scripts.set_meta("a", field, "8").await;
    }
    let enqueued = scripts.meta("a").await["dr_enqueued_at"].clone();

    let answers = [scripts.retry(&["a", "b"]).await, scripts.retry(&["a"]).await];

    assert_eq!(answers, [Ok(1), Ok(0)]);
    assert_eq!(
        (scripts.active().await, scripts.zset(scripts.queue.dead()).await.len()),
        (vec!["a".to_owned()], 0)
    );
    let meta = scripts.meta("a").await;
    assert_eq!((meta["attempts"].as_str(), meta["dr_crashes"].as_str()), ("0", "0"));
    assert_eq!((meta["status"].as_str(), meta["dr_enqueued_at"].as_str()), ("Queued", enqueued.as_str()));
    assert_eq!(meta["dr_last"], r#"{"status":"it"}"#);
    for gone in [
        "result",
        "dr_bytes",
        "dr_settled",
        "dr_note",
        "dr_reason",
        "dr_first_at",
        "dr_leased_at",
        "dr_crashed_at",
    ] {
        assert!(!meta.contains_key(gone), "{gone} is still there");
    }
    assert_eq!(scripts.redis.hget::<_, _, i64>(scripts.queue.stats(), "dead_bytes").await.unwrap(), 0);
    let rows = scripts.claim(&["t1"]).await;
    assert_eq!((rows[0].id.as_str(), rows[0].attempts, rows[0].crashes), ("a", 0, 0));
}

#[tokio::test]
async fn of_all_notes_a_retry_keeps_the_one_of_a_second_pass() {
    let mut scripts = Scripts::start().await;
    for (job, note) in [("deletes", SECOND_PASS), ("fetches", "turns:0123456789abcdef")] {
        dead(&mut scripts, job).await;
        scripts.set_meta(job, "dr_note", note).await;
    }

    let retried = scripts.retry(&["deletes", "fetches"]).await;

    assert_eq!(retried, Ok(2));
    assert_eq!(scripts.meta("deletes").await["dr_note"], SECOND_PASS);
    assert!(!scripts.meta("fetches").await.contains_key("dr_note"));
}

#[tokio::test]
async fn a_dead_job_whose_metadata_was_overwritten_is_retried_and_discarded_all_the_same() {
    let mut scripts = Scripts::start().await;
    for job in ["retried", "discarded"] {
        dead(&mut scripts, job).await;
        let meta = format!("{}{job}", scripts.queue.meta_prefix());
        let () = scripts.redis.set(meta, "no hash").await.unwrap();
    }

    let answers = (scripts.retry(&["retried"]).await, scripts.discard("discarded", "order-1").await);

    assert_eq!(answers, (Ok(1), 1));
    assert_eq!(scripts.claim(&["t1"]).await[0].id, "retried");
    assert!(scripts.meta("discarded").await.is_empty());
}

#[tokio::test]
async fn more_jobs_than_one_call_may_touch_are_refused_whole() {
    let mut scripts = Scripts::start().await;
    dead(&mut scripts, "a").await;

    assert!(scripts.retry(&["a"; 501]).await.is_err());

    assert_eq!(scripts.zset(scripts.queue.dead()).await.len(), 1);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_once() {
    let mut scripts = Scripts::start().await;

    let mut messages = scripts.messages().await;

    let paused = [scripts.pause().await];
    let since: u64 = scripts.redis.get(scripts.queue.paused()).await.expect("it is paused");
    let paused = [paused[0], scripts.pause().await];
    let still: u64 = scripts.redis.get(scripts.queue.paused()).await.expect("it is paused");
    let resumed = [scripts.resume().await, scripts.resume().await];

    assert_eq!((paused, resumed, still), ([1, 0], [1, 0], since));
    assert!((scripts.now_ms().await - since as f64).abs() < 60_000.0, "{since}");
    let woken = tokio::time::timeout(Duration::from_secs(10), messages.next()).await;
    let woken = woken.expect("somebody is told").expect("it is connected").get_payload::<String>();
    assert_eq!(woken.expect("it is a text"), "upload");
}

#[tokio::test]
async fn a_slot_has_one_job_and_none_while_one_waits_or_runs() {
    let mut scripts = Scripts::start().await;
    let hour = "3600000";

    let first = [slot(&mut scripts, hour, "a").await, slot(&mut scripts, hour, "b").await];
    let () = scripts.redis.del(scripts.queue.slot()).await.unwrap();
    let waits = slot(&mut scripts, hour, "c").await;
    scripts.claim(&["t"]).await;
    let runs = slot(&mut scripts, hour, "d").await;
    scripts.settle("a", "t", &DONE).await.unwrap();
    let next = slot(&mut scripts, hour, "e").await;

    assert_eq!((first, waits, runs, next), ([1, 0], 0, 0, 1));
    assert_eq!(scripts.active().await, ["e"]);
}

#[tokio::test]
async fn a_report_is_announced_when_its_status_is_another_one() {
    let mut scripts = Scripts::start().await;
    let keys = [scripts.keys.health(), scripts.keys.events()];

    let mut before: Vec<String> = Vec::new();
    for status in ["ok", "down", "down", "ok"] {
        before.push(scripts.call(&HEALTH_WRITE, &keys, &words([status, "{}", "{}"])).await.unwrap());
    }

    assert_eq!(before, ["", "ok", "", "down"]);
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 2);
}
