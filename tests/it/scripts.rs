//! Each script of a delivery by itself: granted, refused, repeated, and with a lease that is lost.
//!
//! All calls are made by a user who may touch nothing but what the script's KEYS name.

use std::time::Duration;

use darkroom::queue::scripts::{JOBS_CLAIM, JOBS_SETTLE, LEASES_EXTEND, QUEUES_TICK, TOMBSTONE_WRITE};
use darkroom_jobs::{Kind, ObjectKey};
use futures_util::StreamExt as _;
use redis::{AsyncCommands, Script};

use crate::support::scripts::{DONE, Scripts, Settling, TICK};

#[tokio::test]
async fn a_claim_takes_ready_jobs_in_their_order_and_leases_each() {
    let mut scripts = Scripts::start().await;
    for job in ["a", "b", "c"] {
        scripts.ready(job, "payload").await;
    }

    let rows = scripts.claim(&["t1", "t2"]).await;

    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((ids, scripts.active().await), (vec!["a", "b"], vec!["c".to_owned()]));
    assert_eq!((rows[0].payload.as_str(), rows[0].attempts, rows[0].max_attempts), ("payload", 0, -1));
    assert_eq!((rows[0].deliveries, rows[0].crashes), (1, 0));
    let now = scripts.now_ms().await;
    let leases = scripts.zset(scripts.queue.leases()).await;
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|(_, end)| (now + 25_000.0..=now + 30_000.0).contains(end)), "{leases:?}");
    assert_eq!(scripts.meta("a").await["dr_token"], "t1");
}

#[tokio::test]
async fn a_claim_that_is_repeated_takes_other_jobs() {
    let mut scripts = Scripts::start().await;
    for job in ["a", "b"] {
        scripts.ready(job, "payload").await;
    }

    let rows = [scripts.claim(&["t1"]).await, scripts.claim(&["t1"]).await, scripts.claim(&["t1"]).await];

    assert_eq!(rows.map(|rows| rows.into_iter().map(|row| row.id).collect::<String>()), ["a", "b", ""]);
}

#[tokio::test]
async fn a_paused_queue_gives_nothing() {
    let mut scripts = Scripts::start().await;
    scripts.ready("a", "payload").await;
    let () = scripts.redis.set(scripts.queue.paused(), 1).await.unwrap();

    assert_eq!(scripts.claim(&["t1"]).await, []);
    assert_eq!(scripts.active().await, ["a"]);
}

#[tokio::test]
async fn a_claim_drops_husks_of_jobs_that_are_settled_or_leased() {
    let mut scripts = Scripts::start().await;
    for job in ["done", "dead", "leased", "good"] {
        scripts.ready(job, "payload").await;
    }
    for (set, job) in
        [(scripts.queue.done(), "done"), (scripts.queue.dead(), "dead"), (scripts.queue.leases(), "leased")]
    {
        scripts.score(set, job, 1.0).await;
    }

    let rows = scripts.claim(&["t1", "t2", "t3", "t4"]).await;

    assert_eq!(rows.into_iter().map(|row| row.id).collect::<Vec<_>>(), ["good"]);
    assert!(scripts.more, "a claim that took all it asked for is repeated, husks or not");
    assert!(scripts.active().await.is_empty());
}

/// A word of ours in a job's hash is no proof: only the places tell whether a job that does not wait is one.
#[tokio::test]
async fn a_ready_job_is_claimed_whatever_its_status_says_when_it_is_nowhere_else() {
    let mut scripts = Scripts::start().await;
    for status in ["Running", "Done", "Failed", "Killed"] {
        scripts.ready(status, "payload").await;
        scripts.set_meta(status, "dr_seen", status).await;
        scripts.set_meta(status, "status", status).await;
    }

    let rows = scripts.claim(&["t1", "t2", "t3", "t4", "t5"]).await;

    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(!scripts.more);
}

