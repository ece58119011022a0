//! The scripts of an erasure, each by itself. All calls are made by a user who may touch nothing but what the KEYS name.

use darkroom::queue::scripts::{JOBS_OF_OWNER, JOBS_RETRY, JOBS_SCRUB, JOBS_STAMP, NOTE_WRITE, OWNER_BURY};
use redis::{AsyncCommands as _, RedisResult};

use crate::support::scripts::{DONE, Scripts, Settling, TICK};

const OWNER: &str = "user_photos/1/";

fn words<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(str::to_owned)
}

fn meta(scripts: &Scripts, job: &str) -> String {
    format!("{}{job}", scripts.queue.meta_prefix())
}

async fn bury(scripts: &mut Scripts, job: &str, token: &str, told_ms: &str) -> (u64, bool, u64) {
    let keys = [scripts.keys.tombstone(OWNER), meta(scripts, job)];
    scripts.call(&OWNER_BURY, &keys, &words([token, "60000", told_ms])).await.expect("redis answers")
}

async fn tombstone(scripts: &mut Scripts) -> Option<u64> {
    scripts.redis.get(scripts.keys.tombstone(OWNER)).await.expect("redis answers")
}

async fn scrub(scripts: &mut Scripts, args: [&str; 7]) -> u64 {
    let keys = [scripts.queue.data(), scripts.queue.stats(), scripts.queue.meta_prefix()];
    scripts.call(&JOBS_SCRUB, &keys, &words(args)).await.expect("redis answers")
}

#[tokio::test]
async fn an_owners_tombstone_keeps_its_moment_for_one_job_and_is_written_again_when_it_is_lost() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let now = scripts.now_ms().await as u64;

    let first = bury(&mut scripts, "a", &token, "0").await;
    let again = bury(&mut scripts, "a", &token, "0").await;
    let () = scripts.redis.del(scripts.keys.tombstone(OWNER)).await.expect("redis answers");
    let lost = bury(&mut scripts, "a", &token, "0").await;

    assert!(first.0 >= now && first.0 == first.2, "{first:?}");
    assert_eq!(((again.0, again.1), (lost.0, lost.1)), ((first.0, true), (first.0, false)));
    assert!(!first.1);
    assert_eq!(tombstone(&mut scripts).await, Some(first.0));
    let left: i64 = scripts.redis.pttl(scripts.keys.tombstone(OWNER)).await.expect("redis answers");
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn an_owners_tombstone_is_not_moved_back_and_a_moment_that_redis_forgot_is_told_to_it() {
    let mut scripts = Scripts::start().await;
    let (a, b) = (scripts.leased("a").await, scripts.leased("b").await);

    let told = bury(&mut scripts, "a", &a, "1234").await;
    let later = bury(&mut scripts, "b", &b, "0").await;
    let earlier = bury(&mut scripts, "a", &a, "1234").await;

    assert_eq!((told.0, told.1, later.1), (1234, false, false));
    assert_eq!((earlier.0, earlier.1), (1234, true));
    assert_eq!(tombstone(&mut scripts).await, Some(later.0));
}

/// The owner came back after the deletion, and somebody overwrote what was known of the job.
#[tokio::test]
async fn an_erasure_whose_hash_was_overwritten_takes_the_moment_of_the_tombstone_and_a_new_one_takes_now() {
    let mut scripts = Scripts::start().await;
    let (tombstone, first) = (scripts.keys.tombstone(OWNER), scripts.now_ms().await as u64 - 5_000);
    let bury_again = async |scripts: &mut Scripts, job: &str, token: &str| {
        let () = scripts.redis.set_ex(&tombstone, first, 60).await.expect("redis answers");
        bury(scripts, job, token, "0").await
    };
    // One is dead and retried, one waits for its next sweep, and one is a repeated request.
    let dead = scripts.leased("dead").await;
    scripts.settle("dead", &dead, &Settling { outcome: "dead", ..DONE }).await.expect("redis answers");
    let () = scripts.redis.del(meta(&scripts, "dead")).await.expect("redis answers");
    let keys = [scripts.queue.dead(), scripts.queue.active(), scripts.queue.stats()];
    let keys = [&keys[..], &[scripts.queue.meta_prefix(), scripts.keys.wake()]].concat();
    let retried: u64 =
        scripts.call(&JOBS_RETRY, &keys, &words(["delete", "dead"])).await.expect("it answers");
    scripts.ready("waits", "payload").await;
    let () = scripts.redis.set(meta(&scripts, "waits"), "no hash").await.expect("redis answers");
    scripts.ready("new", "payload").await;
    scripts.set_meta("new", "dr_forgot", "1").await;
    scripts.ready("due", "payload").await;
    let () = scripts.redis.lrem(scripts.queue.active(), 1, "due").await.expect("redis answers");
    let () = scripts.redis.set(meta(&scripts, "due"), "no hash").await.expect("redis answers");
    scripts.score(scripts.queue.scheduled(), "due", 1.0).await;
    scripts.tick(TICK).await;
    let claimed = scripts.claim(&["t-dead", "t-waits", "t-new", "t-due"]).await;

    let of_dead = bury_again(&mut scripts, "dead", "t-dead").await;
    let of_waiting = bury_again(&mut scripts, "waits", "t-waits").await;
    let of_due = bury_again(&mut scripts, "due", "t-due").await;
    let of_new = bury_again(&mut scripts, "new", "t-new").await;
    let () = scripts.redis.del(&tombstone).await.expect("redis answers");
    scripts.set_meta("dead", "dr_deleted_at", "").await;
    let without = bury(&mut scripts, "dead", "t-dead", "0").await;

    assert_eq!((retried, claimed.len()), (1, 4));
    let moments = [of_dead, of_waiting, of_due].map(|grave| (grave.0, grave.1));
    assert_eq!(moments, [(first, true); 3]);
    assert!(of_new.0 > first && of_new.0 == of_new.2, "{of_new:?}");
    assert!(without.0 == without.2 && !without.1, "{without:?}");
}

