//! Buckets that keep versions, and rules that remove objects.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, VersioningConfiguration,
};

use crate::{
    conformance::{Seen, refused, seen, told},
    support::served::ServedBucket,
};

/// What is not asked where a server keeps no versions.
const NONE: &str = "–";

pub async fn of(bucket: &ServedBucket) -> Vec<Seen> {
    let ServedBucket { admin, originals: name, .. } = bucket;
    let status = admin.get_bucket_versioning().bucket(name).send().await;
    let never = match &status {
        Ok(status) if status.status().is_none() => "no status".to_owned(),
        _ => told(&status),
    };
    let rule = lifecycle(bucket).await;
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let on = admin.put_bucket_versioning().bucket(name).versioning_configuration(on).send().await;
    let [versions, once, marked, by_version] =
        if on.is_ok() { with_versions(bucket).await } else { [(); 4].map(|()| NONE.to_owned()) };
    vec![
        seen("GetBucketVersioning before any", "no status", never),
        seen("a lifecycle rule for `staging/`", "kept", rule),
        seen("PutBucketVersioning", "done", told(&on)),
        seen("ListObjectVersions after two PUTs and a DELETE", "2 versions, 1 marker", versions),
        seen("PUT `If-None-Match: *` there, the key is there", "412 PreconditionFailed", once),
        seen("GET of what was deleted there", "404 NoSuchKey, marked", marked),
        seen("DELETE of a version, and of the marker", "done", by_version),
    ]
}

async fn lifecycle(bucket: &ServedBucket) -> String {
    let ServedBucket { admin, originals: name, .. } = bucket;
    let rule = LifecycleRule::builder()
        .id("originals")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("staging/").build())
        .expiration(LifecycleExpiration::builder().days(7).build())
        .build()
        .expect("it is whole");
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().expect("it has a rule");
    let put =
        admin.put_bucket_lifecycle_configuration().bucket(name).lifecycle_configuration(rules).send().await;
    if put.is_err() {
        return told(&put);
    }
    let kept = admin.get_bucket_lifecycle_configuration().bucket(name).send().await;
    match &kept {
        Ok(kept) if kept.rules().len() == 1 => "kept".into(),
        _ => told(&kept),
    }
}

/// Versions, a conditional PUT, a GET of what was deleted, deletions by version.
async fn with_versions(bucket: &ServedBucket) -> [String; 4] {
    let ServedBucket { admin, originals: name, .. } = bucket;
    let put = |body: &'static [u8]| {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(body);
        admin.put_object().bucket(name).key("kept").body(body)
    };
    put(b"1").send().await.expect("it is stored");
    put(b"2").send().await.expect("it is stored");
    admin.delete_object().bucket(name).key("kept").send().await.expect("a marker is put");

    let all = admin.list_object_versions().bucket(name).prefix("kept").send().await.expect("they are listed");
    let (versions, markers) = (all.versions().len(), all.delete_markers().len());
    let get = admin.get_object().bucket(name).key("kept").send().await;
    let is_marked =
        get.as_ref().err().and_then(|error| error.raw_response()?.headers().get("x-amz-delete-marker"));
    let marked = if is_marked.is_some() { format!("{}, marked", told(&get)) } else { told(&get) };
    put(b"3").send().await.expect("it is stored");
    let once = put(b"4").if_none_match("*").send().await;

    let ids = all.versions().iter().filter_map(|version| version.version_id());
    let ids = ids.chain(all.delete_markers().iter().filter_map(|marker| marker.version_id()));
    let mut removed = "done".to_owned();
    for id in ids {
        let answer = admin.delete_object().bucket(name).key("kept").version_id(id).send().await;
        if answer.is_err() {
            removed = told(&answer);
        }
    }
    [format!("{versions} versions, {markers} marker"), refused(&once), marked, removed]
}
