//! What a job costs the queue: jobs that do nothing go the whole way, while others wait behind them.
//!
//! Never measures pictures, and never fakes a step: the worker is the real one, with a handler that returns at once.

use std::{fmt, path::Path, time::Duration};

use anyhow::Context as _;
use darkroom_jobs::{Kind, Producer, Upload, redis_keys::Keys};
use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use serde::Serialize;
use tokio::{sync::oneshot, time::sleep};

use super::redis::EmbeddedRedis;
use crate::config;
pub use idle::{Idle, idle};

mod idle;
mod noop;
pub mod plot;
mod usage;

use usage::Usage;

/// Jobs that are handed to the producer with one call.
const CHUNK: u32 = 10_000;

/// How often it is looked whether the jobs are settled.
const LOOK: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Jobs to settle.
    pub jobs: u32,
    /// Bytes of a payload.
    pub payload_bytes: u32,
    /// Jobs in work at once.
    pub concurrency: u32,
    /// Jobs that wait behind those.
    pub backlog: u32,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Jobs that waited behind those that were settled.
    pub backlog: u32,
    /// CPU of Redis for taking a job, in µs.
    pub redis_enqueue_cpu_us_per_job: f64,
    /// CPU of Redis for claim, lease and settlement of a job, in µs.
    pub redis_cpu_us_per_job: f64,
    /// CPU of the worker for the same, in µs.
    pub worker_cpu_us_per_job: f64,
    /// Jobs enqueued in a second, by one producer.
    pub enqueue_per_s: f64,
    /// Jobs settled in a second.
    pub drain_per_s: f64,
    /// Memory of Redis that a waiting job takes.
    pub bytes_per_waiting_job: f64,
    /// Commands that Redis ran for a job, those inside of scripts included.
    pub commands_per_job: f64,
    /// Time that 99.9 % of the scripts stayed below, in µs, on a server of the benchmark's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_p999_us: Option<f64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backlog   {:>10} jobs", self.backlog)?;
        let whole = self.redis_enqueue_cpu_us_per_job + self.redis_cpu_us_per_job;
        writeln!(f, "redis     {whole:>10.1} µs of CPU a job, from enqueue to receipt")?;
        writeln!(f, "  enqueue {:>10.1} µs", self.redis_enqueue_cpu_us_per_job)?;
        writeln!(f, "  drain   {:>10.1} µs", self.redis_cpu_us_per_job)?;
        writeln!(f, "worker    {:>10.1} µs of CPU a job", self.worker_cpu_us_per_job)?;
        writeln!(f, "enqueue   {:>10.0} jobs/s", self.enqueue_per_s)?;
        writeln!(f, "drain     {:>10.0} jobs/s", self.drain_per_s)?;
        writeln!(f, "waiting   {:>10.0} bytes a job", self.bytes_per_waiting_job)?;
        write!(f, "commands  {:>10.1} a job", self.commands_per_job)?;
        self.script_p999_us.map_or(Ok(()), |us| write!(f, "\nscripts   {us:>10.0} µs at most, 999 of 1,000"))
    }
}

/// Enqueues, drains and measures: on a server of its own in the namespace that production has, whose length is a part of
/// every key, and on another one in a namespace of its own that is empty again afterwards.
///
/// # Errors
///
/// When there is no Redis, when it fails, or when the worker ends by itself.
pub async fn run(load: &Load, settings: &config::bench::Bench) -> anyhow::Result<Figures> {
    let folder = tempfile::TempDir::new()?;
    let (url, ours) = redis_server(settings, folder.path()).await?;
    let namespace = match ours {
        Some(_) => "darkroom".to_owned(),
        None => format!("bench-{}", ulid::Ulid::generate()),
    };
    let keys = Keys::new(&namespace)?;
    let client = redis::Client::open(&*url).context("DARKROOM_REDIS_URL is not a URL of Redis")?;
    let mut redis = client.get_multiplexed_async_connection().await.context("redis could not be reached")?;
    if ours.is_some() {
        // A rewrite of the file comes by chance, and its copied pages are no job's cost.
        let () = redis::cmd("CONFIG")
            .arg(&["SET", "auto-aof-rewrite-percentage", "0"])
            .query_async(&mut redis)
            .await?;
    }

    let producer = Producer::connect(&url, &namespace).await?;
    let before = Usage::of(&mut redis).await?;
    enqueue(&producer, load).await?;
    let filled = Usage::of(&mut redis).await?;
    let drained = drain(load, &url, &namespace, &mut redis, &keys).await;
    let script_p999_us = match ours {
        Some(_) => Some(usage::script_p999_us(&mut redis).await?),
        None => {
            remove(&mut redis, &keys).await?;
            None
        }
    };
    Ok(Figures { script_p999_us, ..figures(load, [before, filled], drained?) })
}