#[tokio::test]
async fn who_holds_the_job_no_longer_buries_nobody_and_leaves_no_note() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;

    let stranger = bury(&mut scripts, "a", "another", "0").await;
    let unknown = bury(&mut scripts, "gone", &token, "0").await;
    let keys = [meta(&scripts, "a")];
    let notes: [RedisResult<u8>; 3] = [
        scripts.call(&NOTE_WRITE, &keys, &words(["another", "n"])).await,
        scripts.call(&NOTE_WRITE, &keys, &words([&token, "mine"])).await,
        scripts.call(&NOTE_WRITE, &keys, &[token.clone(), "x".repeat(1025)]).await,
    ];

    assert_eq!((stranger, unknown), ((0, false, 0), (0, false, 0)));
    assert_eq!((notes[0].clone().ok(), notes[1].clone().ok()), (Some(0), Some(1)));
    assert!(notes[2].is_err());
    assert_eq!(scripts.meta("a").await["dr_note"], "mine");
    assert_eq!(tombstone(&mut scripts).await, None);
    assert!(scripts.meta("gone").await.is_empty());
}

#[tokio::test]
async fn a_stamp_marks_what_nobody_has_seen_and_believes_no_strangers_metadata() {
    let mut scripts = Scripts::start().await;
    scripts.leased("seen").await;
    scripts.set_meta("seen", "dr_enqueued_at", "5").await;
    for job in ["stock", "odd"] {
        scripts.ready(job, "payload").await;
    }
    scripts.set_meta("stock", "dr_enqueued_at", "99999999999999").await;
    scripts.set_meta("stock", "dr_deleted_at", "99999999999999").await;
    let () = scripts.redis.set(meta(&scripts, "odd"), "no hash").await.expect("redis answers");

    let keys = [scripts.queue.data(), scripts.queue.meta_prefix()];
    let first: (u64, u64) = scripts.call(&JOBS_STAMP, &keys, &words(["0", "500"])).await.expect("it answers");
    let again: (u64, u64) = scripts.call(&JOBS_STAMP, &keys, &words(["0", "500"])).await.expect("it answers");

    let now = scripts.now_ms().await;
    assert_eq!((first, again), ((0, 2), (0, 0)));
    assert_eq!(scripts.meta("seen").await["dr_enqueued_at"], "5");
    for job in ["stock", "odd"] {
        let meta = scripts.meta(job).await;
        let enqueued: f64 = meta["dr_enqueued_at"].parse().expect("a number");
        assert!(enqueued <= now && enqueued > now - 60_000.0, "{job}");
        assert!(!meta.contains_key("dr_deleted_at"), "{job}");
    }
}

#[tokio::test]
async fn every_waiting_job_is_stamped_however_many_there_are() {
    let mut scripts = Scripts::start().await;
    for job in 0..1_700 {
        scripts.ready(&format!("job-{job}"), "payload").await;
    }
    let keys = [scripts.queue.data(), scripts.queue.meta_prefix()];

    let (mut cursor, mut stamped, mut calls) = (0_u64, 0, 0);
    loop {
        let args = [cursor.to_string(), "500".to_owned()];
        let (next, some): (u64, u64) = scripts.call(&JOBS_STAMP, &keys, &args).await.expect("it answers");
        (cursor, stamped, calls) = (next, stamped + some, calls + 1);
        if cursor == 0 {
            break;
        }
    }

    assert_eq!(stamped, 1_700);
    assert!(calls >= 3, "{calls}");
}

