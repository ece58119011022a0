//! The periodic look at the bucket, what it announces, and what the breaker makes of a bucket that is down.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkroom::{
    queue::{connection, health::HealthBoard, periodic::Periodic},
    storage::probe::{HealthStatus, record::Record},
};
use darkroom_jobs::{
    Event, ImageId, JobId, Kind, Source, Status, Timestamp, Upload, redis_keys::Keys, wire::Connection,
};
use redis::AsyncCommands as _;
use tokio::task::JoinSet;

use crate::support::darkroom::{TestDarkroom, picture};

fn keys() -> Keys {
    Keys::new("darkroom").expect("it is a namespace")
}

async fn connection(darkroom: &TestDarkroom) -> Connection {
    let client = redis::Client::open(darkroom.services.redis.url()).expect("it is a url");
    connection::managed(&client).expect("nothing is connected yet")
}

/// The ticks of `processes` processes at the same moment; says how many enqueued a job.
async fn ticks(darkroom: &TestDarkroom, processes: usize, period: Duration) -> usize {
    let mut ticks = JoinSet::new();
    for _ in 0..processes {
        let periodic = Periodic::new(connection(darkroom).await, keys(), period);
        ticks.spawn(async move { periodic.tick().await.expect("redis answers") });
    }
    ticks.join_all().await.into_iter().filter(|enqueued| *enqueued).count()
}

/// Takes the job that is ready, if there is one, and ends it, as a worker would.
async fn end_one(redis: &mut Connection) -> Option<JobId> {
    let queue = keys().queue(Kind::BucketHealth);
    let id: Option<String> = redis.lpop(queue.active(), None).await.expect("redis answers");
    let id: JobId = id?.parse().expect("it is an id");
    let () = redis.zadd(queue.done(), id.as_str(), 1_u64).await.expect("redis answers");
    Some(id)
}

