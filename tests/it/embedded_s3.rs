//! The embedded server behaves as S3 does where it matters to us.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use bytes::Bytes;
use darkroom::{
    dev::s3::EmbeddedS3,
    storage::{error::ErrorKind, put::ObjectAttributes},
};
use darkroom_jobs::{ImageId, JobId, ObjectKey};

use crate::support::{
    bucket::{ANY_PORT, TestBucket, fresh_key, settings, storage},
    served::{ServedBucket, Server},
};

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
async fn an_owner_id_of_128_characters_has_objects_like_any_other() {
    let bucket = TestBucket::start().await;
    let owner = "o".repeat(128).parse().expect("it is an id");
    let key = ObjectKey::user_photo(&owner, &ImageId::random());

    bucket.storage.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("stored");

    assert!(bucket.storage.exists(&key).await.expect("the server answers"));
}

#[tokio::test]
async fn keys_that_not_every_store_could_keep_are_refused_and_nothing_is_stored() {
    let bucket = ServedBucket::on(Server::Embedded).await;
    let put = |key: &str| {
        let request = bucket.admin.put_object().bucket(&bucket.name).key(key);
        request.body(Bytes::from("x").into()).send()
    };
    put("a/b").await.expect("it is a plain key");

    for key in ["a//c", "a/../c", "../c", "a/./c", "a", "a/b/c"] {
        let refused = put(key).await.expect_err("no key that every store could keep");
        assert_eq!(refused.raw_response().map(|answer| answer.status().as_u16()), Some(400), "{key}");
    }

    let list = bucket.admin.list_objects_v2().bucket(&bucket.name).send().await.expect("the server answers");
    assert_eq!(list.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), ["a/b"]);
}

#[tokio::test]
async fn content_that_does_not_have_the_digest_that_was_sent_is_not_stored() {
    let bucket = ServedBucket::on(Server::Embedded).await;
    let wrong = [
        ("content-md5", "CY9rzUYh03PK3k6DJie09g=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ];

    for (header, digest) in wrong {
        let request = bucket.admin.put_object().bucket(&bucket.name).key("a").body(Bytes::from("x").into());
        let request = request.customize().mutate_request(move |request| {
            request.headers_mut().insert(header, digest);
        });
        let refused = request.send().await.expect_err("it is the digest of something else");
        assert_eq!(refused.code(), Some("BadDigest"), "{header}");
    }

    let head = bucket.admin.head_object().bucket(&bucket.name).key("a").send().await;
    assert!(head.is_err(), "nothing was stored");
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
