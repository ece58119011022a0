//! Objects: conditions, checksums, deletions, and URLs that were signed for somebody else.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RequestChecksumCalculation::WhenSupported, RuntimeComponents,
        http::HttpResponse, interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::{BoxError, SdkError},
    operation::delete_objects::{DeleteObjectsError, DeleteObjectsOutput},
    primitives::{ByteStream, SdkBody},
    types::{ChecksumMode, Delete, ObjectIdentifier},
};
use bytes::Bytes;
use darkroom::storage::presign::Presigned;
use darkroom_jobs::StagedKey;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::{
    conformance::{Seen, refused, seen, told, told_by},
    support::served::ServedBucket,
};

/// An ETag of nothing.
const OTHER: &str = "\"0123456789abcdef0123456789abcdef\"";
const MD5_OF_OTHER: &str = "ASNFZ4mrze8BI0VniavN7w==";
const MINUTE: Duration = Duration::from_secs(60);

fn hello() -> ByteStream {
    ByteStream::from_static(b"hello")
}

pub async fn conditions(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { admin, name, .. } = bucket;
    let put = |key: &str| admin.put_object().bucket(name).key(key).body(hello());
    put("there").send().await.expect("it is stored");

    let again = put("there").if_none_match("*").send().await;
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        racers.spawn(put("raced").if_none_match("*").send());
    }
    let won = racers.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    let other = put("there").if_match(OTHER).send().await;
    let get = admin.get_object().bucket(name).key("there").if_match(OTHER).send().await;
    let delete = admin.delete_object().bucket(name).key("there").if_match(OTHER).send().await;
    vec![
        seen("PUT `If-None-Match: *`, the key is there", "412 PreconditionFailed", refused(&again)),
        seen("16 such PUTs at once", "1 stored", format!("{won} stored")),
        seen("PUT `If-Match`, another ETag", "412 PreconditionFailed", refused(&other)),
        seen("GET `If-Match`, another ETag", "412 PreconditionFailed", refused(&get)),
        seen("DELETE `If-Match`, another ETag", "412 PreconditionFailed", refused(&delete)),
    ]
}

pub async fn checksums(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { admin, name, .. } = bucket;
    let put = |key: &str| admin.put_object().bucket(name).key(key).body(hello());

    let md5 = put("wrong").content_md5(MD5_OF_OTHER).send().await;
    let crc32 = put("wrong").checksum_crc32("AAAAAA==").send().await;
    let altered = put("wrong").customize().interceptor(Altered).send().await;
    // CRC-32 of `hello`.
    put("summed").checksum_crc32("NhCmhg==").send().await.expect("it is stored");
    let head = admin.head_object().bucket(name).key("summed").checksum_mode(ChecksumMode::Enabled);
    let kept = head.send().await.expect("it is there").checksum_crc32 == Some("NhCmhg==".into());
    vec![
        seen("a wrong Content-MD5", "400 BadDigest", refused(&md5)),
        seen("a wrong `x-amz-checksum-crc32`", "400 BadDigest", refused(&crc32)),
        seen("a body that is not the signed one", "400 XAmzContentSHA256Mismatch", refused(&altered)),
        seen("HEAD tells the checksum of the PUT", "yes", if kept { "yes" } else { "no" }),
        seen("a body in chunks, its checksum a trailer", "done", in_chunks(admin, name).await),
    ]
}

/// As the SDK sends a body that is not in memory.
async fn in_chunks(admin: &Client, bucket: &str) -> String {
    let body = SdkBody::from_body_1_x(Full::new(Bytes::from_static(b"hello")));
    let put = admin.put_object().bucket(bucket).key("chunks").body(ByteStream::new(body)).customize();
    let put =
        put.config_override(Builder::default().request_checksum_calculation(WhenSupported)).send().await;
    if put.is_err() {
        return told(&put);
    }
    let kept = admin.get_object().bucket(bucket).key("chunks").send().await.expect("it is there");
    let encoding = kept.content_encoding().filter(|encoding| !encoding.is_empty()).map(str::to_owned);
    let body = kept.body.collect().await.expect("it is whole").into_bytes();
    match (encoding, &body[..] == b"hello") {
        (None, true) => "done".into(),
        (Some(encoding), true) => format!("done, `Content-Encoding: {encoding}` stays"),
        (_, false) => "kept with the frames of its chunks".into(),
    }
}

