//! Storage against real servers: each promise on every one of them.

use std::{collections::BTreeSet, error::Error as _};

use aws_sdk_s3::config::{Credentials, retry::RetryConfig};
use bytes::Bytes;
use darkroom::storage::{
    Storage,
    error::{Error, ErrorKind},
    list::Prefix,
    probe::finding::FindingCode,
    put::{CACHE_PRIVATE, ObjectAttributes},
};
use darkroom_jobs::{ErrorCode, ImageId, JobId, ObjectKey, OwnerId, OwnerPrefix, StagedKey};
use tokio::task::JoinSet;

use crate::{
    on_each_server,
    support::{
        bucket::{TestBucket, fresh_key},
        clock::{Clock, minutes},
        served::{Oddity, ServedBucket, Server},
    },
};

on_each_server! {
    what_was_uploaded_is_downloaded_with_its_type_and_hash
    what_was_deleted_is_gone_and_deleting_again_is_a_success
    a_redelivered_job_finds_its_own_object_and_describes_it
    another_job_with_the_same_original_succeeds_and_one_with_another_conflicts
    asking_for_conditional_writes_leaves_nothing_behind
    an_owner_of_2_500_objects_is_listed_in_pages_and_deleted_without_a_neighbor
    originals_have_a_bucket_of_their_own_and_every_name_the_prefix
    of_32_racing_puts_that_must_not_overwrite_one_wins
    an_object_of_another_etag_is_not_read
    a_bucket_that_is_not_there_is_a_wrong_setting_that_is_named
    wrong_credentials_are_denied_and_the_variable_is_named
    a_bucket_whose_region_is_another_is_a_wrong_setting_that_is_named
    a_clock_that_is_off_stops_nothing
    a_clock_that_is_off_and_not_mended_is_a_wrong_setting_that_is_named
    a_session_token_that_nobody_gave_out_is_denied
    a_probe_finds_what_is_known_of_the_server_and_leaves_nothing_behind
    a_refusal_of_a_head_is_told_with_its_reason
    a_checksum_that_is_asked_for_is_taken
}

/// S3 takes 15 minutes for too much.
const CLOCKS: [Clock; 2] = [Clock::ahead(minutes(20)), Clock::behind(minutes(20))];

fn of_job(job: &JobId) -> ObjectAttributes {
    ObjectAttributes {
        content_type: Some("image/jpeg".into()),
        cache_control: Some(CACHE_PRIVATE.into()),
        job_id: Some(job.clone()),
        enqueued_ms: Some(1_700_000_000_123),
        ..Default::default()
    }
}

async fn what_was_uploaded_is_downloaded_with_its_type_and_hash(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let (key, job) = (fresh_key(), JobId::generate());

    let stored = bucket.storage.upload(&key, Bytes::from("hi"), &of_job(&job)).await.expect("it is stored");

    let found = bucket.storage.download(&key, 2, stored.etag.as_deref()).await.expect("it is there");
    assert_eq!((&found.bytes[..], found.content_type.as_deref()), (&b"hi"[..], Some("image/jpeg")));
    assert_eq!(found.sha256, "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4");
    let head = bucket.storage.head(&key).await.expect("the server answers").expect("it is there");
    assert_eq!(
        (head.size, head.job_id(), head.enqueued_ms()),
        (2, Some(job.as_str()), Some(1_700_000_000_123))
    );
}

async fn what_was_deleted_is_gone_and_deleting_again_is_a_success(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let key = fresh_key();
    bucket.storage.upload(&key, Bytes::from("hi"), &ObjectAttributes::default()).await.expect("it is stored");

    for _ in 0..2 {
        bucket.storage.delete(&key).await.expect("deleting is idempotent");
    }

    assert!(!bucket.storage.exists(&key).await.expect("the server answers"));
    let error = bucket.storage.download(&key, 9, None).await.expect_err("it is gone");
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, ErrorCode::SourceMissing));
}