#[tokio::test]
async fn an_answer_holds_no_more_payload_than_two_jobs_may_have_and_the_rest_stays_ready() {
    let mut scripts = Scripts::start().await;
    let payload = "x".repeat(1 << 20);
    for job in ["a", "b", "c", "d", "e"] {
        scripts.ready(job, &payload).await;
    }

    let first = scripts.claim(&["t1", "t2", "t3", "t4", "t5"]).await.len();
    let more = scripts.more;
    let second = scripts.claim(&["t6", "t7", "t8", "t9", "t0"]).await.len();

    assert_eq!((first, more, second), (3, true, 2));
    assert!(scripts.active().await.is_empty());
}

#[tokio::test]
async fn what_a_strangers_metadata_put_under_our_names_says_nothing() {
    let mut scripts = Scripts::start().await;
    for field in ["dr_deliveries", "dr_crashes", "attempts", "dr_note", "dr_reason", "dr_token", "result"] {
        scripts.set_meta("a", field, "7").await;
    }
    scripts.set_meta("a", "max_attempts", "3").await;
    scripts.ready("a", "payload").await;
    let () = scripts.redis.set(format!("{}b", scripts.queue.meta_prefix()), "no hash").await.unwrap();
    scripts.ready("b", "payload").await;

    let rows = scripts.claim(&["t1", "t2"]).await;

    let a = &rows[0];
    assert_eq!((a.deliveries, a.crashes, a.attempts, a.max_attempts), (1, 0, 0, 3));
    assert_eq!((a.note.as_str(), a.reason.as_str(), rows[1].deliveries), ("", "", 1));
    assert!(!scripts.meta("a").await.contains_key("result"));
}

#[tokio::test]
async fn of_a_payload_that_is_too_large_an_excerpt_is_handed_out() {
    let mut scripts = Scripts::start().await;
    let (largest, excerpt) = (2 << 20, 4 << 10);
    for bytes in [largest + 1, excerpt - 1, largest] {
        scripts.ready(&format!("{bytes}"), &"x".repeat(bytes)).await;
    }

    let rows = scripts.claim(&["t1", "t2", "t3"]).await;

    let sizes: Vec<_> = rows.iter().map(|row| (row.payload.len(), row.payload_bytes)).collect();
    assert_eq!(sizes, [(excerpt, largest + 1), (excerpt - 1, excerpt - 1), (largest, largest)]);
}

#[tokio::test]
async fn a_settlement_writes_receipt_event_and_place_once_however_often_it_is_repeated() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;

    let answers = [scripts.settle("a", &token, &DONE).await, scripts.settle("a", &token, &DONE).await];

    assert_eq!(answers.map(Result::unwrap), [1, 1]);
    let meta = scripts.meta("a").await;
    assert_eq!((meta["status"].as_str(), meta["attempts"].as_str()), ("Done", "1"));
    assert_eq!(meta["result"], r#"{"Ok":{"status":"it"}}"#);
    assert!(scripts.zset(scripts.queue.leases()).await.is_empty());
    assert_eq!(scripts.zset(scripts.queue.done()).await.len(), 1);
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 1);
    assert_eq!(scripts.redis.hget::<_, _, String>(scripts.queue.data(), "a").await.unwrap(), "");
    assert_eq!(scripts.redis.hget::<_, _, u32>(scripts.queue.stats(), "done").await.unwrap(), 1);
}

#[tokio::test]
async fn who_waits_is_told_what_is_final_and_that_a_job_is_ready_again() {
    let mut scripts = Scripts::start().await;
    let (done, back, again) =
        (scripts.leased("done").await, scripts.leased("back").await, scripts.leased("again").await);
    let mut messages = scripts.messages().await;

    scripts.settle("again", &again, &Settling { outcome: "again", after_ms: 60_000, ..DONE }).await.unwrap();
    scripts.settle("done", &done, &Settling { event: "", ..DONE }).await.unwrap();
    scripts.give_back("back", &back).await;

    let mut heard = Vec::new();
    for _ in 0..2 {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap();
        heard.push((message.get_channel_name().to_owned(), message.get_payload::<String>().unwrap()));
    }
    let told = |channel: String, what: &str| (channel, what.to_owned());
    assert_eq!(heard, [told(scripts.keys.settled(), "done"), told(scripts.keys.wake(), "upload")]);
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 0);
}

