//! Everything of an owner is removed, with proof: what is gone, what stays, and when nothing is claimed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use darkroom::{config::steps::Step, storage::put::ObjectAttributes};
use darkroom_jobs::{
    ErrorCode, EventType, ImageId, Ingest, JobId, Kind, ObjectKey, Receipt, StagedKey, Status, Target,
    Timestamp,
};
use httpdate::fmt_http_date;
use redis::AsyncCommands as _;

use crate::support::{
    darkroom::{TestDarkroom, picture},
    deleting::{QUICK, key_of, owner, user},
    faults::FaultyServer,
};

#[tokio::test]
async fn everything_of_a_user_goes_and_the_receipt_proves_it() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[QUICK]);
    let (first, second, stranger) =
        (darkroom.photo_of("1").await, darkroom.photo_of("1").await, darkroom.photo_of("10").await);
    for upload in [&first, &second, &stranger] {
        let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    }
    darkroom.stage_at(&StagedKey::of(Kind::Upload, &owner("1"), ImageId::random())).await;
    let others = StagedKey::of(Kind::Upload, &owner("10"), ImageId::random());
    darkroom.stage_at(&others).await;

    let job = darkroom.delete(user("1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 3));
    let deletion = receipt.deletion.clone().expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects, deletion.staged), (true, 2, 1));
    // The embedded server does not list versions, and says that there never were any.
    assert!(!deletion.versions_known);
    assert_eq!((deletion.target, deletion.deleted_at.is_some()), (Some(user("1")), true));
    assert_eq!(deletion.not_covered, ["cdn", "backups", "staged_unnamed", "events"]);
    darkroom.eventually_only(&[others.as_str(), key_of(&stranger).as_str()]).await;
    let event = darkroom.events().await.pop().expect("it was announced");
    assert_eq!((event.event_type, event.subject), (EventType::OwnerErased, Some(job.to_string())));
}

#[tokio::test]
async fn everything_of_a_product_goes_and_a_user_of_the_same_id_stays() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[QUICK]);
    let photo = darkroom.photo_of("7").await;
    let ingest = Ingest {
        product_id: owner("7"),
        image_id: ImageId::random(),
        source: darkroom.staged(picture("plain.jpg")).await.source,
    };
    let ingested = darkroom.producer.enqueue(ingest).await.expect("redis takes jobs");
    let uploaded = darkroom.producer.enqueue(photo.clone()).await.expect("redis takes jobs");
    darkroom.final_receipt(&ingested).await;
    darkroom.final_receipt(&uploaded).await;

    let job = darkroom.delete(Target::Product { product_id: owner("7") }).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects), (true, 1));
    darkroom.eventually_only(&[key_of(&photo).as_str()]).await;
}

#[tokio::test]
async fn between_sweeps_no_slot_is_held_and_the_receipt_says_how_far_it_is() {
    let darkroom = TestDarkroom::start().await;
    darkroom.fill("u1", 2).await;
    let slow = ("DARKROOM_ERASE_SWEEPS_MS", "3600000");
    let _worker = darkroom.worker(&[slow, ("DARKROOM_CONCURRENCY_DELETE", "1")]);

    let erasure = darkroom.delete(user("u1")).await;
    let waiting = darkroom.receipt_when_deferred(&erasure).await;
    let image = Target::UserPhoto { user_id: owner("u2"), image_id: ImageId::random() };
    let other = darkroom.delete(image).await;
    let other = darkroom.final_receipt(&other).await;

    assert_eq!((waiting.status, waiting.attempts, waiting.is_final), (Status::Queued, 0, false));
    let so_far = waiting.deletion.expect("it says how far it is");
    assert_eq!((so_far.verified, so_far.objects), (false, 2));
    assert_eq!(other.status, Status::Done);
}