async fn a_redelivered_job_finds_its_own_object_and_describes_it(server: Server) {
    let bucket = ServedBucket::on(server).await;
    for switch in ["auto", "on", "off"] {
        let storage = bucket.storage_with(&["--s3-conditional-writes", switch]).await;
        let (key, job) = (fresh_key(), JobId::generate());
        let first = storage.put_once(&key, Bytes::from("first"), &of_job(&job)).await;

        let second = storage.put_once(&key, Bytes::from("other pixels"), &of_job(&job)).await;

        let (first, second) = (first.expect("it is stored"), second.expect("it is ours"));
        if switch == "on" && server.has(Oddity::IgnoresConditions) {
            assert!(!second.already_there, "what the setting promises is not kept");
            continue;
        }
        assert_eq!((first.already_there, second.already_there), (false, true), "{switch}");
        assert_eq!((second.size, &second.etag, second.same_bytes), (5, &first.etag, false), "{switch}");
    }
}

async fn another_job_with_the_same_original_succeeds_and_one_with_another_conflicts(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let key = fresh_key();
    let of =
        |sha256: &str| ObjectAttributes { source_sha256: Some(sha256.into()), ..of_job(&JobId::generate()) };
    bucket.storage.put_once(&key, Bytes::from("a"), &of("aa")).await.expect("it is stored");

    let same = bucket.storage.put_once(&key, Bytes::from("a"), &of("aa")).await;
    let other = bucket.storage.put_once(&key, Bytes::from("b"), &of("bb")).await;

    assert!(same.expect("it is the same original").same_bytes);
    assert_eq!(other.expect_err("it is another picture").code(), ErrorCode::KeyConflict);
    assert_eq!(bucket.storage.download(&key, 9, None).await.expect("it stayed").bytes, "a");
}

async fn asking_for_conditional_writes_leaves_nothing_behind(server: Server) {
    let bucket = ServedBucket::on(server).await;

    bucket
        .storage
        .put_once(&fresh_key(), Bytes::from("a"), &of_job(&JobId::generate()))
        .await
        .expect("stored");

    let page = bucket.storage.list(&Prefix::everything(), None).await.expect("the server answers");
    assert_eq!(page.entries.len(), 1);
}

async fn an_owner_of_2_500_objects_is_listed_in_pages_and_deleted_without_a_neighbor(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let [one, ten]: [OwnerId; 2] = ["1", "10"].map(|id| id.parse().expect("it is an id"));
    let mut uploads = JoinSet::new();
    for _ in 0..10 {
        let (storage, one) = (bucket.storage.clone(), one.clone());
        uploads.spawn(async move {
            for _ in 0..250 {
                let key = ObjectKey::user_photo(&one, &ImageId::random());
                let stored = storage.upload(&key, Bytes::new(), &ObjectAttributes::default()).await;
                stored.expect("it is stored");
            }
        });
    }
    uploads.join_all().await;
    let neighbor = ObjectKey::user_photo(&ten, &ImageId::random());
    let stored = bucket.storage.upload(&neighbor, Bytes::new(), &ObjectAttributes::default()).await;
    stored.expect("it is stored");

    let prefix = Prefix::owner(&OwnerPrefix::user(&one));
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let page = bucket.storage.list(&prefix, from).await.expect("the server answers");
        found.extend(page.entries);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let stayed = bucket.storage.delete_many(&found).await.expect("the server answers");

    assert_eq!(found.iter().map(|entry| &entry.key).collect::<BTreeSet<_>>().len(), 2_500);
    assert!(stayed.is_empty());
    let rest = bucket.storage.list(&Prefix::everything(), None).await.expect("the server answers").entries;
    assert_eq!(rest.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), [neighbor.as_str()]);
}

#[tokio::test]
async fn versions_are_unknown_where_the_server_does_not_list_them() {
    let bucket = TestBucket::start().await;

    let versions = bucket.storage.list_versions(&Prefix::everything(), None).await;

    assert!(versions.expect("that is no error").is_none());
}

