//! Erasure where versions are kept and things can be denied: on Ceph, which Hetzner runs.

use bytes::Bytes;
use darkroom::{
    config::steps::Step,
    storage::{list::Prefix, put::ObjectAttributes},
};
use darkroom_jobs::{ErrorCode, ImageId, Kind, ObjectKey, Source, StagedKey, Status, Upload};

use crate::support::{
    ceph::ceph,
    darkroom::{TestDarkroom, picture},
    deleting::{QUICK, key_of, owner, user},
    served::{ServedBucket, Server},
};

async fn put(bucket: &ServedBucket, key: &ObjectKey) {
    let attributes = ObjectAttributes::default();
    bucket.storage.upload(key, Bytes::from(picture("plain.jpg")), &attributes).await.expect("it is stored");
}

async fn deny_deletion(bucket: &ServedBucket, keys: &[String]) {
    let resources: Vec<_> =
        keys.iter().map(|key| format!("\"arn:aws:s3:::{}/{key}\"", bucket.name)).collect();
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*",
            "Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":[{}]}}]}}"#,
        resources.join(",")
    );
    let order = bucket.admin.put_bucket_policy().bucket(&bucket.name).policy(policy);
    order.send().await.expect("the gateway keeps policies");
}

/// Of everything that there is of a prefix: keys of versions, and of markers.
async fn left(bucket: &ServedBucket, prefix: &Prefix) -> Vec<String> {
    let page = bucket.storage.list_versions(prefix, None).await.expect("the gateway answers");
    page.expect("Ceph lists versions").entries.into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn an_owner_goes_with_all_versions_and_markers_and_originals() {
    let Some(ceph) = ceph("the erasure of versions") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.keep_versions().await;
    let (twice, marked, other) = (
        ObjectKey::user_photo(&owner("1"), &ImageId::random()),
        ObjectKey::user_photo(&owner("1"), &ImageId::random()),
        ObjectKey::user_photo(&owner("10"), &ImageId::random()),
    );
    let staged = ObjectKey::staged(&StagedKey::of(Kind::Upload, &owner("1"), ImageId::random()));
    for key in [&twice, &twice, &marked, &other, &staged] {
        put(&bucket, key).await;
    }
    bucket.storage.delete(&marked).await.expect("a marker is put");
    let _worker = darkroom.worker(&[&[QUICK], &bucket.environment()[..]].concat());

    let job = darkroom.delete(user("1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((receipt.status, deletion.verified, deletion.versions_known), (Status::Done, true, true));
    assert_eq!((deletion.objects, deletion.versions, deletion.markers, deletion.staged), (1, 2, 1, 1));
    let mut rest = left(&bucket, &Prefix::everything()).await;
    rest.retain(|key| !key.starts_with("_darkroom/"));
    assert_eq!(rest, [other.to_string()]);
}

#[tokio::test]
async fn of_2500_objects_three_that_are_locked_block_the_erasure_and_the_rest_goes() {
    let Some(ceph) = ceph("an erasure that is blocked") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    let keys: Vec<_> = (0..2_500).map(|_| ObjectKey::user_photo(&owner("u1"), &ImageId::random())).collect();
    for some in keys.chunks(50) {
        let puts = some.iter().map(|key| {
            let attributes = ObjectAttributes::default();
            let storage = bucket.storage.clone();
            async move { storage.upload(key, Bytes::from_static(b"x"), &attributes).await }
        });
        futures_util::future::try_join_all(puts).await.expect("they are stored");
    }
    let mut locked: Vec<_> = [7, 1_300, 2_400].map(|number: usize| keys[number].to_string()).into();
    locked.sort();
    deny_deletion(&bucket, &locked).await;
    // A turn for each page: what one delivery was refused is told by the last.
    let turns = ("DARKROOM_ERASE_TURN_MS", "0");
    let _worker = darkroom.worker(&[&[QUICK, turns], &bucket.environment()[..]].concat());

    let job = darkroom.delete(user("u1")).await;
    let blocked = darkroom.final_receipt(&job).await;
    let stayed = left(&bucket, &Prefix::owner(&user("u1").owner_prefix())).await;
    bucket.admin.delete_bucket_policy().bucket(&bucket.name).send().await.expect("the gateway answers");
    darkroom.operator().retry(&job).await.expect("it is dead");
    let done = darkroom.final_receipt(&job).await;

    let error = blocked.error.expect("it says why");
    assert_eq!(
        (blocked.status, error.code, blocked.attempts),
        (Status::Failed, ErrorCode::ErasureBlocked, 1)
    );
    assert_eq!(error.detail.expect("it names one")["objects"], 3);
    let removed = blocked.deletion.expect("it says what it removed");
    assert_eq!((removed.verified, removed.objects, stayed), (false, 2_497, locked));
    let removed = done.deletion.expect("it says what it removed");
    assert_eq!((done.status, removed.verified, removed.objects), (Status::Done, true, 3));
}

#[tokio::test]
async fn an_original_that_a_job_named_and_that_is_locked_blocks_the_erasure() {
    let Some(ceph) = ceph("an original that is locked") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    let key: StagedKey = "staging/elsewhere/broken".parse().expect("it is a key");
    let (original, attributes) = (Bytes::from(picture("text.jpg")), ObjectAttributes::default());
    bucket.storage.upload(&ObjectKey::staged(&key), original, &attributes).await.expect("it is stored");
    deny_deletion(&bucket, &[key.to_string()]).await;
    let _worker = darkroom.worker(&[&[QUICK], &bucket.environment()[..]].concat());
    let source = Source::Staged { key, bytes: None, etag: None, sha256: None };
    let upload = Upload { user_id: owner("u1"), image_id: ImageId::random(), source };
    let broken = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    assert_eq!(darkroom.final_receipt(&broken).await.status, Status::Failed);

    let job = darkroom.delete(user("u1")).await;
    let blocked = darkroom.final_receipt(&job).await;
    bucket.admin.delete_bucket_policy().bucket(&bucket.name).send().await.expect("the gateway answers");
    darkroom.operator().retry(&job).await.expect("it is dead");
    let done = darkroom.final_receipt(&job).await;

    let error = blocked.error.expect("it says why");
    assert_eq!((blocked.status, error.code), (Status::Failed, ErrorCode::ErasureBlocked));
    assert_eq!(error.detail.expect("it names it")["objects"], 1);
    let removed = done.deletion.expect("it says what it removed");
    assert_eq!((done.status, removed.verified, removed.staged), (Status::Done, true, 1));
}

#[tokio::test]
async fn an_upload_that_comes_late_leaves_neither_a_version_nor_a_marker() {
    let Some(ceph) = ceph("a late upload into a bucket with versions") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.keep_versions().await;
    let upload: Upload = darkroom.photo_of("u1").await;
    let Some(key) = upload_source(&upload) else { panic!("it is staged") };
    put(&bucket, &ObjectKey::staged(&key)).await;
    let environment = bucket.environment();
    let uploads = [&[("DARKROOM_QUEUES", "upload")], &environment[..]].concat();
    let late = darkroom.worker_stopping_at(Step::Storing, &uploads);
    let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    late.reached(Step::Storing).await;
    let _eraser = darkroom.worker(&[&[QUICK, ("DARKROOM_QUEUES", "delete")], &environment[..]].concat());
    let erasure = darkroom.delete(user("u1")).await;
    let erased = darkroom.final_receipt(&erasure).await;

    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;

    assert!(erased.deletion.expect("it tells").verified);
    assert_eq!(receipt.status, Status::Superseded);
    assert_eq!(left(&bucket, &Prefix::image(&key_of(&upload))).await, [""; 0]);
}

fn upload_source(upload: &Upload) -> Option<StagedKey> {
    match &upload.source {
        Source::Staged { key, .. } => Some(key.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_user_who_comes_back_keeps_the_new_version_and_loses_the_old_ones() {
    let Some(ceph) = ceph("a user who comes back to a bucket with versions") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.keep_versions().await;
    let key = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
    put(&bucket, &key).await;
    let sweeps = ("DARKROOM_ERASE_SWEEPS_MS", "1500");
    let _worker = darkroom.worker(&[&[sweeps], &bucket.environment()[..]].concat());
    let job = darkroom.delete(user("u1")).await;
    let first = darkroom.receipt_when_deferred(&job).await.deletion.expect("it tells");
    let enqueued_ms = first.deleted_at.expect("it says when").unix_ms() + 1;
    let new = ObjectAttributes { enqueued_ms: Some(enqueued_ms), ..ObjectAttributes::default() };
    put(&bucket, &key).await; // a late one of before
    bucket.storage.upload(&key, Bytes::from("new"), &new).await.expect("it is stored");

    let receipt = darkroom.final_receipt(&job).await;

    // The last sweep found the late one, and was repeated.
    assert!(receipt.deletion.expect("it tells").verified);
    assert_eq!(left(&bucket, &Prefix::image(&key)).await, [key.to_string()]);
    let there = bucket.storage.download(&key, 99, None).await.expect("the new one is there");
    assert_eq!(there.bytes, "new");
}

#[tokio::test]
async fn what_a_user_who_came_back_has_hidden_again_does_not_appear() {
    let Some(ceph) = ceph("a marker that hides what is new") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.keep_versions().await;
    let key = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
    let new = ObjectAttributes { enqueued_ms: Some(u64::MAX), ..ObjectAttributes::default() };
    bucket.storage.upload(&key, Bytes::from("new"), &new).await.expect("it is stored");
    bucket.storage.delete(&key).await.expect("a marker is put");
    let _worker = darkroom.worker(&[&[QUICK], &bucket.environment()[..]].concat());

    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert!(receipt.deletion.expect("it tells").verified);
    assert!(!bucket.storage.exists(&key).await.expect("the gateway answers"));
    assert_eq!(left(&bucket, &Prefix::image(&key)).await.len(), 2);
}