#[tokio::test]
async fn deliveries_that_end_together_are_settled_each_by_its_own_lease_and_outcome() {
    let mut scripts = Scripts::start().await;
    let mut tokens = Vec::new();
    for job in ["done", "dead", "again", "lost", "broken"] {
        tokens.push(scripts.leased(job).await);
    }
    let broken = format!("{}broken", scripts.queue.meta_prefix());
    let () = scripts.redis.del(&broken).await.unwrap();
    let () = scripts.redis.set(&broken, "no hash").await.unwrap();
    let (dead, again) =
        (Settling { outcome: "dead", ..DONE }, Settling { outcome: "again", after_ms: 60_000, ..DONE });
    let ended = [
        ("done", &*tokens[0], &DONE),
        ("broken", &*tokens[4], &DONE),
        ("dead", &*tokens[1], &dead),
        ("lost", "another", &DONE),
        ("again", &*tokens[2], &again),
        ("done", &*tokens[0], &DONE),
    ];

    let answers = [scripts.settle_all(&ended).await.unwrap(), scripts.settle_all(&ended).await.unwrap()];

    assert_eq!(answers, [[1, 0, 1, 0, 1, 1], [1, 0, 1, 0, 1, 1]]);
    let ids = |found: Vec<(String, f64)>| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let queue = scripts.queue.clone();
    assert_eq!(ids(scripts.zset(queue.done()).await), ["done"]);
    assert_eq!(ids(scripts.zset(queue.dead()).await), ["dead"]);
    assert_eq!(ids(scripts.zset(queue.scheduled()).await), ["again"]);
    let mut held = ids(scripts.zset(queue.leases()).await);
    held.sort_unstable();
    assert_eq!(held, ["broken", "lost"]);
    assert_eq!(scripts.redis.xlen::<_, u32>(scripts.keys.events()).await.unwrap(), 2);
    let counts: Vec<Option<u32>> =
        scripts.redis.hmget(queue.stats(), &["done", "failed", "again"]).await.unwrap();
    assert_eq!(counts, [Some(1), Some(1), Some(1)]);
}

#[tokio::test]
async fn nothing_is_settled_when_one_of_many_is_called_wrongly_or_they_are_too_many() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let wrong = Settling { outcome: "perhaps", ..DONE };

    let one = scripts.settle_all(&[("a", &token, &DONE), ("b", "t", &wrong)]).await;
    let many = scripts.settle_all(&vec![("a", &*token, &DONE); 101]).await;

    assert!(one.unwrap_err().to_string().contains("wrong arguments"));
    assert!(many.unwrap_err().to_string().contains("wrong arguments"));
    assert_eq!(scripts.zset(scripts.queue.leases()).await.len(), 1);
}

#[tokio::test]
async fn a_settlement_of_a_lease_that_is_lost_changes_nothing() {
    let mut scripts = Scripts::start().await;
    let old = scripts.leased("a").await;
    scripts.score(scripts.queue.leases(), "a", 1.0).await;
    scripts.tick(TICK).await;
    scripts.tick(TICK).await;

    let between = scripts.settle("a", &old, &DONE).await.unwrap();
    scripts.claim(&["other"]).await;
    let after = scripts.settle("a", &old, &DONE).await.unwrap();

    assert_eq!((between, after), (0, 0));
    assert!(scripts.zset(scripts.queue.done()).await.is_empty());
    assert_eq!(scripts.settle("a", "other", &DONE).await.unwrap(), 1);
}

#[tokio::test]
async fn a_lease_whose_time_is_over_still_settles_until_it_is_reaped() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    scripts.score(scripts.queue.leases(), "a", 1.0).await;

    assert_eq!(scripts.settle("a", &token, &DONE).await.unwrap(), 1);
}