/// Sends another body than the one that was signed.
#[derive(Debug)]
struct Altered;

impl Intercept for Altered {
    fn name(&self) -> &'static str {
        "altered"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from("other");
        Ok(())
    }
}

pub async fn many_deletions(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { admin, name, .. } = bucket;
    for key in ["a", "b"] {
        admin.put_object().bucket(name).key(key).body(hello()).send().await.expect("it is stored");
    }

    let plain = delete(admin, name, ["a", "b", "never-there"], &[]).await;
    let all = plain.as_ref().is_ok_and(|answer| answer.deleted().len() == 3 && answer.errors().is_empty());
    let unsummed = delete(admin, name, ["a"], &[("content-md5", "")]).await;
    let wrong = delete(admin, name, ["a"], &[("content-md5", MD5_OF_OTHER)]).await;
    let keys: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    let many = delete(admin, name, keys.iter().map(String::as_str), &[]).await;
    vec![
        seen(
            "DeleteObjects, one key is not there",
            "all deleted",
            if all { "all deleted".into() } else { told(&plain) },
        ),
        seen("DeleteObjects without checksum or MD5", "400 InvalidRequest", refused(&unsummed)),
        seen("DeleteObjects with a wrong MD5", "400 BadDigest", refused(&wrong)),
        seen("DeleteObjects of 1,001 keys", "400 MalformedXML", refused(&many)),
    ]
}

/// DeleteObjects with other headers in the place of its checksum; an empty one is left out.
async fn delete<'a>(
    admin: &Client,
    bucket: &str,
    keys: impl IntoIterator<Item = &'a str>,
    instead: &'static [(&'static str, &'static str)],
) -> Result<DeleteObjectsOutput, SdkError<DeleteObjectsError, HttpResponse>> {
    let objects =
        keys.into_iter().map(|key| ObjectIdentifier::builder().key(key).build().expect("it has a key"));
    let order = Delete::builder().set_objects(Some(objects.collect())).build().expect("it has objects");
    let request = admin.delete_objects().bucket(bucket).delete(order).customize();
    let request = request.mutate_request(move |request| {
        let headers = request.headers_mut();
        for (name, value) in instead {
            headers.remove("x-amz-checksum-crc32");
            headers.remove("x-amz-sdk-checksum-algorithm");
            if !value.is_empty() {
                headers.insert(*name, *value);
            }
        }
    });
    request.send().await
}

pub async fn presigned_puts(bucket: &ServedBucket) -> Vec<Seen> {
    let sign = async |name: &str, valid: Duration| {
        let key: StagedKey = format!("staging/presigned/{name}").parse().expect("it is a staged key");
        bucket.storage.presign_put(&key, 5, "image/png", valid).await.expect("there are credentials")
    };
    let [url, other_length, other_type] =
        [sign("a", MINUTE).await, sign("b", MINUTE).await, sign("c", MINUTE).await];
    let late = sign("d", Duration::from_secs(1)).await;

    let first = put(&url, "hello", "image/png").await;
    let second = put(&url, "hello", "image/png").await;
    let longer = put(&other_length, "hello!", "image/png").await;
    let typed = put(&other_type, "hello", "text/html").await;
    // Servers count in whole seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let late = put(&late, "hello", "image/png").await;
    vec![
        seen("presigned PUT, as signed", "done", first),
        seen("… again: `If-None-Match: *` is signed too", "412 PreconditionFailed", second),
        seen("… of another length", "403 SignatureDoesNotMatch", longer),
        seen("… of another type", "403 SignatureDoesNotMatch", typed),
        seen("… when its time is over", "403 AccessDenied", late),
    ]
}

async fn put(signed: &Presigned, body: &'static str, content_type: &str) -> String {
    let mut request = reqwest::Client::new().put(&signed.url).body(Bytes::from(body));
    for (name, value) in &signed.headers {
        // The client counts the bytes that it sends.
        if name != "content-length" && name != "host" && name != "content-type" {
            request = request.header(name, value);
        }
    }
    let answer = request.header("content-type", content_type).send().await.expect("the server answers");
    told_by(answer).await
}
