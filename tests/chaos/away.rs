//! Redis under load is killed, away, cut off, paused, asleep or busy: jobs wait, and none is lost.

use std::time::{Duration, Instant};

use darkroom::queue::connection;
use darkroom_jobs::{Producer, wire::Subscription};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::task::JoinHandle;

use crate::{
    report::Row,
    scene::{AS_RELEASED, LoadJob, Scene, Tally},
    size::size,
    support::darkroom::Worker,
    wire::Wire,
};

const LATENCY: Duration = Duration::from_millis(50);

/// What counts as an outage here, so that an outage's grace is seen: leases of 2 s.
const SOON: (&str, &str) = ("DARKROOM_OUTAGE_MS", "1500");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_again_and_again_loses_nothing_that_it_acknowledged() {
    let (kills, jobs) = size((3, 300), (10, 2_000));
    let mut scene = Scene::start(LATENCY).await;
    scene.darkroom.always_on_disk().await;
    let mut workers = [scene.worker(&[SOON]), scene.worker(&[SOON])];
    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, Duration::from_secs(3) * kills);

    let mut recoveries = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        scene.darkroom.services.redis.kill().await.expect("it runs");
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.darkroom.restart_redis().await;
        scene.darkroom.always_on_disk().await;
        recoveries.push(until_settling(&scene, &feed).await);
    }
    scene.fed(feed).await;

    let mut end = End::of(&scene, "7 Redis killed and restarted (AOF)").await;
    end.row.recoveries = recoveries;
    end.row.note = format!("{kills} kills; {}", end.row.note);
    end.hold(&mut workers);
    assert_eq!(end.row.burnt, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_redis_is_away() {
    let (away, jobs) = size((Duration::from_secs(10), 100), (Duration::from_secs(120), 1_000));
    let mut scene = Scene::start(LATENCY).await;
    scene.darkroom.always_on_disk().await;
    let mut workers = [scene.worker(&[SOON]), scene.worker(&[SOON])];
    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, Duration::from_secs(4));

    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.darkroom.services.redis.kill().await.expect("it runs");
    tokio::time::sleep(away).await;
    scene.darkroom.restart_redis().await;
    let back = until_settling(&scene, &feed).await;
    scene.fed(feed).await;

    let mut end = End::of(&scene, "7 Redis away").await;
    end.row.recoveries = vec![back];
    end.row.note = format!("{} s; {}", away.as_secs(), end.row.note);
    end.hold(&mut workers);
    // Each delivery that is in the middle of its job, of the 16 of a worker, asks Redis for 10 s and then burns an attempt.
    assert!(end.row.burnt <= 2 * 16, "{} attempts were burnt", end.row.burnt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_torn_or_late_lose_no_job() {
    let (jobs, over, one_in) = size((150, Duration::from_secs(6), 15), (2_000, Duration::from_secs(60), 40));
    let mut scene = Scene::start(LATENCY).await;
    let wires = [
        Wire::at_random(one_in, &scene.darkroom.services.redis.url()).await,
        Wire::at_random(one_in, &scene.darkroom.services.redis.url()).await,
    ];
    let ours = Wire::at_random(one_in, &scene.darkroom.services.redis.url()).await;
    let mut workers = wires.each_ref().map(|wire| scene.worker(&[("DARKROOM_REDIS_URL", &*wire.url)]));
    let producer = Producer::connect(&ours.url, "darkroom").await.expect("redis answers");

    let feed = scene.feed(producer, jobs, over);
    scene.fed(feed).await;
    // Each worker goes on until it has met each kind, whatever the moments were.
    let deadline = Instant::now() + Duration::from_secs(90);
    while wires.iter().any(|wire| wire.kinds_played() < Wire::KINDS) && Instant::now() < deadline {
        scene.enqueue(10).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    let mut end = End::of(&scene, "7 answers lost, torn, late").await;
    let played: usize = wires.iter().chain([&ours]).map(Wire::played).sum();
    end.row.note = format!("{played} faults; {}", end.row.note);
    end.hold(&mut workers);
    assert_eq!(end.row.burnt, 0);
    assert_eq!(wires.map(|wire| wire.kinds_played()), [Wire::KINDS; 2], "a kind of fault was not met");
}

/// A half-open connection, a proxy that swallows: nothing is ever closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stand_and_never_answer_again_are_left() {
    let (times, jobs) = size((1, 100), (5, 1_000));
    let mut scene = Scene::start(LATENCY).await;
    let redis = scene.darkroom.services.redis.url();
    let (wire, ours) = (Wire::clear(&redis).await, Wire::clear(&redis).await);
    let there = [("DARKROOM_REDIS_URL", &*wire.url)];
    let mut workers = [scene.worker(&[&AS_RELEASED[..], &there].concat())];
    let producer = Producer::connect(&ours.url, "darkroom").await.expect("redis answers");
    let feed = scene.feed(producer, jobs, Duration::from_secs(8) * times);

    let mut recoveries = Vec::new();
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        wire.fall_silent();
        ours.fall_silent();
        recoveries.push(until_settling(&scene, &feed).await);
    }
    scene.fed(feed).await;

    let mut end = End::of(&scene, "7 connections that never answer again").await;
    end.row.note = format!("{} of them; {}", wire.played() + ours.played(), end.row.note);
    end.row.recoveries = recoveries;
    end.hold(&mut workers);
    assert_eq!(end.row.burnt, 0);
    // Consumer, heartbeat, tools, and the producer.
    assert!(wire.played() >= 3 && ours.played() >= 1, "{}", end.row.note);
    // At worst a claim finds out first, and only then, on another connection, the job that it brings.
    let recoveries = end.row.recoveries;
    assert!(recoveries.iter().all(|took| *took < connection::RESPONSE_TIMEOUT * 3), "{recoveries:?}");
}

/// Nobody ever sees the response time-out.
#[tokio::test]
async fn a_connection_that_never_answers_again_is_left_although_everybody_gives_up_before_its_time() {
    const MOST: Duration = Duration::from_millis(300);
    let scene = Scene::start(LATENCY).await;
    let wire = Wire::clear(&scene.darkroom.services.redis.url()).await;
    let client = redis::Client::open(&*wire.url).expect("a url");
    let connection = connection::managed(&client).expect("a url");
    let pings = async || {
        let mut connection = connection.clone();
        let ping = redis::cmd("PING");
        matches!(tokio::time::timeout(MOST, ping.query_async::<()>(&mut connection)).await, Ok(Ok(())))
    };
    assert!(pings().await);

    wire.fall_silent();
    let since = Instant::now();
    let mut given_up = 0;
    while !pings().await {
        given_up += 1;
        assert!(since.elapsed() < connection::RESPONSE_TIMEOUT * 2, "given up {given_up} times");
    }

    assert!(given_up > 0);
}

#[tokio::test]
async fn a_subscription_that_hears_nothing_finds_out_that_its_connection_never_answers() {
    let scene = Scene::start(LATENCY).await;
    let redis = scene.darkroom.services.redis.url();
    let wire = Wire::clear(&redis).await;
    let client = redis::Client::open(&*wire.url).expect("a url");
    let mut subscription = Subscription::to(&client, "channel").await.expect("redis answers");
    let mut told = scene.redis().await;
    tell(&mut told, &["PUBLISH", "channel", "one"]).await.expect("redis obeys");
    let heard: String = subscription.next().await.expect("it is heard").get_payload().expect("it is a text");

    wire.fall_silent();
    let most = Duration::from_secs(20);
    let ended = tokio::time::timeout(most, subscription.next()).await.expect("it is found out");

    assert_eq!(heard, "one");
    assert!(ended.is_err_and(|error| error.is_timeout()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_pauses_sleeps_or_is_busy_for_longer_than_a_lease_loses_nothing() {
    let (stall, jobs) = size((3, 150), (8, 1_500));
    let mut scene = Scene::start(LATENCY).await;
    let mut workers = [scene.worker(&[SOON]), scene.worker(&[SOON])];
    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, Duration::from_secs(4 * (stall + 2)));
    let busy = format!("local s = redis.call('TIME')[1]; while redis.call('TIME')[1] - s < {stall} do end");

    let (seconds, milliseconds) = (stall.to_string(), (stall * 1_000).to_string());
    let mut recoveries = Vec::new();
    for words in [
        &["CLIENT", "PAUSE", &milliseconds, "ALL"][..],
        &["CLIENT", "PAUSE", &milliseconds, "WRITE"],
        &["DEBUG", "SLEEP", &seconds],
        // Longer than `busy-reply-threshold`: everybody else is answered BUSY.
        &["EVAL", &busy, "0"],
    ] {
        let mut redis = scene.redis().await;
        tell(&mut redis, &["CONFIG", "SET", "busy-reply-threshold", "500"]).await.expect("redis obeys");
        let since = Instant::now();
        // Its answer may come too late for our own time-out.
        drop(tell(&mut redis, words).await);
        tokio::time::sleep(Duration::from_secs(stall).saturating_sub(since.elapsed())).await;
        recoveries.push(until_settling(&scene, &feed).await);
    }
    scene.fed(feed).await;

    let mut end = End::of(&scene, "7 CLIENT PAUSE, DEBUG SLEEP, BUSY").await;
    end.row.recoveries = recoveries;
    end.row.note = format!("4 times {stall} s; {}", end.row.note);
    end.hold(&mut workers);
    assert_eq!(end.row.burnt, 0);
}

/// What a scenario came to.
struct End {
    row: Row,
    tally: Tally,
}

impl End {
    /// Waits for the jobs.
    async fn of(scene: &Scene, scenario: &'static str) -> Self {
        let tally = scene.settled().await;
        let mut row = scene.row(scenario, &tally).await;
        row.note = format!("{} leases ran out", tally.crashes);
        Self { row, tally }
    }

    /// Prints the row. Each job has to be done, and the workers live.
    fn hold(&self, workers: &mut [Worker]) {
        self.row.hold();
        assert_eq!(self.tally.done(), self.row.enqueued, "{:?}", self.tally.failures());
        for worker in workers {
            assert!(worker.is_running(), "{}", worker.log());
        }
    }
}

/// How long it takes until one more job is settled, or all are; within 60 s.
async fn until_settling(scene: &Scene, feed: &JoinHandle<Vec<LoadJob>>) -> Duration {
    let since = Instant::now();
    let mut redis = scene.redis().await;
    let mut before = None;
    loop {
        // A Redis that stalls is asked again.
        if let Ok((settled, left)) = stand(&mut redis).await {
            if (left == 0 && feed.is_finished()) || before.is_some_and(|before| settled > before) {
                return since.elapsed();
            }
            before = before.or(Some(settled));
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nothing is settled: {before:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Jobs that are done, and those that are ready or in work.
async fn stand(redis: &mut MultiplexedConnection) -> RedisResult<(u64, u64)> {
    let mut pipeline = redis::pipe();
    for queue in ["upload", "ingest"] {
        pipeline.cmd("ZCARD").arg(format!("{{darkroom}}:{queue}:done"));
        pipeline.cmd("ZCARD").arg(format!("{{darkroom}}:{queue}:leases"));
        pipeline.cmd("LLEN").arg(format!("{{darkroom}}:{queue}:active"));
    }
    let [uploaded, uploading, uploads, ingested, ingesting, ingests]: [u64; 6] =
        pipeline.query_async(redis).await?;
    Ok((uploaded + ingested, uploading + uploads + ingesting + ingests))
}

async fn tell(redis: &mut MultiplexedConnection, words: &[&str]) -> RedisResult<()> {
    redis::cmd(words[0]).arg(&words[1..]).query_async::<redis::Value>(redis).await.map(drop)
}
