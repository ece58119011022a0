//! The scripts of the look at the bucket, each confined to its keys.

use darkroom::queue::scripts;
use darkroom_jobs::Kind;
use redis::AsyncCommands as _;

use crate::support::scripts::Scripts;

const PAYLOAD: &str = r#"{"v":1}"#;

async fn slot(scripts: &mut Scripts, job: &str) -> u8 {
    let q = scripts.keys.queue(Kind::BucketHealth);
    let meta = format!("{}{job}", q.meta_prefix());
    let keys = [q.slot(), q.data(), meta, q.active(), q.scheduled(), q.leases(), scripts.keys.wake()];
    let args = ["3600000", job, PAYLOAD, "bucket_health", "1"].map(str::to_owned);
    scripts.call(&scripts::SLOT_ENQUEUE, &keys, &args).await.expect("the script is answered")
}

async fn report(scripts: &mut Scripts, status: &str) -> String {
    let keys = [scripts.keys.health(), scripts.keys.events()];
    let args = [status, "the record", "the event"].map(str::to_owned);
    scripts.call(&scripts::HEALTH_WRITE, &keys, &args).await.expect("the script is answered")
}

async fn events(scripts: &mut Scripts) -> usize {
    let key = scripts.keys.events();
    scripts.redis.xlen(key).await.expect("redis answers")
}

#[tokio::test]
async fn a_slot_has_one_job_however_often_it_is_asked_for_and_that_job_can_be_claimed() {
    let mut scripts = Scripts::start().await;

    let answers =
        [slot(&mut scripts, "a").await, slot(&mut scripts, "a").await, slot(&mut scripts, "b").await];

    assert_eq!(answers, [1, 0, 0]);
    scripts.queue = scripts.keys.queue(Kind::BucketHealth);
    assert_eq!(scripts.active().await, ["a"]);
    let rows = scripts.claim(&["t"]).await;
    assert_eq!((rows[0].payload.as_str(), rows[0].attempts, rows[0].max_attempts), (PAYLOAD, 0, 1));
}

#[tokio::test]
async fn a_report_is_announced_when_its_status_is_another_one_and_kept_in_any_case() {
    let mut scripts = Scripts::start().await;

    let mut before = Vec::new();
    for status in ["ok", "down", "down", "degraded"] {
        before.push((report(&mut scripts, status).await, events(&mut scripts).await));
    }

    let expected = [("", 0), ("ok", 1), ("", 1), ("down", 2)];
    assert_eq!(before, expected.map(|(status, events)| (status.to_owned(), events)));
    let key = scripts.keys.health();
    let kept: (String, String) =
        scripts.redis.hmget(key, &["status", "record"]).await.expect("redis answers");
    assert_eq!(kept, ("degraded".to_owned(), "the record".to_owned()));
}
