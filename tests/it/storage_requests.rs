//! What is sent to the bucket, seen by a server that writes it down.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use darkroom::storage::{Storage, list::Listed, put::ObjectAttributes};
use darkroom_jobs::{ObjectKey, StagedKey};
use md5::{Digest, Md5};

use crate::support::{
    bucket::{fresh_key, settings, storage},
    faults::{FaultyServer, Seen},
};

const STORED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const GONE: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
const NOTHING_STAYED: &str =
    "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></DeleteResult>";
const TWO_STAYED: &str = "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
    <Error><Key>user_photos/1/b.jpg</Key><Code>AccessDenied</Code><VersionId></VersionId></Error>\
    <Error><Key>user_photos/1/c.jpg</Key><Code>InternalError</Code></Error>\
    <Error><Key>user_photos/1/d.jpg</Key><Code>NoSuchKey</Code></Error></DeleteResult>";

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn put_with(more: &[&str], key: &ObjectKey) -> Seen {
    let server = FaultyServer::answering(&[STORED]).await;
    let storage = storage(&settings(&server.endpoint_url, more)).await;
    storage.upload(key, Bytes::from("hello"), &ObjectAttributes::default()).await.expect("it is stored");
    server.seen().remove(0)
}

fn listed(keys: impl Iterator<Item = String>) -> Vec<Listed> {
    keys.map(|key| Listed { key, size: 1, modified: None, version: None, is_latest: true, is_marker: false })
        .collect()
}

async fn told(answers: &[&str]) -> (FaultyServer, Storage) {
    let server = FaultyServer::answering(answers).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;
    (server, storage)
}

#[tokio::test]
async fn a_body_is_sent_whole_and_signed_never_in_chunks_of_aws() {
    for more in [&[][..], &["--s3-checksum=crc32"], &["--s3-checksum=sha256"]] {
        let seen = put_with(more, &fresh_key()).await;

        assert_eq!(
            (seen.body.as_slice(), seen.header("content-length")),
            (&b"hello"[..], Some("5")),
            "{more:?}"
        );
        assert_eq!(seen.header("content-encoding"), None, "{more:?}");
        assert_eq!(seen.header("transfer-encoding"), None, "{more:?}");
        assert_eq!(seen.header("x-amz-trailer"), None, "{more:?}");
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(seen.header("x-amz-content-sha256"), Some(sha256), "{more:?}");
    }
}

#[tokio::test]
async fn a_checksum_is_sent_only_when_it_is_asked_for() {
    let plain = put_with(&[], &fresh_key()).await;
    let crc32 = put_with(&["--s3-checksum=crc32"], &fresh_key()).await;
    let sha256 = put_with(&["--s3-checksum=sha256"], &fresh_key()).await;

    assert!(!plain.headers.keys().any(|name| name.contains("checksum")), "{plain:?}");
    assert_eq!(crc32.header("x-amz-checksum-crc32"), Some("NhCmhg=="), "{crc32:?}");
    let expected = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    assert_eq!(sha256.header("x-amz-checksum-sha256"), Some(expected));
}

#[tokio::test]
async fn encryption_and_acl_are_sent_as_they_are_set_and_otherwise_not_at_all() {
    let plain = put_with(&[], &fresh_key()).await;
    let kms = ["--s3-sse=aws:kms", "--s3-kms-key-id=key-1", "--s3-acl=public-read"];
    let set = put_with(&kms, &fresh_key()).await;

    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
        ("x-amz-acl", "public-read"),
    ] {
        assert_eq!((plain.header(name), set.header(name)), (None, Some(value)));
    }
}

#[tokio::test]
async fn the_prefix_and_the_bucket_of_originals_are_part_of_the_path() {
    let more = ["--s3-prefix=shop/", "--s3-staging-bucket=originals"];
    let staged: StagedKey = "staging/a".parse().expect("it is a staged key");
    let key = fresh_key();

    let product = put_with(&more, &key).await;
    let original = put_with(&more, &ObjectKey::staged(&staged)).await;

    assert!(product.line.starts_with(&format!("PUT /pictures/shop/{key}?")), "{}", product.line);
    assert!(original.line.starts_with("PUT /originals/shop/staging/a?"), "{}", original.line);
}