/// Waits, at most 20 s, until it holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ten_processes_that_tick_enqueue_one_job_for_each_slot() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (queue, period) = (keys().queue(Kind::BucketHealth), Duration::from_millis(200));
    let mut redis = connection(&darkroom).await;
    let mut processes = JoinSet::new();
    for _ in 0..10 {
        let periodic = Periodic::new(connection(&darkroom).await, keys(), period);
        processes.spawn(async move {
            loop {
                periodic.tick().await.expect("redis answers");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    let mut slots = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while slots.len() < 6 {
        assert!(Instant::now() < deadline, "only {} slots had a job", slots.len());
        let Some(id) = end_one(&mut redis).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let at: u64 = redis.hget(queue.meta(&id), "dr_enqueued_at").await.expect("it is known");
        slots.push(at / 200);
    }
    processes.shutdown().await;

    let distinct: BTreeSet<_> = slots.iter().collect();
    assert_eq!(distinct.len(), slots.len(), "a slot had two jobs: {slots:?}");
}

#[tokio::test]
async fn slots_that_were_missed_are_run_once() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (queue, period) = (keys().queue(Kind::BucketHealth), Duration::from_secs(3600));
    let mut redis = connection(&darkroom).await;
    let long_ago = 1_700_000_000_000_u64 / 3_600_000 * 3_600_000;
    let () = redis.set(queue.slot(), long_ago).await.expect("redis answers");

    let enqueued = ticks(&darkroom, 10, period).await;
    end_one(&mut redis).await.expect("there is one");
    let again = ticks(&darkroom, 10, period).await;

    assert_eq!((enqueued, again), (1, 0));
}

#[tokio::test]
async fn no_job_is_enqueued_while_one_waits_or_is_leased() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (queue, period) = (keys().queue(Kind::BucketHealth), Duration::from_millis(1));
    let mut redis = connection(&darkroom).await;

    let first = ticks(&darkroom, 1, period).await;
    let while_it_waits = ticks(&darkroom, 3, period).await;
    let id: String = redis.lpop(queue.active(), None).await.expect("redis answers");
    let () = redis.zadd(queue.leases(), &id, 1_u64).await.expect("redis answers");
    let while_it_is_leased = ticks(&darkroom, 3, period).await;
    let () = redis.zrem(queue.leases(), &id).await.expect("redis answers");
    let () = redis.zadd(queue.done(), &id, 1_u64).await.expect("redis answers");
    let afterwards = ticks(&darkroom, 1, period).await;

    assert_eq!((first, while_it_waits, while_it_is_leased, afterwards), (1, 0, 0, 1));
}

#[tokio::test]
async fn a_job_that_a_stranger_scheduled_for_later_stops_no_slot_and_one_that_is_due_does() {
    let darkroom = TestDarkroom::start().await;
    let (queue, period) = (keys().queue(Kind::BucketHealth), Duration::from_millis(1));
    let mut redis = connection(&darkroom).await;

    let () = redis.zadd(queue.scheduled(), "due", 1_u64).await.expect("redis answers");
    let due = ticks(&darkroom, 1, period).await;
    let () = redis.zadd(queue.scheduled(), "due", 9_000_000_000_u64).await.expect("redis answers");
    let later = ticks(&darkroom, 1, period).await;

    assert_eq!((due, later), (0, 1));
}

#[tokio::test]
async fn a_slot_in_the_future_is_of_a_clock_that_was_put_back() {
    let darkroom = TestDarkroom::start().await;
    let mut redis = connection(&darkroom).await;
    let slot = keys().queue(Kind::BucketHealth).slot();
    let () = redis.set(slot, 9_000_000_000_000_u64).await.expect("redis answers");

    assert_eq!(ticks(&darkroom, 1, Duration::from_secs(60)).await, 1);
}

#[tokio::test]
async fn a_report_that_another_release_wrote_is_ignored() {
    let darkroom = TestDarkroom::start().await;
    let mut redis = connection(&darkroom).await;
    let () = redis.hset(keys().health(), "record", r#"{"shape":"unknown"}"#).await.expect("redis answers");

    let seen = HealthBoard::new(redis, keys()).read::<Record>().await.expect("redis answers");

    assert_eq!(seen.record, None);
}

#[tokio::test]
async fn a_longer_period_goes_on_where_a_shorter_one_was() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let mut redis = connection(&darkroom).await;

    let short = ticks(&darkroom, 1, Duration::from_millis(1)).await;
    end_one(&mut redis).await.expect("there is one");
    // Within 2 s a slot of 1 s begins after that one.
    until("the longer slot", async || ticks(&darkroom, 1, Duration::from_secs(1)).await == 1).await;

    assert_eq!(short, 1);
}

#[tokio::test]
async fn workers_look_once_a_slot_and_a_change_is_announced() {
    let darkroom = TestDarkroom::start().await;
    let often = [("DARKROOM_HEALTH_INTERVAL_MS", "1000"), ("DARKROOM_QUEUES", "bucket_health")];
    let workers = [darkroom.worker(&often), darkroom.worker(&often), darkroom.worker(&often)];
    let board = HealthBoard::new(connection(&darkroom).await, keys());
    let status = async |wanted: HealthStatus| {
        let seen = board.read::<Record>().await.expect("redis answers");
        seen.record.is_some_and(|record| record.health.status == wanted)
    };

    until("a good report", async || status(HealthStatus::Ok).await).await;
    darkroom.services.s3.pause();
    until("two bad reports in a row", async || {
        let seen = board.read::<Record>().await.expect("redis answers");
        seen.record.is_some_and(|record| record.health.consecutive_failures >= 2)
    })
    .await;
    darkroom.services.s3.resume();
    until("another good report", async || status(HealthStatus::Ok).await).await;

    assert_eq!(announced(&darkroom).await, ["down", "ok"]);
    let seen = board.read::<Record>().await.expect("redis answers");
    let health = seen.record.expect("there is a report").served_at(seen.now);
    assert!(health.last_hour.probes >= 4 && health.last_hour.failures >= 2, "{health:?}");
    assert!(health.age_ms < 20_000 && health.last_success == Some(health.checked_at), "{health:?}");
    let logged: usize =
        workers.iter().map(|worker| worker.log().matches("state of the bucket changed").count()).sum();
    assert_eq!(logged, 2);
    let slots: Vec<_> = enqueued_at(&darkroom).await.into_iter().map(|ms| ms / 1_000).collect();
    assert!(slots.len() >= 3, "{slots:?}");
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len(), "a slot had two jobs: {slots:?}");
}

/// Words of the health reports that were announced.
async fn announced(darkroom: &TestDarkroom) -> Vec<String> {
    let mut redis = connection(darkroom).await;
    let events: redis::streams::StreamRangeReply =
        redis.xrange_all(keys().events()).await.expect("redis answers");
    let events = events.ids.iter().filter_map(|entry| entry.get::<String>("event"));
    let events = events.map(|json| serde_json::from_str::<serde_json::Value>(&json).expect("it is JSON"));
    let health = events.filter(|event| event["type"] == "storage.health_changed");
    health.map(|event| event["data"]["status"].as_str().expect("it is a word").to_owned()).collect()
}

/// When each health check was enqueued, Redis ms.
async fn enqueued_at(darkroom: &TestDarkroom) -> Vec<u64> {
    let queue = keys().queue(Kind::BucketHealth);
    let mut redis = connection(darkroom).await;
    let data: BTreeMap<String, String> = redis.hgetall(queue.data()).await.expect("redis answers");
    let mut times = Vec::new();
    for id in data.keys() {
        let id: JobId = id.parse().expect("it is an id");
        times.push(redis.hget(queue.meta(&id), "dr_enqueued_at").await.expect("it is known"));
    }
    times
}