#[tokio::test]
async fn a_sweep_that_takes_long_is_put_off_and_goes_on() {
    let darkroom = TestDarkroom::start().await;
    darkroom.fill("u1", 2_100).await;
    let _worker = darkroom.worker(&[QUICK, ("DARKROOM_ERASE_TURN_MS", "0")]);

    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects, receipt.attempts), (true, 2_100, 1));
    assert!(receipt.deliveries > 3, "{}", receipt.deliveries);
    darkroom.eventually_only(&[]).await;
}

#[tokio::test]
async fn a_sweep_that_is_put_off_goes_on_behind_what_it_spares() {
    let darkroom = TestDarkroom::start().await;
    let newer = ObjectAttributes { enqueued_ms: Some(u64::MAX), ..ObjectAttributes::default() };
    darkroom.fill_with("u1", 1_100, newer).await;
    let _worker = darkroom.worker(&[("DARKROOM_ERASE_SWEEPS_MS", "0"), ("DARKROOM_ERASE_TURN_MS", "0")]);

    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    // Two sweeps, each of 250 at a time: within a page time is looked at too.
    assert_eq!((deletion.verified, deletion.objects, receipt.deliveries), (true, 0, 10));
}

#[tokio::test]
async fn two_erasures_and_two_deletions_at_once_all_end_and_nothing_is_left() {
    let darkroom = TestDarkroom::start().await;
    darkroom.fill("u1", 50).await;
    let upload = darkroom.photo_of("u2").await;
    let stored = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let _workers = [darkroom.worker(&[QUICK]), darkroom.worker(&[QUICK])];
    darkroom.final_receipt(&stored).await;

    let image = Target::UserPhoto { user_id: owner("u2"), image_id: upload.image_id };
    let mut jobs: Vec<JobId> = Vec::new();
    for target in [user("u1"), user("u1"), image.clone(), image] {
        jobs.push(darkroom.delete(target).await);
    }

    let mut removed = [0, 0];
    for (number, job) in jobs.iter().enumerate() {
        let receipt = darkroom.final_receipt(job).await;
        let deletion = receipt.deletion.expect("a deletion says what it removed");
        assert!(receipt.status == Status::Done && deletion.verified, "{deletion:?}");
        removed[number / 2] += deletion.objects;
    }
    // Both may have listed an object before one removed it: S3 does not tell who did.
    assert!((50..=100).contains(&removed[0]) && (1..=2).contains(&removed[1]), "{removed:?}");
    darkroom.eventually_only(&[]).await;
}

#[tokio::test]
async fn an_erasure_repeated_later_moves_the_deletion_and_a_delivery_repeated_does_not() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[QUICK]);
    let mut tombstones = Vec::new();

    for _ in 0..2 {
        let job = darkroom.delete(user("u1")).await;
        let receipt = darkroom.final_receipt(&job).await;
        let kept: u64 =
            darkroom.redis.get("{darkroom}:tombstone:user_photos/u1/").await.expect("it is there");
        let told = receipt.deletion.expect("it says when").deleted_at.expect("it says when").unix_ms();
        assert_eq!((kept, receipt.deliveries), (told, 3));
        tombstones.push(kept);
    }

    assert!(tombstones[0] < tombstones[1], "{tombstones:?}");
}

#[tokio::test]
async fn a_redis_that_came_back_empty_claims_nothing_and_the_repeated_request_erases_everything() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.fill("u1", 3).await;
    let mut worker = darkroom.worker_stopping_at(Step::Removed, &[QUICK]);
    let job = darkroom.delete(user("u1")).await;
    worker.reached(Step::Removed).await;
    let () = redis::cmd("FLUSHALL").query_async(&mut darkroom.redis).await.expect("redis answers");
    let late = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
    let attributes = ObjectAttributes::default();
    darkroom.storage.upload(&late, "x".into(), &attributes).await.expect("it is stored");

    darkroom.let_go_on();
    worker.logged(&["the job is another worker's by now"]).await;
    let forgotten = darkroom.producer.receipt(&job).await.expect("redis answers");
    let announced = darkroom.events().await.len();
    let again = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&again).await;

    assert_eq!((forgotten, announced), (None, 0));
    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects), (true, 1));
    assert!(worker.is_running());
    darkroom.eventually_only(&[]).await;
}

