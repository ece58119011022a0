//! What Redis and `staging/` still knew of an owner who was erased.

use darkroom::{
    config::steps::Step,
    queue::scrub::{Owner, Position, Scrubber},
};
use darkroom_jobs::{
    EnqueueOptions, ImageId, Kind, Payload, Receipt, Source, Status, Target, Timestamp, Upload,
};

use redis::AsyncCommands as _;

use crate::support::{
    darkroom::{TestDarkroom, picture},
    deleting::{QUICK, inline, owner, user},
};

#[tokio::test]
async fn redis_forgets_urls_pictures_and_contexts_of_the_user_and_of_nobody_else() {
    let mut darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker(&[]);
    let with = |upload: Upload, secret: &str| {
        let mut payload = Payload::from(upload);
        payload.context = Some(serde_json::json!({ "note": secret }));
        payload
    };
    let of =
        |user: &str, source: Source| Upload { user_id: owner(user), image_id: ImageId::random(), source };
    let no_picture = "bm8gcGljdHVyZQ==";
    let url = |secret: &str| Source::Url { url: format!("http://127.0.0.1/{secret}") };
    let mut jobs = Vec::new();
    for payload in [
        with(darkroom.photo_of("u1").await, "secret-done"),
        with(of("u1", inline(no_picture)), "secret-dead"),
        with(of("u1", url("secret-url")), "secret-refused"),
        with(darkroom.photo_of("u2").await, "kept-done"),
        with(of("u2", url("kept-url")), "kept-refused"),
    ] {
        jobs.push(darkroom.producer.enqueue::<Upload>(payload).await.expect("redis takes jobs"));
    }
    for job in &jobs {
        darkroom.final_receipt(job).await;
    }
    let due_ms = in_ms(&mut darkroom, 3_600_000).await;
    let later =
        || EnqueueOptions { run_at: Some(Timestamp::from_unix_ms(due_ms)), ..EnqueueOptions::default() };
    let waiting = with(of("u1", inline("c2VjcmV0")), "secret-waiting");
    let waiting = darkroom.producer.enqueue_with::<Upload>(waiting, later()).await.expect("redis takes jobs");
    let cancelled = with(darkroom.photo_of("u1").await, "secret-cancelled");
    let cancelled =
        darkroom.producer.enqueue_with::<Upload>(cancelled, later()).await.expect("redis takes jobs");
    darkroom.operator().cancel(&cancelled).await.expect("it waits");
    let before = darkroom.everything_in_redis().await;
    drop(worker);

    let _worker = darkroom.worker(&[QUICK]);
    let erasure = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&erasure).await;

    let secrets =
        ["done", "dead", "refused", "url", "waiting", "cancelled"].map(|word| format!("secret-{word}"));
    let pictures = [no_picture.to_owned(), "c2VjcmV0".to_owned()];
    let after = darkroom.everything_in_redis().await;
    for secret in secrets.iter().chain(&pictures) {
        assert!(before.contains(secret.as_str()), "{secret} was never there");
        assert!(!after.contains(secret.as_str()), "{secret} is still there");
    }
    for kept in ["kept-done", "kept-url", "kept-refused"] {
        assert!(after.contains(kept), "{kept} is gone");
    }
    let dead = &jobs[1];
    darkroom.operator().retry(dead).await.expect("it is dead");
    assert_eq!(darkroom.final_receipt(dead).await.status, Status::Superseded);
    assert!(darkroom.producer.receipt(&waiting).await.expect("redis answers").is_some());
}

async fn in_ms(darkroom: &mut TestDarkroom, ms: u64) -> u64 {
    let (seconds, _): (u64, u64) =
        redis::cmd("TIME").query_async(&mut darkroom.redis).await.expect("redis answers");
    seconds * 1000 + ms
}

#[tokio::test]
async fn an_original_that_a_dead_job_of_the_user_named_goes_wherever_it_is_staged() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[QUICK]);
    let broken = |user: &str, staged: Upload| Upload { user_id: owner(user), ..staged };
    let (ours, theirs) = (
        broken("u1", darkroom.staged(picture("text.jpg")).await),
        broken("u2", darkroom.staged(picture("text.jpg")).await),
    );
    for upload in [&ours, &theirs] {
        let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Failed);
    }

    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.staged), (true, 1));
    let Source::Staged { key, .. } = &theirs.source else { panic!("it is staged") };
    darkroom.eventually_only(&[key.as_str()]).await;
}

