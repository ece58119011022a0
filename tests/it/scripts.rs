//! Each script of a delivery by itself: granted, refused, repeated, and with a lease that is lost.
//!
//! All calls are made by a user who may touch nothing but what the script's KEYS name.

use std::{collections::BTreeSet, time::Duration};

use darkroom::queue::scripts::TOMBSTONE_WRITE;
use darkroom_jobs::{Kind, ObjectKey};
use redis::{AsyncCommands, Script};

use crate::support::scripts::{DONE, Scripts, Settling, TICK, Tick};

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
async fn a_claim_that_meets_a_job_and_its_husk_takes_it_once() {
    let mut scripts = Scripts::start().await;
    scripts.ready("a", "payload").await;
    let () = scripts.redis.rpush(scripts.queue.active(), "a").await.unwrap();

    let rows = scripts.claim(&["t1", "t2"]).await;

    assert_eq!(rows.iter().map(|row| (row.id.as_str(), row.deliveries)).collect::<Vec<_>>(), [("a", 1)]);
    assert_eq!((scripts.meta("a").await["dr_token"].as_str(), scripts.active().await.len()), ("t1", 0));
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

/// A job that was cancelled while it was ready leaves a husk; it may be forgotten, and its id come anew, before a claim meets it.
#[tokio::test]
async fn the_husk_of_an_earlier_life_is_dropped_when_the_job_is_due_later() {
    let mut scripts = Scripts::start().await;
    for job in ["tried", "later", "pushed"] {
        scripts.enqueue(job, "payload", None, false).await;
        assert_eq!(scripts.cancel(job, "0").await, 1);
    }
    scripts.tick(Tick { done_max: 0, ..TICK }).await;
    let husks = scripts.active().await;
    assert_eq!(scripts.enqueue("tried", "payload", None, false).await.0, 1);
    assert_eq!(scripts.enqueue("later", "payload", None, true).await.0, 1);
    let () = scripts.redis.hset(scripts.queue.data(), "pushed", "payload").await.unwrap();
    scripts.score(scripts.queue.scheduled(), "pushed", 4_000_000_000.0).await;

    let rows = scripts.claim(&["t1"]).await;
    let again = Settling { outcome: "again", after_ms: 60_000, ..DONE };
    assert_eq!(scripts.settle("tried", "t1", &again).await.unwrap(), 1);
    let early = scripts.claim(&["t2", "t3", "t4", "t5"]).await;

    assert_eq!(husks, ["tried", "later", "pushed"]);
    assert_eq!((rows.len(), early), (1, vec![]));
    let scheduled = scripts.zset(scripts.queue.scheduled()).await.into_iter().map(|(job, _)| job);
    assert_eq!(scheduled.collect::<BTreeSet<_>>(), husks.into_iter().collect());
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

#[tokio::test]
async fn a_job_that_is_named_twice_in_a_push_or_came_by_hand_is_pushed_once() {
    let mut scripts = Scripts::start().await;
    let script = Script::new(include_str!("../../jobs/src/enqueue.lua"));
    let q = &scripts.queue;
    let keys = [q.data(), q.meta_prefix(), q.active(), q.scheduled(), scripts.keys.wake()];
    let says = |jobs: [&str; 2]| {
        let rows = jobs.into_iter().flat_map(|job| [job, "pushed", "18", "", ""]);
        ["{darkroom}:upload", "60000", "1000"].into_iter().chain(rows).map(str::to_owned).collect::<Vec<_>>()
    };
    scripts.ready("hand", "by hand").await;

    let twice: Vec<(u8, String)> = scripts.call(&script, &keys, &says(["a", "a"])).await.unwrap();
    let mixed: Vec<(u8, String)> = scripts.call(&script, &keys, &says(["b", "hand"])).await.unwrap();

    let answers =
        |answers: Vec<(u8, String)>| answers.into_iter().map(|(answer, _)| answer).collect::<Vec<_>>();
    assert_eq!((answers(twice), answers(mixed)), (vec![1, 0], vec![1, 0]));
    assert_eq!(scripts.active().await, ["hand", "a", "b"]);
    let payload: String = scripts.redis.hget(scripts.queue.data(), "hand").await.unwrap();
    assert_eq!(payload, "by hand");
}

#[tokio::test]
async fn the_first_delivery_of_a_job_keeps_its_time_over_all_that_follow() {
    let mut scripts = Scripts::start().await;
    scripts.set_meta("a", "dr_leased_at", "7").await;
    scripts.ready("a", "payload").await;

    let mut firsts = Vec::new();
    for token in ["t1", "t2", "t3"] {
        firsts.push(scripts.claim(&[token]).await[0].first_ms);
        assert_eq!(scripts.give_back("a", token).await, 1);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    let leased: u64 = scripts.meta("a").await["dr_leased_at"].parse().unwrap();
    assert!(firsts.iter().all(|ms| *ms == firsts[0]), "{firsts:?}");
    assert!(firsts[0] > 7 && firsts[0] < leased, "a stranger's word says nothing: {firsts:?} {leased}");
}
