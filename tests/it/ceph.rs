//! What only a server with versions, rules and policies can show: Ceph, which Hetzner runs.

use aws_sdk_s3::{
    Client,
    types::{
        BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
        LifecycleRuleFilter,
    },
};
use bytes::Bytes;
use darkroom::storage::{
    list::Prefix,
    probe::{Health, HealthStatus, Versioning, finding::FindingCode},
    put::ObjectAttributes,
};
use darkroom_jobs::{Delete, ErrorCode, ObjectKey, Status, Target};

use crate::support::{
    bucket::fresh_key,
    ceph::ceph,
    darkroom::{TestDarkroom, picture},
    served::{ServedBucket, Server},
};

fn findings(health: &Health) -> Vec<FindingCode> {
    health.findings.iter().map(|finding| finding.code).collect()
}

async fn expire_staging(admin: &Client, bucket: &str) {
    let rule = LifecycleRule::builder()
        .id("originals")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("staging/").build())
        .expiration(LifecycleExpiration::builder().days(7).build());
    let rules = BucketLifecycleConfiguration::builder().rules(rule.build().expect("it is whole"));
    let order = admin.put_bucket_lifecycle_configuration().bucket(bucket);
    let order = order.lifecycle_configuration(rules.build().expect("it has a rule"));
    order.send().await.expect("the gateway keeps rules");
}

async fn allow(bucket: &ServedBucket, effect: &str, action: &str, resource: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":"*","Action":"{action}",
            "Resource":"arn:aws:s3:::{}/{resource}"}}]}}"#,
        bucket.name
    );
    let order = bucket.admin.put_bucket_policy().bucket(&bucket.name).policy(policy);
    order.send().await.expect("the gateway keeps policies");
}

#[tokio::test]
async fn a_bucket_without_a_rule_for_originals_is_degraded_and_one_with_it_ok() {
    let Some(ceph) = ceph("the lifecycle rule of originals") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;

    let without = bucket.storage.probe().await;
    expire_staging(&bucket.admin, &bucket.name).await;
    let with = bucket.storage.probe().await;

    assert_eq!(
        (without.status, findings(&without)),
        (HealthStatus::Degraded, vec![FindingCode::StagingLifecycleMissing])
    );
    assert_eq!((with.status, with.findings), (HealthStatus::Ok, vec![]));
    assert_eq!((with.learnt.versioning, with.learnt.conditional_writes), (Versioning::Off, Some(true)));
}

#[tokio::test]
async fn originals_that_anybody_can_read_are_found() {
    let Some(ceph) = ceph("public originals") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    expire_staging(&bucket.admin, &bucket.name).await;
    allow(&bucket, "Allow", "s3:GetObject", "*").await;

    let health = bucket.storage.probe().await;

    assert_eq!(
        (health.status, findings(&health)),
        (HealthStatus::Degraded, vec![FindingCode::StagingPublic])
    );
    assert_eq!(health.learnt.staging_public, Some(true));
}

#[tokio::test]
async fn a_bucket_with_versions_ignores_the_condition_and_the_probe_leaves_no_version() {
    let Some(ceph) = ceph("the probe of a bucket with versions") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    expire_staging(&bucket.admin, &bucket.name).await;
    bucket.keep_versions().await;

    let health = bucket.storage.probe().await;

    assert_eq!(findings(&health), [FindingCode::Versioned, FindingCode::ConditionalWritesMissing]);
    let left = bucket.storage.list_versions(&Prefix::everything(), None).await.expect("the gateway answers");
    let left: Vec<_> = left.expect("Ceph lists versions").entries;
    assert!(left.iter().all(|entry| entry.is_marker), "{left:?}");
}

#[tokio::test]
async fn a_probe_notices_that_versions_are_kept_from_now_on_and_pictures_are_not_overwritten() {
    let Some(ceph) = ceph("versions that are switched on later") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    let key = fresh_key();
    let of = |sha256: &str| ObjectAttributes { source_sha256: Some(sha256.into()), ..Default::default() };
    bucket.storage.put_once(&key, Bytes::from("first"), &of("aa")).await.expect("it is stored");
    bucket.keep_versions().await;

    bucket.storage.probe().await;
    let other = bucket.storage.put_once(&key, Bytes::from("other"), &of("bb")).await;

    assert_eq!(other.expect_err("another picture is there").code(), ErrorCode::KeyConflict);
}