#[tokio::test]
async fn jobs_are_found_by_their_payload_and_once_that_is_empty_by_what_the_settlement_noted() {
    let mut scripts = Scripts::start().await;
    for (job, payload) in [
        ("text", r#"{"user_id":"1"}"#),
        ("number", r#"{ "user_id" : 1 , "x":2}"#),
        ("longer", r#"{"user_id":"10"}"#),
        ("shorter", r#"{"user_id":"-1"}"#),
        ("product", r#"{"product_id":"1"}"#),
    ] {
        scripts.ready(job, payload).await;
    }
    for (job, owner) in [("done", OWNER), ("other", "user_photos/10/")] {
        scripts.ready(job, "").await;
        scripts.set_meta(job, "dr_owner", owner).await;
    }
    scripts.ready("odd", "").await;
    let () = scripts.redis.set(meta(&scripts, "odd"), "no hash").await.expect("redis answers");

    let keys = [scripts.queue.data(), scripts.queue.meta_prefix()];
    let args = words(["0", "500", "user_id", "1", OWNER]);
    let answer: Vec<String> = scripts.call(&JOBS_OF_OWNER, &keys, &args).await.expect("redis answers");

    let mut found = answer[2..].to_vec();
    found.sort();
    assert_eq!((answer[0].as_str(), found.as_slice()), ("0", words(["done", "number", "text"]).as_slice()));
    assert!(answer[1].parse::<u64>().expect("bytes") > 80);
}

#[tokio::test]
async fn a_settlement_notes_the_owner_and_a_scrub_changes_only_what_was_read_and_keeps_the_weight_right() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let settled = scripts.settle("a", &token, &Settling { outcome: "dead", owner: OWNER, ..DONE }).await;
    assert_eq!(settled.expect("redis answers"), 1);
    let result = scripts.meta("a").await["result"].clone();
    let weight = |scripts: &Scripts| (scripts.queue.stats(), "dead_bytes");
    let before: i64 = scripts.redis.hget(weight(&scripts).0, weight(&scripts).1).await.expect("it answers");

    let outdated = scrub(&mut scripts, ["a", "another payload", "x", "", "", "", ""]).await;
    let done = scrub(&mut scripts, ["a", "payload", "{}", &result, r#"{"Ok":{}}"#, "", ""]).await;
    let again = scrub(&mut scripts, ["a", "payload", "{}", &result, r#"{"Ok":{}}"#, "", ""]).await;

    let after: i64 = scripts.redis.hget(weight(&scripts).0, weight(&scripts).1).await.expect("it answers");
    let meta = scripts.meta("a").await;
    assert_eq!((outdated, done, again), (0, 1, 0));
    assert_eq!((meta["dr_owner"].as_str(), meta["result"].as_str()), (OWNER, r#"{"Ok":{}}"#));
    assert_eq!(after, "{}".len() as i64 + "{}".len() as i64);
    assert_eq!((meta["dr_bytes"].clone(), before > after), (after.to_string(), true));
}

/// Somebody has overwritten what is known of it.
#[tokio::test]
async fn a_job_whose_hash_is_none_holds_up_no_scrub_of_others() {
    let mut scripts = Scripts::start().await;
    for job in ["first", "odd", "last"] {
        let token = scripts.leased(job).await;
        let dead = scripts.settle(job, &token, &Settling { outcome: "dead", ..DONE }).await;
        assert_eq!(dead.expect("redis answers"), 1);
    }
    let receipt = scripts.meta("last").await["result"].clone();
    let () = scripts.redis.del(meta(&scripts, "odd")).await.expect("redis answers");
    let () = scripts.redis.set(meta(&scripts, "odd"), "no hash").await.expect("redis answers");

    let keys = [scripts.queue.data(), scripts.queue.stats(), scripts.queue.meta_prefix()];
    let rows =
        ["first", "odd", "last"].map(|job| [job, "payload", "{}", &receipt, r#"{"Ok":{}}"#, "r", "{}"]);
    let args: Vec<_> = rows.concat().into_iter().map(str::to_owned).collect();
    let changed: u64 = scripts.call(&JOBS_SCRUB, &keys, &args).await.expect("redis answers");

    let payloads: Vec<String> =
        scripts.redis.hmget(scripts.queue.data(), &["first", "odd", "last"]).await.expect("redis answers");
    assert_eq!((changed, payloads), (3, vec!["{}".to_owned(); 3]));
    for job in ["first", "last"] {
        let meta = scripts.meta(job).await;
        assert_eq!((meta["result"].as_str(), meta["dr_bytes"].as_str()), (r#"{"Ok":{}}"#, "4"), "{job}");
    }
    let odd: String = scripts.redis.get(meta(&scripts, "odd")).await.expect("redis answers");
    assert_eq!(odd, "no hash");
}
