//! Signed URLs, sent by a client that knows nothing but them.

use std::time::Duration;

use bytes::Bytes;
use darkroom::storage::{presign::Presigned, put::ObjectAttributes};
use darkroom_jobs::{ObjectKey, StagedKey};
use reqwest::{Client, StatusCode};

use crate::{
    on_each_server,
    support::{
        bucket::fresh_key,
        served::{Oddity, ServedBucket, Server},
    },
};

on_each_server! {
    a_presigned_put_takes_what_was_signed_once
    a_presigned_put_refuses_another_length_or_type
    a_presigned_get_gives_the_object_to_whoever_has_the_url
    a_presigned_url_is_refused_when_its_time_is_over
}

const MINUTE: Duration = Duration::from_secs(60);

fn staged() -> StagedKey {
    "staging/upload/u1/a".parse().expect("it is a staged key")
}

/// Sends a PUT with the signed headers, but for those that are given anew.
async fn put(signed: &Presigned, body: &str, anew: &[(&str, &str)]) -> StatusCode {
    let mut request = Client::new().put(&signed.url).body(body.to_owned());
    for (name, value) in &signed.headers {
        let ours = anew.iter().find(|(other, _)| other == name).map_or(value.as_str(), |(_, value)| *value);
        // The client counts the bytes that it sends.
        if name != "content-length" && name != "host" {
            request = request.header(name, ours);
        }
    }
    request.send().await.expect("the server answers").status()
}

async fn a_presigned_put_takes_what_was_signed_once(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let signed = bucket.storage.presign_put(&staged(), 5, "image/png", MINUTE).await.expect("there is a key");

    let first = put(&signed, "hello", &[]).await;
    let second = put(&signed, "other", &[]).await;

    let (again, kept) = if server.has(Oddity::IgnoresConditions) { (200, "other") } else { (412, "hello") };
    assert_eq!((first.as_u16(), second.as_u16()), (200, again));
    let found = bucket.storage.download(&ObjectKey::staged(&staged()), 9, None).await.expect("it is there");
    assert_eq!((&found.bytes[..], found.content_type.as_deref()), (kept.as_bytes(), Some("image/png")));
}

async fn a_presigned_put_refuses_another_length_or_type(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let signed = bucket.storage.presign_put(&staged(), 5, "image/png", MINUTE).await.expect("there is a key");

    let longer = put(&signed, "hello!", &[]).await;
    let other = put(&signed, "hello", &[("content-type", "text/html")]).await;

    let taken = server.has(Oddity::TakesAnySignature);
    assert_eq!((longer.as_u16(), other.as_u16()), if taken { (200, 412) } else { (403, 403) });
    let there = bucket.storage.exists(&ObjectKey::staged(&staged())).await;
    assert_eq!(there.expect("the server answers"), taken);
}

async fn a_presigned_get_gives_the_object_to_whoever_has_the_url(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let key = fresh_key();
    let signed = bucket.storage.presign_get(&key, MINUTE).await.expect("there is a key");

    let missing = reqwest::get(&signed.url).await.expect("the server answers").status();
    bucket.storage.upload(&key, Bytes::from("hello"), &ObjectAttributes::default()).await.expect("stored");
    let found = reqwest::get(&signed.url).await.expect("the server answers");
    let unsigned = signed.url.split('?').next().expect("there is a path");
    let refused = reqwest::get(unsigned).await.expect("the server answers").status();

    assert_eq!((missing.as_u16(), refused.as_u16()), (404, 403));
    assert_eq!(found.text().await.expect("it is whole"), "hello");
}

async fn a_presigned_url_is_refused_when_its_time_is_over(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let key = fresh_key();
    bucket.storage.upload(&key, Bytes::from("hello"), &ObjectAttributes::default()).await.expect("stored");
    let second = Duration::from_secs(1);
    let get = bucket.storage.presign_get(&key, second).await.expect("there is a key");
    let upload = bucket.storage.presign_put(&staged(), 5, "image/png", second).await.expect("there is a key");

    let late = match server {
        _ if server.has(Oddity::TakesAnySignature) => StatusCode::OK,
        _ if server.has(Oddity::RefusesLateWith400) => StatusCode::BAD_REQUEST,
        _ => StatusCode::FORBIDDEN,
    };
    // Servers count in whole seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;

    assert_eq!(reqwest::get(&get.url).await.expect("the server answers").status(), late);
    assert_eq!(put(&upload, "hello", &[]).await, late);
}
