//! A user who was erased and comes back: what is new stays, what is old is not taken for it.

use std::time::Duration;

use bytes::Bytes;
use darkroom::{config::steps::Step, storage::put::ObjectAttributes};
use darkroom_jobs::{ErrorCode, ImageId, JobId, Kind, ObjectKey, Source, StagedKey, Status, Upload};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    deleting::{QUICK, key_of, owner, user},
};

#[tokio::test]
async fn a_user_who_comes_back_keeps_what_is_new_under_new_names_and_old_ones() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[("DARKROOM_ERASE_SWEEPS_MS", "1500,3000")]);
    let old = darkroom.photo_of("u1").await;
    let stored = darkroom.producer.enqueue(old.clone()).await.expect("redis takes jobs");
    darkroom.final_receipt(&stored).await;

    let erasure = darkroom.delete(user("u1")).await;
    let erased_at = darkroom.receipt_when_deferred(&erasure).await.deletion.expect("it began").deleted_at;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // the bucket's clock has seconds
    let staged = StagedKey::of(Kind::Upload, &owner("u1"), ImageId::random());
    darkroom.stage_at(&staged).await;
    let (fresh, same_name) = (darkroom.photo_of("u1").await, darkroom.again(&old).await);
    let mut kept = Vec::new();
    for upload in [&fresh, &same_name] {
        let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
        let receipt = darkroom.final_receipt(&job).await;
        assert_eq!((receipt.status, receipt.enqueued_at > erased_at), (Status::Done, true));
        kept.push(key_of(upload).to_string());
    }
    let receipt = darkroom.final_receipt(&erasure).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects, deletion.deleted_at), (true, 1, erased_at));
    kept.push(staged.to_string());
    kept.sort_by_key(|key| (!key.starts_with("staging"), key.clone()));
    darkroom.eventually_only(&kept.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// The PUT that a dead worker had signed, under the name that its owner uses again.
#[tokio::test]
async fn a_late_picture_of_before_the_deletion_is_not_taken_for_one_of_after_it() {
    let darkroom = TestDarkroom::start().await;
    let upload = darkroom.photo_of("u1").await;
    let late = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let mut doomed = darkroom.worker_stopping_at(Step::Storing, &[("DARKROOM_QUEUES", "upload")]);
    doomed.reached(Step::Storing).await;
    let eraser = darkroom.worker(&[QUICK, ("DARKROOM_QUEUES", "delete")]);
    let erasure = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&erasure).await;
    doomed.kill().await;
    drop(eraser);
    // The PUT that the dead worker had signed.
    put_late(&darkroom, &key_of(&upload), "of another original").await;

    let new = darkroom.again(&upload).await;
    let new = darkroom.producer.enqueue(new).await.expect("redis takes jobs");
    let _worker = darkroom.worker(&[]);
    let (late, new) = (darkroom.final_receipt(&late).await, darkroom.final_receipt(&new).await);

    assert_eq!((late.status, new.status), (Status::Superseded, Status::Done));
    let there = darkroom.storage.head(&key_of(&upload)).await.expect("the bucket answers");
    assert_eq!(there.expect("it is there").job_id(), Some(new.job_id.as_str()));
}

#[tokio::test]
async fn a_job_that_nobody_had_seen_counts_from_the_deletion_that_came_upon_it() {
    let mut darkroom = TestDarkroom::start().await;
    let upload = darkroom.photo_of("u1").await;
    let payload = serde_json::to_vec(&upload).expect("a job is JSON");
    let soon =
        redis::cmd("TIME").query_async::<(u64, u64)>(&mut darkroom.redis).await.expect("it answers").0 + 3;
    let () = redis::pipe()
        .hset("{darkroom}:upload:data", "stock", payload)
        .zadd("{darkroom}:upload:scheduled", "stock", soon)
        .query_async(&mut darkroom.redis)
        .await
        .expect("redis answers");

    let _worker = darkroom.worker(&[QUICK]);
    let erasure = darkroom.delete(user("u1")).await;
    let erased = darkroom.final_receipt(&erasure).await;
    let receipt = darkroom.final_receipt(&"stock".parse().expect("an id")).await;

    assert_eq!(receipt.status, Status::Superseded);
    assert!(receipt.enqueued_at <= erased.deletion.expect("it says when").deleted_at);
    darkroom.eventually_only(&[]).await;
}

/// What a late upload of before the deletion puts.
async fn put_late(darkroom: &TestDarkroom, key: &ObjectKey, source_sha256: &str) {
    let old = ObjectAttributes {
        job_id: Some(JobId::generate()),
        enqueued_ms: Some(1_000),
        source_sha256: Some(source_sha256.into()),
        ..ObjectAttributes::default()
    };
    darkroom.storage.upload(key, Bytes::from(picture("plain.jpg")), &old).await.expect("it is stored");
}

#[tokio::test]
async fn a_new_picture_that_the_clean_up_of_a_late_one_took_away_is_made_again() {
    let darkroom = TestDarkroom::start().await;
    let eraser = darkroom.worker(&[QUICK, ("DARKROOM_QUEUES", "delete")]);
    let erasure = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&erasure).await;
    drop(eraser);
    let upload = darkroom.photo_of("u1").await;
    let worker = darkroom.worker_stopping_at(Step::Stored, &[]);
    let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    worker.reached(Step::Stored).await;

    darkroom.storage.delete(&key_of(&upload)).await.expect("the bucket answers");
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.deliveries, receipt.attempts), (Status::Done, 2, 1));
    darkroom.eventually_only(&[key_of(&upload).as_str()]).await;
}

#[tokio::test]
async fn a_late_picture_of_before_is_not_what_a_job_without_its_original_has_kept() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[QUICK]);
    let erasure = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&erasure).await;
    let sha256 = "a".repeat(64);
    let key = "staging/gone".parse().expect("a staged key");
    let source = Source::Staged { key, bytes: None, etag: None, sha256: Some(sha256.clone()) };
    let upload = Upload { user_id: owner("u1"), image_id: ImageId::random(), source };
    put_late(&darkroom, &key_of(&upload), &sha256).await;

    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(receipt.error.map(|error| error.code), Some(ErrorCode::SourceMissing));
}

#[tokio::test]
async fn an_original_that_was_staged_again_is_not_removed_by_a_job_of_before() {
    let darkroom = TestDarkroom::start().await;
    let old = darkroom.photo_of("u1").await;
    let Source::Staged { key, .. } = &old.source else { panic!("it is staged") };
    let late = darkroom.worker_stopping_at(Step::Claimed, &[("DARKROOM_QUEUES", "upload")]);
    let job = darkroom.producer.enqueue(old.clone()).await.expect("redis takes jobs");
    late.reached(Step::Claimed).await;
    let _eraser = darkroom.worker(&[QUICK, ("DARKROOM_QUEUES", "delete")]);
    let erasure = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&erasure).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // the bucket's clock has seconds
    darkroom.stage_at(key).await;

    darkroom.let_go_on();
    let superseded = darkroom.final_receipt(&job).await;
    late.logged(&["job settled"]).await;
    let new = darkroom.producer.enqueue(old.clone()).await.expect("redis takes jobs");
    let new = darkroom.final_receipt(&new).await;

    assert_eq!((superseded.status, new.status), (Status::Superseded, Status::Done));
    darkroom.eventually_only(&[key_of(&old).as_str()]).await;
}
