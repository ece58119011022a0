//! `jobs_settle` by itself: how deliveries end, alone and together.

use std::time::Duration;

use futures_util::StreamExt as _;
use redis::AsyncCommands as _;

use crate::support::scripts::{DONE, Scripts, Settling, TICK};

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
async fn a_job_that_comes_again_is_scheduled_and_keeps_its_note_and_deferrals_are_timed_from_the_first() {
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
    // Whatever comes between deferrals, their time runs on from the first.
    assert_eq!((&meta["dr_deferred_at"], meta["dr_note"].as_str()), (&first, "n"), "{meta:?}");
    assert_eq!(meta["dr_token"], "", "nobody holds it");
}

#[tokio::test]
async fn a_note_that_was_written_meanwhile_ends_with_the_job() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("a").await;
    let meta = format!("{}a", scripts.queue.meta_prefix());
    let () = scripts.redis.hset(meta, "dr_note", "as far as this").await.unwrap();

    assert_eq!(scripts.settle("a", &token, &DONE).await.unwrap(), 1);

    assert!(!scripts.meta("a").await.contains_key("dr_note"));
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