#[tokio::test]
async fn a_right_that_is_missing_is_denied_by_name() {
    let Some(ceph) = ceph("a denied right") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    allow(&bucket, "Deny", "s3:PutObject", "_darkroom/*").await;

    let health = bucket.storage.probe().await;

    let error = health.error.expect("it is down");
    assert_eq!((health.status, error.code), (HealthStatus::Down, ErrorCode::StorageDenied));
    assert!(error.message.contains("PutObject") && error.hint.contains("S3_ACCESS_KEY_ID"), "{error:?}");
}

#[tokio::test]
async fn a_check_notices_that_originals_may_not_be_staged() {
    let Some(ceph) = ceph("originals that may not be staged") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.storage.check().await.expect("everything is allowed");
    allow(&bucket, "Deny", "s3:PutObject", "staging/*").await;

    let refused = bucket.storage.check().await;

    assert_eq!(refused.expect_err("nothing can be staged").code(), ErrorCode::StorageDenied);
}

#[tokio::test]
async fn originals_that_may_not_be_got_or_removed_are_down_for_the_report_as_for_the_breaker() {
    let Some(ceph) = ceph("originals that may not be got") else { return };
    for (action, operation) in
        [("s3:GetObject", "GetObject below staging/"), ("s3:DeleteObject", "DeleteObject below staging/")]
    {
        let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
        allow(&bucket, "Deny", action, "staging/*").await;

        let health = bucket.storage.probe().await;
        let check = bucket.storage.check().await;

        let error = health.error.expect("it is down");
        assert_eq!((health.status, error.code), (HealthStatus::Down, ErrorCode::StorageDenied));
        assert!(error.message.contains(operation), "{error:?}");
        assert_eq!(check.expect_err("jobs would fail").code(), ErrorCode::StorageDenied);
    }
}

#[tokio::test]
async fn of_many_deletions_the_one_that_is_denied_is_told_and_the_others_are_done() {
    let Some(ceph) = ceph("a deletion that is denied") else { return };
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    let keys = [fresh_key(), fresh_key(), fresh_key()];
    for key in &keys {
        bucket.storage.upload(key, Bytes::from("x"), &ObjectAttributes::default()).await.expect("stored");
    }
    allow(&bucket, "Deny", "s3:DeleteObject", keys[1].as_str()).await;
    let all = bucket.storage.list(&Prefix::everything(), None).await.expect("the gateway answers").entries;

    let stayed = bucket.storage.delete_many(&all).await.expect("the gateway answers");

    let stayed: Vec<_> = stayed.iter().map(|stayed| (stayed.key.as_str(), stayed.code.as_str())).collect();
    assert_eq!(stayed, [(keys[1].as_str(), "AccessDenied")]);
    for (key, there) in keys.iter().zip([false, true, false]) {
        assert_eq!(bucket.storage.exists(key).await.expect("the gateway answers"), there, "{key}");
    }
}

#[tokio::test]
async fn an_image_is_deleted_with_all_its_versions_and_markers() {
    let Some(ceph) = ceph("the deletion of versions") else { return };
    let darkroom = TestDarkroom::start().await;
    let bucket = ServedBucket::on(Server::Ceph(ceph)).await;
    bucket.keep_versions().await;
    let (user_id, image_id) = ("u1".parse().expect("an id"), darkroom_jobs::ImageId::random());
    let key = ObjectKey::user_photo(&user_id, &image_id);
    for _ in 0..3 {
        let picture = Bytes::from(picture("plain.jpg"));
        bucket.storage.upload(&key, picture, &ObjectAttributes::default()).await.expect("stored");
    }
    bucket.storage.delete(&key).await.expect("a marker is put");
    let _worker = darkroom.worker(&bucket.environment());

    let target = Target::UserPhoto { user_id, image_id };
    let job = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    let deletion = receipt.deletion.expect("a deletion says what it removed");
    assert_eq!((receipt.status, deletion.verified, deletion.versions_known), (Status::Done, true, true));
    assert_eq!((deletion.objects, deletion.versions, deletion.markers), (0, 3, 1));
    let left = bucket.storage.list_versions(&Prefix::image(&key), None).await.expect("the gateway answers");
    assert!(left.expect("Ceph lists versions").entries.is_empty());
}
