//! Object Lock on a real server: what is retained or held keeps an erasure from being called one, until it is free.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::{
    primitives::{ByteStream, DateTime},
    types::{
        ObjectLockLegalHold,
        ObjectLockLegalHoldStatus::{Off, On},
        ObjectLockRetention,
        ObjectLockRetentionMode::{self, Compliance, Governance},
    },
};
use darkroom_jobs::{ErrorCode, ImageId, JobId, ObjectKey, Receipt, Status, Target};

use crate::support::{
    ceph::ceph,
    darkroom::{TestDarkroom, picture},
    deleting::{QUICK, owner, user},
    served::{ServedBucket, Server},
};

/// A bucket that was made with Object Lock, with pictures of a user.
struct Locked {
    bucket: ServedBucket,
    darkroom: TestDarkroom,
}

impl Locked {
    async fn start(test: &str) -> Option<Self> {
        let ceph = ceph(test)?;
        let bucket = ServedBucket::locking_on(Server::Ceph(ceph)).await;
        Some(Self { bucket, darkroom: TestDarkroom::start().await })
    }

    /// Puts a picture, and tells its version.
    async fn put(&self) -> (ObjectKey, String) {
        let key = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
        let body = ByteStream::from(picture("plain.jpg"));
        let put = self.bucket.admin.put_object().bucket(&self.bucket.name).key(key.as_str()).body(body);
        let version = put.send().await.expect("it is stored").version_id;
        (key, version.expect("versions are kept"))
    }

    async fn retain(&self, key: &ObjectKey, mode: ObjectLockRetentionMode, until: SystemTime) {
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(DateTime::from(until));
        let order = self.bucket.admin.put_object_retention().bucket(&self.bucket.name).key(key.as_str());
        order.retention(retention.build()).send().await.expect("the server locks");
    }

    async fn hold(&self, key: &ObjectKey, status: aws_sdk_s3::types::ObjectLockLegalHoldStatus) {
        let hold = ObjectLockLegalHold::builder().status(status).build();
        let order = self.bucket.admin.put_object_legal_hold().bucket(&self.bucket.name).key(key.as_str());
        order.legal_hold(hold).send().await.expect("the server holds");
    }

    async fn receipt_of(&self, job: &JobId) -> Receipt {
        self.darkroom.final_receipt(job).await
    }

    /// Keys of all versions of pictures.
    async fn left(&self) -> Vec<String> {
        let all = self.bucket.admin.list_object_versions().bucket(&self.bucket.name).prefix("user_photos/");
        let versions = all.send().await.expect("the server answers").versions.unwrap_or_default();
        versions.into_iter().filter_map(|version| version.key).collect()
    }
}

/// What a receipt says of a blocked erasure: how many objects stay, and S3's word.
fn blocked(receipt: &Receipt) -> (u64, String) {
    let error = receipt.error.as_ref().expect("it says why");
    assert_eq!(
        (receipt.status, error.code, receipt.attempts),
        (Status::Failed, ErrorCode::ErasureBlocked, 1)
    );
    let detail = error.detail.as_ref().expect("it names one");
    (detail["objects"].as_u64().expect("a number"), detail["reason"].as_str().expect("a word").to_owned())
}

#[tokio::test]
async fn what_object_lock_retains_or_holds_blocks_an_erasure_until_it_is_free() {
    let Some(locked) = Locked::start("an erasure that Object Lock blocks").await else { return };
    let now = SystemTime::now();
    let (governed, version) = locked.put().await;
    let (retained, held, free) = (locked.put().await.0, locked.put().await.0, locked.put().await.0);
    let retained_until = now + Duration::from_secs(20);
    locked.retain(&governed, Governance, now + Duration::from_secs(86_400)).await;
    locked.retain(&retained, Compliance, retained_until).await;
    locked.hold(&held, On).await;
    let _worker = locked.darkroom.worker(&[&[QUICK], &locked.bucket.environment()[..]].concat());

    let job = locked.darkroom.delete(user("u1")).await;
    let first = locked.receipt_of(&job).await;
    let left = locked.left().await;
    locked.hold(&held, Off).await;
    let bypass = locked.bucket.admin.delete_object().bucket(&locked.bucket.name).key(governed.as_str());
    let bypass = bypass.version_id(version).bypass_governance_retention(true);
    bypass.send().await.expect("whoever governs may remove it");
    tokio::time::sleep(retained_until.duration_since(SystemTime::now()).unwrap_or_default()).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // the lock has seconds
    locked.darkroom.operator().retry(&job).await.expect("it is dead");
    let last = locked.receipt_of(&job).await;

    assert_eq!(blocked(&first), (3, "AccessDenied".into()));
    let mut stayed = [governed.to_string(), retained.to_string(), held.to_string()];
    stayed.sort();
    assert_eq!(
        (left, first.deletion.as_ref().map(|deletion| deletion.objects)),
        (stayed.into(), Some(1)),
        "{free}"
    );
    let deletion = last.deletion.expect("it says what it removed");
    assert_eq!((last.status, deletion.verified, deletion.objects), (Status::Done, true, 2));
    // The user who comes back meanwhile is not deleted with what was retried.
    assert_eq!(deletion.deleted_at, first.deletion.and_then(|deletion| deletion.deleted_at));
    assert_eq!(locked.left().await, [""; 0]);
}

#[tokio::test]
async fn an_image_that_is_held_is_not_called_deleted() {
    let Some(locked) = Locked::start("a deletion that Object Lock blocks").await else { return };
    let (key, _) = locked.put().await;
    locked.hold(&key, On).await;
    let image_id = key.stem().rsplit('/').next().and_then(|id| id.parse().ok()).expect("it is an image");
    let target = Target::UserPhoto { user_id: owner("u1"), image_id };
    let _worker = locked.darkroom.worker(&locked.bucket.environment());

    let job = locked.darkroom.delete(target).await;
    let first = locked.receipt_of(&job).await;
    locked.hold(&key, Off).await;
    locked.darkroom.operator().retry(&job).await.expect("it is dead");
    let last = locked.receipt_of(&job).await;

    assert_eq!(blocked(&first), (1, "AccessDenied".into()));
    let deletion = last.deletion.expect("it says what it removed");
    assert_eq!((last.status, deletion.verified, locked.left().await), (Status::Done, true, Vec::new()));
}