#[tokio::test]
async fn a_job_that_comes_again_is_scheduled_with_its_note_and_deferrals_are_timed_from_the_first() {
    let mut scripts = Scripts::start().await;
    let again =
        Settling { outcome: "again", attempts: 0, after_ms: 60_000, note: "n", deferred: true, ..DONE };
    let token = scripts.leased("a").await;

    assert_eq!(scripts.settle("a", &token, &again).await.unwrap(), 1);
    let first = scripts.meta("a").await["dr_deferred_at"].clone();
    let due = scripts.zset(scripts.queue.scheduled()).await;
    let wait = due[0].1 * 1000.0 - scripts.now_ms().await;
    scripts.score(scripts.queue.scheduled(), "a", 1.0).await;
    scripts.tick(TICK).await;
    let rows = scripts.claim(&["t2"]).await;
    scripts.settle("a", "t2", &again).await.unwrap();
    let second = scripts.meta("a").await["dr_deferred_at"].clone();
    scripts.score(scripts.queue.scheduled(), "a", 1.0).await;
    scripts.tick(TICK).await;
    scripts.claim(&["t3"]).await;
    scripts.settle("a", "t3", &Settling { deferred: false, note: "", ..again }).await.unwrap();
    let meta = scripts.meta("a").await;

    assert!((55_000.0..=60_001.0).contains(&wait), "{wait}");
    assert_eq!((rows[0].note.as_str(), rows[0].deliveries), ("n", 2));
    assert_eq!(first, second);
    let left = ["dr_deferred_at", "dr_note", "dr_token"].map(|field| meta.contains_key(field));
    assert_eq!(left, [false, false, false], "{meta:?}");
}

#[tokio::test]
async fn a_dead_job_keeps_its_payload_or_the_excerpt_that_was_asked_for_and_is_weighed() {
    let mut scripts = Scripts::start().await;
    let (whole, cut) = (scripts.leased("whole").await, scripts.leased("cut").await);

    scripts.settle("whole", &whole, &Settling { outcome: "dead", ..DONE }).await.unwrap();
    scripts.settle("cut", &cut, &Settling { outcome: "dead", excerpt: 3, ..DONE }).await.unwrap();

    let kept: Vec<String> = scripts.redis.hmget(scripts.queue.data(), &["whole", "cut"]).await.unwrap();
    assert_eq!(kept, ["payload", "pay"]);
    let receipt = r#"{"status":"it"}"#.len();
    let weighed: usize = scripts.redis.hget(scripts.queue.stats(), "dead_bytes").await.unwrap();
    assert_eq!(weighed, "payload".len() + "pay".len() + 2 * receipt);
    assert_eq!(scripts.zset(scripts.queue.dead()).await.len(), 2);
}

#[tokio::test]
async fn a_follower_gets_the_payload_and_a_note_and_is_there_once() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let says = Settling { next: "b", ..DONE };

    for _ in 0..2 {
        assert_eq!(scripts.settle("a", &token, &says).await.unwrap(), 1);
    }

    assert_eq!(scripts.redis.hget::<_, _, String>(scripts.queue.data(), "b").await.unwrap(), "payload");
    assert_eq!(scripts.meta("b").await["dr_note"], "note of the next");
    assert_eq!(scripts.zset(scripts.queue.scheduled()).await.len(), 1);
}

#[tokio::test]
async fn a_settlement_with_wrong_arguments_is_refused_before_anything_is_written() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;

    let refused = scripts.settle("a", &token, &Settling { outcome: "perhaps", ..DONE }).await;

    assert!(refused.unwrap_err().to_string().contains("wrong arguments"));
    assert_eq!(scripts.zset(scripts.queue.leases()).await.len(), 1);
}

#[tokio::test]
async fn every_script_refuses_a_call_without_arguments_as_the_bug_that_it_is() {
    let mut scripts = Scripts::start().await;
    let enqueue = Script::new(include_str!("../../jobs/src/enqueue.lua"));
    let all: [&Script; 6] =
        [&JOBS_CLAIM, &JOBS_SETTLE, &LEASES_EXTEND, &QUEUES_TICK, &TOMBSTONE_WRITE, &enqueue];

    for (number, script) in all.into_iter().enumerate() {
        let answer = scripts.call::<redis::Value>(script, &[], &[]).await;
        let refusal = answer.expect_err("it was called with nothing").to_string();
        let ours = refusal.contains("wrong arguments") || refusal.contains("takes at most 100 jobs");
        assert!(ours, "script {number}: {refusal}");
    }
    assert_eq!(redis::cmd("DBSIZE").query_async::<u32>(&mut scripts.redis).await.unwrap(), 0);
}

