//! What a worker costs that has nothing to do, and how soon it begins when there is something.

use std::{fmt, time::Duration};

use anyhow::Context as _;
use darkroom_jobs::{Producer, Upload};
use serde::Serialize;
use tokio::{sync::oneshot, time::sleep};

use super::{noop, redis_server, usage::Usage};
use crate::config;

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// Jobs that are enqueued one at a time.
const JOBS: u32 = 60;
/// Until a receipt.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an idle worker costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Idle {
    /// Scripts that it calls in a second.
    pub script_calls_per_s: f64,
    /// Its share of one core, in percent.
    pub cpu_percent: f64,
    /// From enqueue to start, of 95 % of jobs that come alone, in ms.
    pub start_p95_ms: u64,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scripts   {:>10.1} calls a second", self.script_calls_per_s)?;
        writeln!(f, "worker    {:>10.2} % of a core", self.cpu_percent)?;
        write!(f, "start     {:>10} ms after the enqueue, 95 of 100", self.start_p95_ms)
    }
}

/// Watches a worker with nothing to do, and then enqueues jobs one at a time.
///
/// # Errors
///
/// When there is no Redis, when it fails, or when the worker ends by itself.
pub async fn idle(settings: &config::bench::Bench) -> anyhow::Result<Idle> {
    let folder = tempfile::TempDir::new()?;
    let own = config::bench::Bench { redis_url: None, ..settings.clone() };
    let (url, _ours) = redis_server(&own, folder.path()).await?;
    let client = redis::Client::open(&*url)?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let producer = Producer::connect(&url, "darkroom").await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(noop::work(4, url, "darkroom".to_owned(), stopped));

    begins(&producer).await?;
    let before = Usage::of(&mut redis).await?;
    sleep(WATCHED).await;
    let after = Usage::of(&mut redis).await?;
    let seconds = (after.at - before.at).as_secs_f64();
    let mut waited_ms = Vec::new();
    for _ in 0..JOBS {
        sleep(Duration::from_millis(fastrand::u64(20..120))).await;
        waited_ms.push(begins(&producer).await?);
    }
    waited_ms.sort_unstable();

    // A worker that has just died says so below.
    let _ = stop.send(());
    worker.await??;
    let rounded = |figure: f64| (figure * 100.0).round() / 100.0;
    Ok(Idle {
        script_calls_per_s: rounded((after.scripts - before.scripts) / seconds),
        cpu_percent: rounded((after.our_cpu_us - before.our_cpu_us) / 1e4 / seconds),
        start_p95_ms: waited_ms[waited_ms.len() * 95 / 100],
    })
}

/// How long one job waited, in ms.
async fn begins(producer: &Producer) -> anyhow::Result<u64> {
    let job = producer.enqueue::<Upload>(noop::payload(300)).await?;
    let receipt = producer.wait(&job, PATIENCE).await?;
    receipt.timings_ms.queue.context("a receipt tells how long its job waited")
}