async fn originals_have_a_bucket_of_their_own_and_every_name_the_prefix(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let originals = format!("--s3-staging-bucket={}", bucket.originals);
    let storage = bucket.storage_with(&[&originals, "--s3-prefix=shop/"]).await;
    let staged: StagedKey = "staging/a".parse().expect("it is a staged key");
    let (key, attributes) = (fresh_key(), ObjectAttributes::default());

    for key in [&key, &ObjectKey::staged(&staged)] {
        storage.upload(key, Bytes::from("x"), &attributes).await.expect("it is stored");
    }

    let seen = bucket.storage.list(&Prefix::everything(), None).await.expect("the server answers").entries;
    assert_eq!(seen.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), [format!("shop/{key}")]);
    let staging = storage.list(&Prefix::staging(), None).await.expect("the server answers").entries;
    assert_eq!(staging[0].key, "staging/a");
}

async fn of_32_racing_puts_that_must_not_overwrite_one_wins(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let storage = bucket.storage_with(&["--s3-conditional-writes=on"]).await;
    let key = fresh_key();

    let mut racers = JoinSet::new();
    for racer in 0..32 {
        let (storage, key) = (storage.clone(), key.clone());
        racers.spawn(async move {
            let body = Bytes::from(format!("racer {racer}"));
            storage.put_once(&key, body, &of_job(&JobId::generate())).await.is_ok()
        });
    }
    let winners = racers.join_all().await.into_iter().filter(|won| *won).count();

    assert_eq!(winners, if server.has(Oddity::IgnoresConditions) { 32 } else { 1 });
}

async fn an_object_of_another_etag_is_not_read(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let key = fresh_key();
    bucket.storage.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("it is stored");

    let error = bucket.storage.download(&key, 9, Some("\"0123456789abcdef0123456789abcdef\"")).await;

    assert_eq!(error.expect_err("it is another one").code(), ErrorCode::SourceChanged);
}

async fn a_bucket_that_is_not_there_is_a_wrong_setting_that_is_named(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let staging = bucket.storage_with(&["--s3-staging-bucket=missing-bucket"]).await;
    let missing = bucket.storage_with(&["--s3-bucket=missing-bucket"]).await;
    let key = ObjectKey::staged(&"staging/a".parse().expect("it is a staged key"));

    let put = staging.upload(&key, Bytes::from("x"), &ObjectAttributes::default()).await;
    let head = missing.head_bucket().await;

    for error in [put.expect_err("there is no bucket"), head.expect_err("there is no bucket")] {
        assert_eq!(error.code(), ErrorCode::StorageMisconfigured);
        assert!(error.to_string().contains("S3_BUCKET"), "{error}");
    }
    staging.head_bucket().await.expect("the other one is there");
}

async fn wrong_credentials_are_denied_and_the_variable_is_named(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let cases = [
        ("--s3-secret-access-key=wrong", "S3_SECRET_ACCESS_KEY"),
        ("--s3-access-key-id=NOBODY", "S3_ACCESS_KEY_ID"),
    ];

    for (wrong, variable) in cases {
        let storage = bucket.storage_with(&[wrong]).await;
        let refused = refusal(server.has(Oddity::TakesAnySignature), &storage).await;

        assert!(refused.is_none_or(|error| is(&error, ErrorCode::StorageDenied, variable)), "{wrong}");
    }
}

async fn a_bucket_whose_region_is_another_is_a_wrong_setting_that_is_named(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let storage = bucket.storage_with(&["--s3-region=mars-north-1"]).await;

    let refused = refusal(server.has(Oddity::TakesAnyRegion), &storage).await;

    assert!(refused.is_none_or(|error| is(&error, ErrorCode::StorageMisconfigured, "S3_REGION")));
}

async fn a_clock_that_is_off_stops_nothing(server: Server) {
    let bucket = ServedBucket::on(server).await;
    for clock in CLOCKS {
        let new = || bucket.storage.altered(|client| client.time_source(clock));

        new().head_bucket().await.expect("a HEAD that was refused is repeated at the right time");
        let put = new().upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;
        let health = new().probe().await;

        put.expect("the SDK sets its clock by the server's");
        assert_eq!(health.error, None, "{clock:?}");
    }
}