async fn redis_server(
    settings: &config::bench::Bench,
    folder: &Path,
) -> anyhow::Result<(String, Option<EmbeddedRedis>)> {
    if let Some(url) = &settings.redis_url {
        return Ok((url.reveal().to_owned(), None));
    }
    let server = EmbeddedRedis::start(settings.redis_server.as_deref(), folder).await?;
    Ok((server.url(), Some(server)))
}

async fn enqueue(producer: &Producer, load: &Load) -> anyhow::Result<()> {
    let mut left = load.jobs + load.backlog;
    while left > 0 {
        let some = left.min(CHUNK);
        producer
            .enqueue_many::<Upload, _>((0..some).map(|_| noop::payload(load.payload_bytes as usize)))
            .await?;
        left -= some;
    }
    Ok(())
}

/// Runs a worker until the jobs are settled. Says what was used, and how many it were: some more than were asked for.
async fn drain(
    load: &Load,
    url: &str,
    namespace: &str,
    redis: &mut MultiplexedConnection,
    keys: &Keys,
) -> anyhow::Result<([Usage; 2], u64)> {
    let (stop, stopped) = oneshot::channel::<()>();
    let before = Usage::of(redis).await?;
    let mut worker =
        tokio::spawn(noop::work(load.concurrency, url.to_owned(), namespace.to_owned(), stopped));

    let stats = keys.queue(Kind::Upload).stats();
    let settled = loop {
        let settled = redis.hget::<_, _, Option<u64>>(&stats, "done").await?.unwrap_or(0);
        if settled >= load.jobs.into() {
            break settled;
        }
        tokio::select! {
            ended = &mut worker => {
                ended??;
                anyhow::bail!("the worker ended with {settled} jobs settled");
            }
            () = sleep(LOOK) => {}
        }
    };
    let after = Usage::of(redis).await?;

    // A worker that has just died says so below.
    let _ = stop.send(());
    worker.await??;
    Ok(([before, after], settled))
}

/// Removes every key of the namespace.
async fn remove(redis: &mut MultiplexedConnection, keys: &Keys) -> anyhow::Result<()> {
    let pattern = format!("{}*", keys.layout().trim_end_matches("layout"));
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg(&["MATCH", &pattern, "COUNT", "1000"])
            .query_async(redis)
            .await?;
        if !found.is_empty() {
            let () = redis.unlink(found).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

fn figures(load: &Load, [before, filled]: [Usage; 2], (drained, settled): ([Usage; 2], u64)) -> Figures {
    let enqueued = f64::from(load.jobs) + f64::from(load.backlog);
    let settled = settled as f64;
    let rounded = |figure: f64| (figure * 10.0).round() / 10.0;
    let [start, end] = drained;
    Figures {
        backlog: load.backlog,
        redis_enqueue_cpu_us_per_job: rounded((filled.redis_cpu_us - before.redis_cpu_us) / enqueued),
        redis_cpu_us_per_job: rounded((end.redis_cpu_us - start.redis_cpu_us) / settled),
        worker_cpu_us_per_job: rounded((end.our_cpu_us - start.our_cpu_us) / settled),
        enqueue_per_s: rounded(enqueued / (filled.at - before.at).as_secs_f64()),
        drain_per_s: rounded(settled / (end.at - start.at).as_secs_f64()),
        bytes_per_waiting_job: rounded((filled.memory_bytes - before.memory_bytes) / enqueued),
        commands_per_job: rounded((end.commands - start.commands) / settled),
        script_p999_us: None,
    }
}