/// 40 dead jobs, each with an original of its own, and no time but for the smallest part.
#[tokio::test]
async fn a_queue_that_takes_long_to_look_through_is_gone_on_with_and_every_original_goes() {
    let mut darkroom = TestDarkroom::start().await;
    for number in 0..40 {
        let staged = darkroom.staged(b"no picture".to_vec()).await;
        let payload = serde_json::to_vec(&Upload { user_id: owner("u1"), ..staged }).expect("a job is JSON");
        darkroom.push_by_hand(Kind::Upload, &format!("job-{number}"), &payload).await;
    }
    let mut uploader = darkroom.worker(&[("DARKROOM_QUEUES", "upload")]);
    for number in 0..40 {
        let job = format!("job-{number}").parse().expect("an id");
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Failed);
    }
    uploader.kill().await;
    let no_time = [QUICK, ("DARKROOM_ERASE_TURN_MS", "0"), ("DARKROOM_QUEUES", "delete")];
    let _worker = darkroom.worker(&no_time);

    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.staged, receipt.attempts), (true, 40, 1));
    // Two or more to look through the queue each time; without a look at the time there would be five in all.
    assert!(receipt.deliveries >= 7, "{}", receipt.deliveries);
    darkroom.eventually_only(&[]).await;
}

/// More than one call stamps.
#[tokio::test]
async fn stamping_that_takes_long_stops_and_goes_on_where_it_was() {
    let mut darkroom = TestDarkroom::start().await;
    for number in 0..600 {
        darkroom.push_by_hand(Kind::Upload, &format!("stranger-{number}"), br#"{"user_id":"u2"}"#).await;
    }
    let (redis, keys) = darkroom.connection();
    let (scrubber, owner) = (Scrubber::new(redis, keys), Owner::of(&user("u1")));

    let (mut from, mut stops, mut seen) = (0, 0, Vec::new());
    while let Some(next) = scrubber.stamp(&owner, from, || true).await.expect("redis answers") {
        (from, stops) = (next, stops + 1);
        seen.push(darkroom.everything_in_redis().await.matches("stranger-").count());
    }
    let at_once = scrubber.stamp(&owner, 0, || false).await.expect("redis answers");

    assert!(stops >= 2, "{stops}");
    assert!(seen.windows(2).all(|two| two[0] < two[1]) && seen[0] < 600, "{seen:?}");
    assert_eq!(darkroom.everything_in_redis().await.matches("stranger-").count(), 600);
    assert_eq!(at_once, None);
    darkroom.forge();
}

/// Somebody has overwritten what is known of it since it was stamped.
#[tokio::test]
async fn a_job_whose_hash_is_none_keeps_the_queue_from_forgetting_no_other() {
    let mut darkroom = TestDarkroom::start().await;
    let jobs = ["first", "odd", "last"];
    for job in jobs {
        let payload = br#"{"user_id":"u1","context":"secret"}"#;
        darkroom.push_by_hand(Kind::Upload, job, payload).await;
    }
    let (redis, keys) = darkroom.connection();
    let (scrubber, owner) = (Scrubber::new(redis, keys), Owner::of(&user("u1")));
    scrubber.stamp(&owner, 0, || false).await.expect("redis answers");
    let odd = "{darkroom}:upload:meta:odd";
    let () = redis::pipe()
        .del(odd)
        .set(odd, "no hash")
        .query_async(&mut darkroom.redis)
        .await
        .expect("it answers");
    let deleted_at = Timestamp::from_unix_ms(in_ms(&mut darkroom, 60_000).await);

    let scrubbed = scrubber.scrub(&owner, deleted_at, Position::default(), || false).await;

    let scrubbed = scrubbed.expect("redis answers");
    assert_eq!((scrubbed.jobs, scrubbed.next), (2, None));
    let payloads: Vec<String> =
        darkroom.redis.hmget("{darkroom}:upload:data", &jobs).await.expect("redis answers");
    let keeps = payloads.iter().map(|payload| payload.contains("secret")).collect::<Vec<_>>();
    assert_eq!(keeps, [false, true, false], "{payloads:?}");
    darkroom.forge();
}

/// The receipt of an upload with a context whose picture is deleted while it is made.
async fn superseded_by(target: impl Fn(&Upload) -> Target) -> Receipt {
    let darkroom = TestDarkroom::start().await;
    let upload = darkroom.photo_of("u1").await;
    let target = target(&upload);
    let mut payload = Payload::from(upload);
    payload.context = Some("of the producer".into());
    let late = darkroom.worker_stopping_at(Step::Normalized, &[("DARKROOM_QUEUES", "upload")]);
    let job = darkroom.producer.enqueue::<Upload>(payload).await.expect("redis takes jobs");
    late.reached(Step::Normalized).await;
    let _eraser = darkroom.worker(&[QUICK, ("DARKROOM_QUEUES", "delete")]);
    let deletion = darkroom.delete(target).await;
    darkroom.final_receipt(&deletion).await;

    darkroom.let_go_on();
    darkroom.final_receipt(&job).await
}

#[tokio::test]
async fn what_is_superseded_after_the_erasure_tells_nothing_of_the_picture_and_after_a_deletion_it_does() {
    let erased = superseded_by(|_| user("u1")).await;
    let deleted = superseded_by(|upload| Target::UserPhoto {
        user_id: upload.user_id.clone(),
        image_id: upload.image_id,
    })
    .await;

    assert_eq!((erased.status, deleted.status), (Status::Superseded, Status::Superseded));
    assert_eq!((erased.context, erased.source, erased.visual), (None, None, None));
    assert!(deleted.context.is_some() && deleted.source.is_some());
}