#[tokio::test]
async fn what_stays_of_many_deletions_is_told_key_by_key() {
    let (_server, storage) = told(&[&answer(TWO_STAYED)]).await;

    let keys = ["a", "b", "c", "d"].iter().map(|name| format!("user_photos/1/{name}.jpg"));
    let stayed = storage.delete_many(&listed(keys)).await.expect("the request was answered");

    let stayed: Vec<_> = stayed.iter().map(|stayed| (stayed.key.as_str(), stayed.code.as_str())).collect();
    assert_eq!(stayed, [("user_photos/1/b.jpg", "AccessDenied"), ("user_photos/1/c.jpg", "InternalError")]);
}

#[tokio::test]
async fn deletions_go_a_thousand_at_a_time_each_with_its_md5() {
    let (server, storage) = told(&[&answer(NOTHING_STAYED)]).await;

    let keys = (0..2_500).map(|n| format!("user_photos/1/{n}.jpg"));
    let stayed = storage.delete_many(&listed(keys)).await.expect("the requests were answered");

    assert!(stayed.is_empty());
    let seen = server.seen();
    let keys = |request: &Seen| String::from_utf8_lossy(&request.body).matches("<Key>").count();
    assert_eq!(seen.iter().map(keys).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    for request in seen {
        assert_eq!(request.header("content-md5"), Some(&*STANDARD.encode(Md5::digest(&request.body))));
        let signed = request.header("authorization").expect("it is signed");
        assert!(signed.contains("content-md5"), "{signed}");
    }
}

#[tokio::test]
async fn where_many_deletions_are_unknown_each_is_sent_alone() {
    let (server, storage) = told(&[UNKNOWN, GONE]).await;

    let keys = ["a", "b"].iter().map(|name| format!("user_photos/1/{name}.jpg"));
    let stayed = storage.delete_many(&listed(keys)).await.expect("the requests were answered");

    assert!(stayed.is_empty());
    let lines: Vec<_> = server.seen().into_iter().skip(1).map(|request| request.line).collect();
    assert!(lines[0].starts_with("DELETE /pictures/user_photos/1/a.jpg"), "{lines:?}");
    assert!(lines[1].starts_with("DELETE /pictures/user_photos/1/b.jpg"), "{lines:?}");
}

#[tokio::test]
async fn of_deletions_that_are_sent_alone_one_that_is_denied_does_not_keep_the_rest() {
    let locked = answer("<Error><Code>AccessDenied</Code></Error>").replace("200 OK", "403 Forbidden");
    let (server, storage) = told(&[UNKNOWN, GONE, &locked, GONE]).await;

    let keys = ["a", "b", "c"].iter().map(|name| format!("user_photos/1/{name}.jpg"));
    let stayed = storage.delete_many(&listed(keys)).await.expect("the requests were answered");

    let stayed: Vec<_> = stayed.iter().map(|stayed| (stayed.key.as_str(), stayed.code.as_str())).collect();
    assert_eq!((stayed, server.requests()), (vec![("user_photos/1/b.jpg", "AccessDenied")], 4));
}

#[tokio::test]
async fn a_server_that_does_not_know_conditions_is_asked_once_and_then_looked_at_before_each_put() {
    let missing = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n";
    let (server, storage) = told(&[UNKNOWN, missing, STORED, missing, STORED]).await;

    for _ in 0..2 {
        let stored = storage.put_once(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;
        stored.expect("nothing is there");
    }

    let seen = server.seen();
    let methods: Vec<_> =
        seen.iter().map(|request| request.line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(methods, ["PUT", "HEAD", "PUT", "HEAD", "PUT"]);
    assert_eq!(seen[0].header("if-none-match"), Some("*"));
    assert!(seen[1..].iter().all(|request| request.header("if-none-match").is_none()));
}