#[tokio::test]
async fn a_job_that_is_handed_back_is_next_and_only_once() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    scripts.ready("b", "payload").await;

    let answers = [scripts.give_back("a", &token).await, scripts.give_back("a", &token).await];

    assert_eq!((answers, scripts.active().await), ([1, 0], vec!["a".to_owned(), "b".to_owned()]));
    let rows = scripts.claim(&["t2"]).await;
    assert_eq!((rows[0].attempts, rows[0].deliveries, rows[0].crashes), (0, 2, 0));
    assert_eq!(scripts.give_back("a", &token).await, 0);
}

#[tokio::test]
async fn a_renewal_moves_the_end_of_our_leases_and_names_those_that_are_lost() {
    let mut scripts = Scripts::start().await;
    let (a, b) = (scripts.leased("a").await, scripts.leased("b").await);
    for job in ["a", "b"] {
        scripts.score(scripts.queue.leases(), job, 1.0).await;
    }

    let lost = scripts.extend(&[("gone", "t"), ("a", &a), ("b", "another"), ("a", &a)]).await.unwrap();

    assert_eq!(lost, [1, 3]);
    let leases = scripts.zset(scripts.queue.leases()).await;
    assert_eq!(leases[0], ("b".to_owned(), 1.0));
    assert!(leases[1].1 > scripts.now_ms().await + 25_000.0);
    assert_eq!(scripts.settle("b", &b, &DONE).await.unwrap(), 1);
    let too_many = vec![("a", a.as_str()); 501];
    assert!(scripts.extend(&too_many).await.is_err());
}

#[tokio::test]
async fn a_tombstone_has_redis_time_and_expires_and_a_repetition_moves_it() {
    let mut scripts = Scripts::start().await;
    let key = ObjectKey::user_photo(&"1".parse().unwrap(), &darkroom_jobs::ImageId::random());
    let tombstone = scripts.keys.tombstone(&key);
    let mut write = async || {
        scripts
            .call::<f64>(&TOMBSTONE_WRITE, std::slice::from_ref(&tombstone), &["60000".to_owned()])
            .await
            .unwrap()
    };

    let (first, second) = (write().await, write().await);

    let kept: f64 = scripts.redis.get(&tombstone).await.unwrap();
    assert!(first <= second && kept == second, "{first} {second} {kept}");
    assert!((59_000..=60_000).contains(&scripts.redis.pttl::<_, i64>(&tombstone).await.unwrap()));
}

#[tokio::test]
async fn the_producers_script_touches_nothing_but_its_keys_and_pushes_each_job_once() {
    let mut scripts = Scripts::start().await;
    let script = Script::new(include_str!("../../jobs/src/enqueue.lua"));
    let queue = scripts.keys.queue(Kind::Upload);
    let keys = [
        queue.data(),
        queue.meta_prefix(),
        queue.active(),
        queue.scheduled(),
        scripts.keys.wake(),
        queue.idempotency("k"),
    ];
    let says = |first: &str| {
        let one = [first, "payload", "18", "", "k", "plain", "payload", "18", "", ""];
        ["{darkroom}:upload", "60000", "1000"].into_iter().chain(one).map(str::to_owned).collect::<Vec<_>>()
    };

    let answers: [Vec<(u8, String)>; 3] = [
        scripts.call(&script, &keys, &says("a")).await.unwrap(),
        scripts.call(&script, &keys, &says("a")).await.unwrap(),
        scripts.call(&script, &keys, &says("b")).await.unwrap(),
    ];

    let plain = |answer: u8| (answer, "plain".to_owned());
    let holder = |answer: u8| (answer, "a".to_owned());
    assert_eq!(answers, [vec![holder(1), plain(1)], vec![holder(2), plain(0)], vec![holder(2), plain(0)]]);
    assert_eq!(scripts.active().await, ["a", "plain"]);
}