#[tokio::test]
async fn failures_in_a_row_pause_claiming_and_no_attempt_is_burnt_until_the_bucket_is_back() {
    let darkroom = TestDarkroom::start().await;
    let mut uploads = Vec::new();
    for _ in 0..20 {
        uploads.push(darkroom.staged(picture("plain.jpg")).await);
    }
    darkroom.services.s3.pause();
    let worker = darkroom.worker(&[
        ("DARKROOM_QUEUES", "upload"),
        ("DARKROOM_CONCURRENCY_UPLOAD", "2"),
        ("DARKROOM_BREAKER_FAILURES", "3"),
        ("DARKROOM_BREAKER_PROBE_MS", "200"),
        ("DARKROOM_RETRY_BASE_MS", "10"),
        ("DARKROOM_LOG", "info,darkroom::worker=debug"),
    ]);

    let jobs = darkroom.producer.enqueue_many(uploads).await.expect("redis takes jobs");
    until("an open breaker", async || worker.log().contains("bucket is down")).await;
    until("five looks", async || worker.log().matches("bucket is still down").count() >= 5).await;
    darkroom.services.s3.resume();
    let mut attempts = 0;
    for job in &jobs {
        let receipt = darkroom.final_receipt(job).await;
        assert_eq!(receipt.status, Status::Done);
        attempts += receipt.attempts;
    }

    // One success each, three failures, and those that were under way when the third came.
    assert!(attempts <= 20 + 3 + 2, "{attempts} attempts for 20 jobs");
    assert!(worker.log().contains("bucket is back"), "{}", worker.log());
}

#[tokio::test]
async fn a_report_that_the_bucket_is_down_pauses_claiming_and_health_checks_go_on() {
    let darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker(&[
        ("DARKROOM_HEALTH_INTERVAL_MS", "1000"),
        ("DARKROOM_BREAKER_FAILURES", "1000"),
        ("DARKROOM_BREAKER_PROBE_MS", "200"),
    ]);
    let upload = darkroom.staged(picture("plain.jpg")).await;
    darkroom.services.s3.pause();
    until("an open breaker", async || worker.log().contains("bucket is down")).await;

    let checks = enqueued_at(&darkroom).await.len();
    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    until("two more checks", async || enqueued_at(&darkroom).await.len() >= checks + 2).await;
    let waiting = darkroom.producer.receipt(&job).await.expect("redis answers").expect("it is known");
    darkroom.services.s3.resume();
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((waiting.status, waiting.deliveries), (Status::Queued, 0));
    assert_eq!((receipt.status, receipt.attempts), (Status::Done, 1));
}

#[tokio::test]
async fn a_bucket_of_originals_that_is_missing_pauses_claiming_until_it_is_there() {
    let darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker(&[
        ("S3_STAGING_BUCKET", "missing"),
        ("DARKROOM_HEALTH_INTERVAL_MS", "1000"),
        ("DARKROOM_BREAKER_FAILURES", "1000"),
        ("DARKROOM_BREAKER_PROBE_MS", "100"),
        ("DARKROOM_LOG", "info,darkroom::worker=debug"),
    ]);
    until("an open breaker", async || worker.log().contains("bucket is down")).await;
    let source = Source::Inline { base64: STANDARD.encode(picture("plain.jpg")) };
    let upload = Upload { user_id: "u1".parse().expect("an id"), image_id: ImageId::random(), source };

    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    let looks = || worker.log().matches("bucket is still down").count();
    let before = looks();
    until("five more looks", async || looks() >= before + 5).await;
    let waiting = darkroom.producer.receipt(&job).await.expect("redis answers").expect("it is known");
    let closed_early = worker.log().contains("bucket is back");
    darkroom.services.s3.create_bucket("missing").await.expect("a folder can be made");
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((waiting.status, waiting.deliveries, closed_early), (Status::Queued, 0, false));
    assert_eq!((receipt.status, receipt.attempts), (Status::Done, 1));
}

#[tokio::test]
async fn an_old_report_does_not_open_again_what_a_good_answer_has_closed() {
    let darkroom = TestDarkroom::start().await;
    let board = HealthBoard::new(connection(&darkroom).await, keys());
    let event = Event::of_health(serde_json::json!({}), Timestamp::from_unix_ms(1));
    board.write("down", &"of another machine", &event).await.expect("redis answers");

    let worker = darkroom.worker(&[("DARKROOM_QUEUES", "upload"), ("DARKROOM_BREAKER_PROBE_MS", "10")]);
    until("a closed breaker", async || worker.log().contains("bucket is back")).await;
    for _ in 0..3 {
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    }

    assert_eq!(worker.log().matches("bucket is down").count(), 1, "{}", worker.log());
}
