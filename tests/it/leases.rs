//! Whoever has lost the lease of a job stores nothing for it, even before the heartbeat tells.

use std::time::Duration;

use darkroom::{
    config::steps::Step,
    queue::{
        lease::LeaseKey,
        tombstone::{Look, Tombstones},
    },
};
use darkroom_jobs::{ImageId, Kind, ObjectKey, Status, Timestamp};
use redis::AsyncCommands as _;

use crate::support::{
    darkroom::{TestDarkroom, picture},
    scripts::{DONE, Scripts},
};

#[tokio::test]
async fn a_look_lets_the_delivery_that_holds_the_job_go_on_and_no_other() {
    let mut scripts = Scripts::start().await;
    let tombstones = Tombstones::new(scripts.connection(), scripts.keys.clone(), Duration::from_secs(60));
    let key = ObjectKey::user_photo(&"1".parse().unwrap(), &ImageId::random());
    let look = async |job: &str, token: &str| {
        let lease = LeaseKey { kind: Kind::Upload, id: job.into(), token: token.to_owned() };
        tombstones.look(&lease, Timestamp::from_unix_ms(1), &key, &key.owner()).await.unwrap()
    };
    let token = scripts.leased("a").await;

    let holder = look("a", &token).await;
    let others = [look("a", "another").await, look("forgotten", &token).await];
    scripts.settle("a", &token, &DONE).await.unwrap();
    let settled = look("a", &token).await;

    assert_eq!(holder, Look::Wanted { since: None });
    assert_eq!((others, settled), ([Look::LeaseLost; 2], Look::LeaseLost));
}

#[tokio::test]
async fn a_worker_asks_before_a_put_whether_the_lease_is_its_own_and_stores_nothing_when_it_is_not() {
    let mut darkroom = TestDarkroom::start().await;
    // No beat tells it.
    let seldom = [("DARKROOM_LEASE_MS", "600000"), ("DARKROOM_HEARTBEAT_MS", "300000")];
    let worker = darkroom.worker_stopping_at(Step::Normalized, &seldom);
    let (job, key) = darkroom.upload(picture("plain.jpg")).await;
    worker.reached(Step::Normalized).await;

    let meta = format!("{{darkroom}}:upload:meta:{job}");
    let () = darkroom.redis.hset(meta, "dr_token", "another").await.expect("redis answers");
    darkroom.let_go_on();
    worker.logged(&["delivery given up"]).await;

    assert!(!darkroom.storage.exists(&key).await.expect("the bucket answers"));
    let receipt = darkroom.producer.receipt(&job).await.expect("redis answers").expect("the job is known");
    assert_eq!((receipt.status, receipt.attempts), (Status::Running, 0));
}
