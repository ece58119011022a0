//! The embedded server behaves as S3 does where it matters to us.

use std::sync::Arc;

use bytes::Bytes;
use darkroom::{
    dev::s3::EmbeddedS3,
    storage::{error::ErrorKind, put::ObjectAttributes},
};
use darkroom_jobs::{ImageId, JobId, ObjectKey};

use crate::support::bucket::{ANY_PORT, TestBucket, fresh_key, settings, storage};

#[tokio::test]
async fn of_32_racing_conditional_puts_one_wins() {
    let bucket = TestBucket::with(&["--s3-conditional-writes=on"]).await;
    let key = Arc::new(fresh_key());

    let racers: Vec<_> = (0..32)
        .map(|racer| {
            let (storage, key) = (bucket.storage.clone(), Arc::clone(&key));
            tokio::spawn(async move {
                let attributes = ObjectAttributes { job_id: Some(JobId::generate()), ..Default::default() };
                storage.put_once(&key, Bytes::from(format!("racer {racer}")), &attributes).await.is_ok()
            })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += u32::from(racer.await.expect("no racer panics"));
    }

    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_read_during_overwrites_is_never_torn() {
    let bucket = TestBucket::start().await;
    let (key, plain) = (fresh_key(), ObjectAttributes::default());
    let body = |letter: u8| Bytes::from(vec![letter; 300_000]);
    bucket.storage.upload(&key, body(b'a'), &plain).await.expect("it is stored");

    let (storage, other) = (bucket.storage.clone(), key.clone());
    let writer = tokio::spawn(async move {
        for letter in b'b'..=b'z' {
            storage.upload(&other, body(letter), &ObjectAttributes::default()).await.expect("it is stored");
        }
    });
    while !writer.is_finished() {
        let found = bucket.storage.download(&key, 1 << 20, None).await.expect("it is there");
        assert!(found.bytes.iter().all(|byte| *byte == found.bytes[0]));
        assert_eq!(found.bytes.len(), 300_000);
    }

    writer.await.expect("the writer does not panic");
}

#[tokio::test]
async fn a_read_of_another_etag_is_refused() {
    let bucket = TestBucket::start().await;
    let key = fresh_key();
    bucket.storage.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("stored");

    let error = bucket.storage.download(&key, 9, Some("\"other\"")).await.expect_err("it is another one");

    assert_eq!(error.kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn an_owner_id_of_128_characters_has_objects_like_any_other() {
    let bucket = TestBucket::start().await;
    let owner = "o".repeat(128).parse().expect("it is an id");
    let key = ObjectKey::user_photo(&owner, &ImageId::random());

    bucket.storage.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("stored");

    assert!(bucket.storage.exists(&key).await.expect("the server answers"));
}

#[tokio::test]
async fn a_name_below_another_object_is_an_object_too() {
    let bucket = TestBucket::start().await;
    let keys = ["staging/a", "staging/a/b"].map(|key| ObjectKey::staged(&key.parse().expect("it is staged")));

    for key in &keys {
        bucket
            .storage
            .upload(key, Bytes::from(key.to_string()), &ObjectAttributes::default())
            .await
            .expect("stored");
    }

    for key in &keys {
        let found = bucket.storage.download(key, 99, None).await.expect("it is there");
        assert_eq!(found.bytes, key.to_string());
    }
}

#[tokio::test]
async fn objects_and_their_attributes_survive_a_restart() {
    let bucket = TestBucket::start().await;
    let (key, job) = (fresh_key(), JobId::generate());
    let attributes = ObjectAttributes { job_id: Some(job.clone()), ..Default::default() };
    bucket.storage.upload(&key, Bytes::from("x"), &attributes).await.expect("stored");
    drop(bucket.server);

    let again = EmbeddedS3::start(bucket.folder.path(), ANY_PORT).await.expect("a port is free");

    let storage = storage(&settings(&again.endpoint_url, &[])).await;
    let head = storage.head(&key).await.expect("the server answers").expect("it is there");
    assert_eq!(head.job_id(), Some(job.as_str()));
}

#[tokio::test]
async fn a_deleted_object_leaves_no_file() {
    let bucket = TestBucket::start().await;
    let key = fresh_key();
    bucket.storage.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("stored");

    bucket.storage.delete(&key).await.expect("the server answers");

    let left = std::fs::read_dir(bucket.folder.path().join("pictures")).expect("it is a folder").count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_paused_server_is_unavailable_until_it_resumes() {
    let bucket = TestBucket::start().await;

    bucket.server.pause();
    let paused = bucket.storage.head_bucket().await.expect_err("it is paused");
    bucket.server.resume();

    assert_eq!(paused.kind(), ErrorKind::Unavailable);
    bucket.storage.head_bucket().await.expect("it is back");
}