/// A fail-over to a replica that had not heard of it, for one.
#[tokio::test]
async fn sweeps_under_a_tombstone_that_was_lost_prove_nothing_and_begin_anew() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.fill("u1", 1).await;
    let tombstone = "{darkroom}:tombstone:user_photos/u1/";
    let worker = darkroom.worker(&[("DARKROOM_ERASE_SWEEPS_MS", "800,1600")]);
    let job = darkroom.delete(user("u1")).await;
    let first = darkroom.receipt_after(&job, 2).await;
    let () = darkroom.redis.del(tombstone).await.expect("redis answers");

    let receipt = darkroom.final_receipt(&job).await;

    let (first, last) = (first.deletion.expect("it tells"), receipt.deletion.expect("it tells"));
    assert_eq!((last.verified, last.objects, last.deleted_at), (true, 1, first.deleted_at));
    assert_eq!((receipt.deliveries, receipt.attempts), (5, 1));
    assert!(worker.log().contains("tombstone of an erasure was lost"), "{}", worker.log());
    let kept: u64 = darkroom.redis.get(tombstone).await.expect("it was written again");
    assert_eq!(Some(kept), last.deleted_at.map(Timestamp::unix_ms));
}

#[tokio::test]
async fn a_tombstone_that_is_lost_during_the_last_sweep_is_noticed_as_well() {
    let mut darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker_stopping_at(Step::Removed, &[("DARKROOM_ERASE_SWEEPS_MS", "0")]);
    let job = darkroom.delete(user("u1")).await;
    worker.reached(Step::Removed).await;
    let stop = format!("removed,job={job},until={}", darkroom.folder().join("second").display());
    darkroom.let_go_on();
    drop(worker);
    let last = darkroom.worker(&[("DARKROOM_ERASE_SWEEPS_MS", "0"), ("DARKROOM_TEST_STOP_AT", &stop)]);
    last.reached(Step::Removed).await;
    let () = darkroom.redis.del("{darkroom}:tombstone:user_photos/u1/").await.expect("redis answers");

    std::fs::write(darkroom.folder().join("second"), "").expect("the folder is there");
    let receipt = darkroom.final_receipt(&job).await;

    assert!(receipt.deletion.expect("it tells").verified);
    assert!(last.log().contains("tombstone of an erasure was lost"), "{}", last.log());
}

#[tokio::test]
async fn what_never_stops_being_written_ends_without_a_proof() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[("DARKROOM_ERASE_SWEEPS_MS", "50")]);
    let job = darkroom.delete(user("u1")).await;

    // A program that is not ours, and puts pictures without telling when they were asked for.
    let writing = async {
        loop {
            darkroom.fill("u1", 1).await;
        }
    };
    let receipt = tokio::select! {
        () = writing => unreachable!("it never ends"),
        receipt = darkroom.final_receipt(&job) => receipt,
    };

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((receipt.status, deletion.verified), (Status::Done, false));
    assert!(deletion.objects > 0);
}

/// One answer of a bucket.
fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// The receipt of an erasure whose only later sweep comes at once, in a bucket that gives these answers.
async fn erasure_in(bucket: &FaultyServer) -> Receipt {
    let darkroom = TestDarkroom::start().await;
    let more = [("S3_ENDPOINT_URL", &*bucket.endpoint_url), ("DARKROOM_QUEUES", "delete")];
    let _worker = darkroom.worker(&[&more[..], &[("DARKROOM_ERASE_SWEEPS_MS", "0")]].concat());
    let job = darkroom.delete(user("u1")).await;
    darkroom.final_receipt(&job).await
}

