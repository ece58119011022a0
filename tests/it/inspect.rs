//! A look at the queues, wherever jobs are and whatever their ids.

use darkroom::queue::inspect::Inspector;
use darkroom_jobs::{ImageId, JobId, Kind, Receipt, Source, Status, Upload};

use crate::support::darkroom::TestDarkroom;

const QUEUE: &str = "{darkroom}:upload";

async fn enqueued(darkroom: &TestDarkroom) -> JobId {
    let source = Source::Inline { base64: "bm8gcGljdHVyZQ==".into() };
    let upload = Upload { user_id: "u1".parse().expect("an id"), image_id: ImageId::random(), source };
    darkroom.producer.enqueue(upload).await.expect("redis takes jobs")
}

/// Puts a ready job where a worker would have left it.
async fn moved(darkroom: &TestDarkroom, job: &JobId, place: &str, score: u64, fields: &[(&str, String)]) {
    let mut pipeline = redis::pipe();
    pipeline.cmd("LREM").arg(format!("{QUEUE}:active")).arg(0).arg(job.as_str()).ignore();
    pipeline.zadd(format!("{QUEUE}:{place}"), job.as_str(), score).ignore();
    for (field, value) in fields {
        pipeline.hset(format!("{QUEUE}:meta:{job}"), *field, value).ignore();
    }
    let () = pipeline.query_async(&mut darkroom.redis.clone()).await.expect("redis answers");
}

fn receipt(job: &JobId, status: Status) -> Receipt {
    Receipt::new(job.clone(), Kind::Upload, status)
}

async fn ids(inspector: &Inspector, status: Option<Status>, limit: usize) -> Vec<JobId> {
    let found = inspector.list(Kind::Upload, status, limit).await.expect("redis answers");
    found.into_iter().map(|receipt| receipt.job_id).collect()
}

#[tokio::test]
async fn a_job_is_found_by_its_status_wherever_it_is() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let [queued, running, retrying, failed, done] = [
        enqueued(&darkroom).await,
        enqueued(&darkroom).await,
        enqueued(&darkroom).await,
        enqueued(&darkroom).await,
        enqueued(&darkroom).await,
    ];
    let json = |receipt: Receipt| serde_json::to_string(&receipt).expect("it is JSON");
    let settled = |job, status| [("result", format!("{{\"Ok\":{}}}", json(receipt(job, status))))];
    moved(&darkroom, &running, "leases", u64::MAX, &[]).await;
    let last = [("dr_last", json(receipt(&retrying, Status::Retrying)))];
    moved(&darkroom, &retrying, "scheduled", 4_000_000_000, &last).await;
    moved(&darkroom, &failed, "dead", 1, &settled(&failed, Status::Failed)).await;
    moved(&darkroom, &done, "done", 1, &settled(&done, Status::Done)).await;
    let inspector = darkroom.inspector();

    let statuses = [Status::Queued, Status::Running, Status::Retrying, Status::Failed, Status::Done];
    for (status, job) in statuses.into_iter().zip([queued, running, retrying, failed, done]) {
        assert_eq!(ids(&inspector, Some(status), 9).await, [job], "{status:?}");
    }
    assert_eq!(ids(&inspector, None, 9).await.len(), 5);
    assert_eq!(ids(&inspector, None, 2).await.len(), 2);
    assert_eq!(ids(&inspector, Some(Status::Superseded), 9).await, []);
    let counts = inspector.counts(Kind::Upload).await.expect("redis answers");
    assert_eq!((counts.active, counts.scheduled, counts.leased, counts.done, counts.dead), (1, 1, 1, 1, 1));
}

#[tokio::test]
async fn a_cancelled_job_is_listed_once_and_its_husk_is_not_the_oldest() {
    let darkroom = TestDarkroom::start().await;
    let cancelled = enqueued(&darkroom).await;
    let hour_ago = 3_600_000;
    let waiting = enqueued(&darkroom).await;
    let now: (u64, u64) =
        redis::cmd("TIME").query_async(&mut darkroom.redis.clone()).await.expect("redis answers");
    let () = redis::Cmd::hset(format!("{QUEUE}:meta:{waiting}"), "dr_enqueued_at", now.0 * 1_000 - hour_ago)
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");
    darkroom.operator().cancel(&cancelled).await.expect("it waits");
    let inspector = darkroom.inspector();

    let listed = ids(&inspector, None, 9).await;
    let stats = inspector.stats(Kind::Upload).await.expect("redis answers");

    assert_eq!(listed.iter().filter(|job| **job == cancelled).count(), 1, "{listed:?}");
    assert!(stats.oldest_ready_ms.is_some_and(|age| (hour_ago..2 * hour_ago).contains(&age)), "{stats:?}");
    assert_eq!(stats.settled.get("cancelled"), Some(&1));
    assert!(!stats.paused);
}

#[tokio::test]
async fn an_empty_queue_has_no_oldest_job_and_nothing_that_runs() {
    let darkroom = TestDarkroom::start().await;
    let inspector = darkroom.inspector();

    let stats = inspector.stats(Kind::Delete).await.expect("redis answers");
    let running = inspector.running(Kind::Delete, 9).await.expect("redis answers");

    assert_eq!((stats.oldest_ready_ms, stats.dead_bytes, running.len()), (None, 0, 0));
}

#[tokio::test]
async fn running_jobs_are_told_with_their_age_and_the_longest_first() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (short, long) = (enqueued(&darkroom).await, enqueued(&darkroom).await);
    let since = |ms: &str| [("dr_leased_at", ms.to_owned()), ("dr_deliveries", "2".to_owned())];
    moved(&darkroom, &short, "leases", u64::MAX, &since("2000")).await;
    moved(&darkroom, &long, "leases", u64::MAX, &since("1000")).await;

    let running = darkroom.inspector().running(Kind::Upload, 9).await.expect("redis answers");
    let one = darkroom.inspector().running(Kind::Upload, 1).await.expect("redis answers");

    let ids: Vec<_> = running.iter().map(|job| job.job_id.as_str()).collect();
    assert_eq!(ids, [long.as_str(), short.as_str()]);
    assert_eq!((running[0].deliveries, running[0].running_ms - running[1].running_ms), (2, 1_000));
    assert_eq!((one.len(), one[0].job_id.as_str()), (1, long.as_str()));
}

#[tokio::test]
async fn an_id_that_is_no_text_hides_no_other_job() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let job = enqueued(&darkroom).await;
    let strange: [&[u8]; 2] = [b"\xff\xfe id", b"\xff\xfe held"];
    let () = redis::pipe()
        .rpush(format!("{QUEUE}:active"), strange[0])
        .zadd(format!("{QUEUE}:leases"), strange[1], 1)
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");

    let inspector = darkroom.inspector();
    let (listed, running) = (ids(&inspector, None, 9).await, inspector.running(Kind::Upload, 9).await);

    assert_eq!((listed, running.expect("redis answers").len()), (vec![job], 1));
}
