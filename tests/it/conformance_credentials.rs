//! What a server says when it refuses, and whether it looks at all.

use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials, Region, retry::RetryConfig},
    error::ProvideErrorMetadata as _,
    primitives::ByteStream,
};

use crate::{
    conformance::{Seen, refused, seen, told, told_by},
    support::{
        clock::{Clock, minutes},
        served::ServedBucket,
    },
};

pub async fn error_bodies(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { admin, name, .. } = bucket;

    let key = admin.get_object().bucket(name).key("never-there").send().await;
    let missing = admin.get_object().bucket("never-there").key("a").send().await;
    let head = admin.head_object().bucket(name).key("never-there").send().await;
    let bucket = admin.head_bucket().bucket("never-there").send().await;
    let message = key.as_ref().err().and_then(|error| error.as_service_error()?.message());
    let message = if message.is_some_and(|message| !message.is_empty()) { "yes" } else { "no" };
    vec![
        seen("GET of a missing key", "404 NoSuchKey", told(&key)),
        seen("… with a message", "yes", message),
        seen("GET from a missing bucket", "404 NoSuchBucket", told(&missing)),
        seen("HEAD of a missing key", "404", told(&head)),
        seen("HEAD of a missing bucket", "404", told(&bucket)),
    ]
}

pub async fn of(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { access_key, secret_key, .. } = bucket;
    let with = async |key: &str, secret: &str, token: Option<&str>| {
        let credentials = Credentials::new(key, secret, token.map(str::to_owned), None, "test");
        ask(bucket, |client| client.credentials_provider(credentials)).await
    };

    let unknown = with("NOBODY", secret_key, None).await;
    let wrong = with(access_key, "wrong", None).await;
    let token = with(access_key, secret_key, Some("nobody-gave-this-out")).await;
    let region = ask(bucket, |client| client.region(Region::new("mars-north-1"))).await;
    let ahead = ask(bucket, |client| client.time_source(Clock::ahead(minutes(20)))).await;
    let behind = ask(bucket, |client| client.time_source(Clock::behind(minutes(20)))).await;
    let yesterday = ask(bucket, |client| client.time_source(Clock::behind(minutes(25 * 60)))).await;
    vec![
        seen("an access key that is not known", "403 InvalidAccessKeyId", unknown),
        seen("another secret", "403 SignatureDoesNotMatch", wrong),
        seen("a session token that nobody gave out", "400 InvalidToken", token),
        seen("a signature for another region", "400 AuthorizationHeaderMalformed", region),
        seen("a clock that is 20 min fast", "403 RequestTimeTooSkewed", ahead),
        seen("a clock that is 20 min slow", "403 RequestTimeTooSkewed", behind),
        seen("a clock that is 25 h slow", "403 RequestTimeTooSkewed", yesterday),
        seen("a GET without a signature", "403 AccessDenied", unsigned(bucket).await),
    ]
}

/// A listing by a client that differs in one thing, and asks once: the SDK would set its clock by the first answer.
async fn ask(bucket: &ServedBucket, alter: impl FnOnce(Builder) -> Builder) -> String {
    let once = bucket.admin.config().to_builder().retry_config(RetryConfig::disabled());
    let client = Client::from_conf(alter(once).build());
    refused(&client.list_objects_v2().bucket(&bucket.name).send().await)
}

async fn unsigned(bucket: &ServedBucket) -> String {
    let ServedBucket { admin, name, endpoint_url, .. } = bucket;
    let body = ByteStream::from_static(b"hello");
    admin.put_object().bucket(name).key("private").body(body).send().await.expect("it is stored");
    let answer = reqwest::get(format!("{endpoint_url}/{name}/private")).await.expect("the server answers");
    let told = told_by(answer).await;
    if told == "done" { "ignored".into() } else { told }
}