async fn a_clock_that_is_off_and_not_mended_is_a_wrong_setting_that_is_named(server: Server) {
    let bucket = ServedBucket::on(server).await;
    for clock in CLOCKS {
        let once = RetryConfig::disabled();
        let storage = bucket.storage.altered(|client| client.time_source(clock).retry_config(once));

        let refused = refusal(server.has(Oddity::TakesAnyTime), &storage).await;

        assert!(
            refused.is_none_or(|error| is(&error, ErrorCode::StorageMisconfigured, "clock")),
            "{clock:?}"
        );
    }
}

async fn a_session_token_that_nobody_gave_out_is_denied(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let (key, secret) = (bucket.access_key.clone(), bucket.secret_key.clone());
    let borrowed = Credentials::new(key, secret, Some("nobody-gave-this-out".into()), None, "test");
    let storage = bucket.storage.altered(|client| client.credentials_provider(borrowed));

    let refused = refusal(server.has(Oddity::TakesAnyToken), &storage).await;

    assert!(refused.is_none_or(|error| is(&error, ErrorCode::StorageDenied, "AWS_SESSION_TOKEN")));
}

/// What asking for an object that is not there is refused with; `None` where the server is known to take the request.
async fn refusal(taken: bool, storage: &Storage) -> Option<Error> {
    let error = storage.download(&fresh_key(), 9, None).await.expect_err("there is no such object");
    assert_eq!(error.kind() == ErrorKind::NotFound, taken, "{error} {:?}", error.source());
    (!taken).then_some(error)
}

/// Whether message and hint name the setting.
fn is(error: &Error, code: ErrorCode, setting: &str) -> bool {
    let named = error.to_string().contains(setting) && error.hint().contains(setting);
    assert!(error.code() == code && named, "{error} {:?}: {}", error.source(), error.hint());
    true
}

async fn a_probe_finds_what_is_known_of_the_server_and_leaves_nothing_behind(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let expected = [
        (server.has(Oddity::TellsLifecycle), FindingCode::StagingLifecycleMissing),
        (server.has(Oddity::IgnoresConditions), FindingCode::ConditionalWritesMissing),
    ];

    let health = bucket.storage.probe().await;

    let found: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
    let expected: Vec<_> = expected.into_iter().filter(|(has, _)| *has).map(|(_, code)| code).collect();
    assert_eq!((found, health.error), (expected, None));
    assert_eq!(health.learnt.conditional_writes, Some(!server.has(Oddity::IgnoresConditions)));
    bucket.storage.check().await.expect("a bucket that is not down passes the breaker's check");
    let left = bucket.storage.list(&Prefix::everything(), None).await.expect("the server answers").entries;
    assert!(left.is_empty(), "{left:?}");
}

async fn a_refusal_of_a_head_is_told_with_its_reason(server: Server) {
    let bucket = ServedBucket::on(server).await;
    let storage = bucket.storage_with(&["--s3-secret-access-key=wrong"]).await;
    if server.has(Oddity::TakesAnySignature) {
        return storage.head_bucket().await.expect("no signature is looked at");
    }

    let of_bucket = storage.head_bucket().await.expect_err("the key is wrong");
    let of_object = storage.head(&fresh_key()).await.expect_err("the key is wrong");

    let word = if server.has(Oddity::NamesNoCredential) { "AccessDenied" } else { "SignatureDoesNotMatch" };
    for error in [of_bucket, of_object] {
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(said.starts_with(word), "{error}: {said}");
    }
}

async fn a_checksum_that_is_asked_for_is_taken(server: Server) {
    let bucket = ServedBucket::on(server).await;
    for checksum in ["when_required", "crc32", "sha256"] {
        let storage = bucket.storage_with(&["--s3-checksum", checksum]).await;
        let key = fresh_key();

        storage.upload(&key, Bytes::from("hello"), &ObjectAttributes::default()).await.expect("it is stored");

        let found = storage.download(&key, 9, None).await.expect("it is there");
        assert_eq!(found.bytes, "hello", "{checksum}");
    }
}