#[tokio::test]
async fn where_versions_are_not_told_and_there_may_be_some_everything_goes_without_a_proof() {
    let there = answer("200 OK", "");
    let unknown = answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>");
    let empty = answer("200 OK", "<ListBucketResult></ListBucketResult>");
    for (said, verified) in [("", true), ("<Status>Suspended</Status>", false)] {
        let said = format!("<VersioningConfiguration>{said}</VersioningConfiguration>");
        let versioning = answer("200 OK", &said);
        // Two sweeps: the bucket's clock, the owner's objects, the originals.
        let sweep = [&*there, &*unknown, &*empty, &*unknown, &*empty];
        let answers = [&sweep[..], &sweep[..], &[&*versioning]].concat();

        let receipt = erasure_in(&FaultyServer::answering(&answers).await).await;

        let deletion = receipt.deletion.expect("a deletion says what it removed");
        assert_eq!((deletion.versions_known, deletion.verified), (false, verified), "{said}");
    }
}

/// By its clock the bucket has kept nothing since the deletion; by that of Redis one picture is of after it.
#[tokio::test]
async fn a_picture_of_after_the_deletion_is_spared_by_a_bucket_whose_clock_is_two_hours_behind() {
    let bucket_now = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let put_ms = bucket_now.duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64 + 60_000;
    let put = Timestamp::from_unix_ms(put_ms);
    let there = answer("200 OK", "");
    let dated = there.replace("\r\n\r\n", &format!("\r\ndate: {}\r\n\r\n", fmt_http_date(bucket_now)));
    let newer = there.replace("\r\n\r\n", "\r\nx-amz-meta-darkroom-enqueued-ms: 99999999999999\r\n\r\n");
    let unknown = answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>");
    let (name, empty) = ("user_photos/u1/a.jpg", answer("200 OK", "<ListBucketResult></ListBucketResult>"));
    let one = format!(
        "<ListBucketResult><Contents><Key>{name}</Key><LastModified>{put}</LastModified></Contents></ListBucketResult>"
    );
    let one = answer("200 OK", &one);
    let versioning = answer("200 OK", "<VersioningConfiguration></VersioningConfiguration>");
    let sweep = [&*dated, &*unknown, &*one, &*newer, &*unknown, &*empty];
    let bucket = FaultyServer::answering(&[&sweep[..], &sweep[..], &[&*versioning]].concat()).await;

    let receipt = erasure_in(&bucket).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((deletion.verified, deletion.objects), (true, 0));
    assert!(bucket.seen()[3].line.contains(name), "{}", bucket.seen()[3].line);
    assert!(bucket.seen().iter().all(|request| !request.line.starts_with("POST")));
}

#[tokio::test]
async fn a_key_that_may_list_and_not_delete_is_blocked_at_once() {
    let there = answer("200 OK", "");
    let unknown = answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>");
    let one = answer(
        "200 OK",
        "<ListBucketResult><Contents><Key>user_photos/u1/a.jpg</Key></Contents></ListBucketResult>",
    );
    let denied = answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    let empty = answer("200 OK", "<ListBucketResult></ListBucketResult>");
    // The bucket's clock, the list, a look at the object, its removal, the originals.
    let bucket = FaultyServer::answering(&[&there, &unknown, &one, &there, &denied, &unknown, &empty]).await;

    let receipt = erasure_in(&bucket).await;

    let error = receipt.error.expect("it says why");
    assert_eq!(
        (receipt.status, error.code, receipt.attempts),
        (Status::Failed, ErrorCode::ErasureBlocked, 1)
    );
    assert!(error.message.contains("user_photos/u1/a.jpg"), "{}", error.message);
    assert_eq!(receipt.deletion.expect("it says what it removed").objects, 0);
}

#[tokio::test]
async fn an_image_whose_tombstone_is_lost_meanwhile_is_deleted_without_a_proof() {
    let mut darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker_stopping_at(Step::Removed, &[]);
    let target = Target::UserPhoto { user_id: owner("u1"), image_id: ImageId::random() };
    let key = target.object_key().expect("it is an image");
    let job = darkroom.delete(target).await;
    worker.reached(Step::Removed).await;

    let () = darkroom.redis.del(format!("{{darkroom}}:tombstone:{key}")).await.expect("redis answers");
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;

    assert!(!receipt.deletion.expect("it tells").verified);
}
