//! How jobs are run: claimed deliveries through apalis to handlers, under a time-out, to one settlement each.
//!
//! Never knows what a job does.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use apalis::prelude::{Monitor, WorkerBuilder, WorkerBuilderExt as _};
use darkroom_jobs::Kind;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::{
    config,
    handlers::context::Tools,
    queue::{
        self, boot,
        breaker::Breaker,
        connection,
        consumer::{Consumer, Deliveries, StartError},
        health::HealthBoard,
        pace::Pace,
        periodic::Periodic,
        scrub::Scrubber,
        tombstone::Tombstones,
        vitals::Vitals,
    },
    sandbox::Sandbox,
    sources::{
        Sources,
        url::{Fetcher, SetupError},
    },
    storage::{Storage, probe::finding::Finding},
};

mod backend;
mod bucket_watch;
mod execution;
pub mod metrics;
mod outcome;
pub mod registry;
mod retry;
mod schedule;

use execution::{Means, Running};
use metrics::Metrics;
use prometheus_client::registry::Registry;
use registry::Handler;

/// What a worker is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where jobs are.
    pub redis: config::Redis,
    /// Where pictures are kept.
    pub s3: config::S3,
    /// How jobs are run.
    pub worker: config::Worker,
    /// What pictures may be, and become.
    pub imaging: config::Imaging,
    /// How originals are fetched from URLs.
    pub fetch: config::Fetch,
}

/// Why a worker ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A setting, or a Redis that waiting does not mend.
    #[error(transparent)]
    Refused(#[from] boot::Refusal),
    /// A setting of S3.
    #[error("the settings of S3 cannot be used")]
    Storage(#[from] crate::storage::error::Error),
    /// The queue did not start.
    #[error("the queue did not start")]
    Queue(#[from] StartError),
    /// A connection could not be set up.
    #[error("DARKROOM_REDIS_URL cannot be used")]
    Redis(#[from] redis::RedisError),
    /// A setting of URLs.
    #[error("the settings of URLs cannot be used")]
    Fetch(#[from] SetupError),
    /// The runtime ended by itself: nobody works any more.
    #[error("the worker died: {0}")]
    Died(String),
    /// A reader of a header does not come back; only a new process gets its thread back.
    #[error("the reader of a picture's header did not come back after its time was over")]
    Stuck,
}

impl Fatal {
    /// The process' exit code: 70 died inside, 75 restart me, 78 configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Storage(_) | Self::Redis(_) | Self::Queue(_) | Self::Fetch(_) => 78,
            Self::Died(_) => 70,
            Self::Stuck => 75,
        }
    }
}

/// What a worker works with, made before it begins: nothing is connected yet.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What handlers use.
    pub tools: Tools,
    /// Runs a job; a benchmark's does nothing.
    pub handler: Handler,
    /// Whether the worker lives, for those who probe it.
    pub vitals: Vitals,
    /// What became of jobs.
    pub metrics: Metrics,
    /// What the queue took.
    pub queue: queue::metrics::Metrics,
}

impl Parts {
    /// # Errors
    ///
    /// Settings that cannot be used.
    pub async fn new(settings: &Settings) -> Result<Self, Fatal> {
        Ok(Self {
            tools: tools(settings).await?,
            handler: registry::handle,
            vitals: Vitals::default(),
            metrics: Metrics::default(),
            queue: queue::metrics::Metrics::default(),
        })
    }

    /// Lets a registry render what all rooms measure.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        self.queue.register(registry);
        self.tools.sandbox.metrics().register(registry);
        self.tools.storage.metrics().register(registry);
        self.tools.sources.metrics().register(registry);
    }
}

/// Runs until `signal`, then gives running jobs time to finish and hands the others back. When `signal` resolves, its
/// value is awaited too: a second signal, which hands back at once.
///
/// # Errors
///
/// What ends a worker by itself: see [`Fatal::exit_code`].
pub async fn run<S, T>(settings: Settings, parts: Parts, signal: S) -> Result<(), Fatal>
where
    S: Future<Output = T> + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let Parts { tools, handler, vitals, metrics, queue } = parts;
    let stopped = vitals.clone();
    #[expect(clippy::async_yields_async, reason = "the second signal is awaited later, while jobs finish")]
    let mut signal = Box::pin(async move {
        let second = signal.await;
        stopped.stop();
        second
    });
    tokio::select! {
        ready = boot::ready(&settings.redis) => ready?,
        _ = &mut signal => {
            info!("stopped before redis could be asked");
            return Ok(());
        }
    }
    tools.sandbox.start_decoders();
    let slots = slots(&settings.worker);
    let (consumer, deliveries) = Consumer::start(&settings.redis, &settings.worker, &slots, &queue)?;
    let consumer = Arc::new(consumer);
    vitals.begin(consumer.pulse());
    let (handle, breaker) = (consumer.handle(), consumer.breaker().clone());
    let running = Running::new(Means { tools: tools.clone(), handler, queue: handle, breaker, metrics });
    let beside = look_after_the_bucket(&settings, &tools, consumer.breaker())?;
    let monitor = monitor(slots, deliveries, &running);

    let verdict = tokio::select! {
        verdict = until_told(monitor, signal, &consumer, &running, settings.worker.shutdown) => verdict,
        () = until_dead(&consumer) => Err(Fatal::Died("the queue is not asked any more".into())),
        () = watch_readers(&tools.sandbox) => {
            error!("the reader of a header did not come back; ending so that a supervisor starts anew");
            Err(Fatal::Stuck)
        }
    };
    drop(beside);
    consumer.stop();
    running.abort();
    hand_back(consumer, running).await;
    verdict
}

/// One apalis worker for each queue.
fn monitor(
    slots: Vec<(Kind, usize)>,
    mut deliveries: HashMap<Kind, Deliveries>,
    running: &Running,
) -> Monitor {
    let mut monitor = Monitor::new().shutdown_timeout(Duration::from_millis(100));
    for (kind, slots) in slots {
        let backend =
            backend::Receiver::new(deliveries.remove(&kind).expect("a queue was started for each kind"));
        let service = running.clone();
        let backend = std::sync::Mutex::new(Some(backend));
        monitor = monitor.register(move |_| {
            let backend = backend.lock().expect("nobody panics with it").take();
            let service = service.clone();
            WorkerBuilder::new(kind.as_str())
                .backend(backend.unwrap_or_else(backend::Receiver::exhausted))
                .concurrency(slots)
                .build(move |delivery: backend::Parcel| {
                    let service = service.clone();
                    async move { service.start(delivery).await }
                })
        });
        info!(job.kind = %kind, slots, "queue served");
    }
    monitor
}

/// Runs the monitor until the signal, and then waits for running jobs until their time is over or a second signal.
async fn until_told<S, T>(
    monitor: Monitor,
    signal: S,
    consumer: &Arc<Consumer>,
    running: &Running,
    patience: Duration,
) -> Result<(), Fatal>
where
    S: Future<Output = T> + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let (told, mut second) = tokio::sync::oneshot::channel();
    let stopping = Arc::clone(consumer);
    let signal = async move {
        let second = signal.await;
        stopping.stop();
        info!(leases = stopping.leases().len(), "stopping");
        // Nobody listens when a reader is stuck: the process ends anyway.
        let _ = told.send(second);
        Ok(())
    };
    monitor.run_with_signal(signal).await.map_err(|error| Fatal::Died(error.to_string()))?;

    // The monitor also says Ok when its workers have died: only the signal makes it true.
    let Ok(second) = second.try_recv() else {
        return Err(Fatal::Died("all queues ended without a signal".into()));
    };
    tokio::select! {
        () = running.finished() => {}
        () = tokio::time::sleep(patience) => warn!("jobs handed back that did not finish in time"),
        () = second => warn!("jobs handed back on a second signal"),
    }
    Ok(())
}

/// What goes on beside the jobs, until it is dropped: the periodic look at the bucket, and the breaker's own.
fn look_after_the_bucket(
    settings: &Settings,
    tools: &Tools,
    breaker: &Breaker,
) -> Result<JoinSet<()>, redis::RedisError> {
    let redis = connection::managed(&connection::client(&settings.redis)?)?;
    let (namespace, worker) = (settings.redis.namespace.clone(), &settings.worker);
    let periodic = Periodic::new(redis, namespace, worker.health_interval);
    let (breaker, storage, board) = (breaker.clone(), tools.storage.clone(), tools.health.clone());
    let mut beside = JoinSet::new();
    beside.spawn(schedule::run(periodic, worker.health_interval));
    beside.spawn(bucket_watch::watch(breaker, storage, board, worker.breaker_probe));
    Ok(beside)
}

async fn tools(settings: &Settings) -> Result<Tools, Fatal> {
    let storage = Storage::new(&settings.s3).await?.reporting(Finding::of_networks(&settings.fetch.opened));
    let redis = connection::managed(&connection::client(&settings.redis)?)?;
    let namespace = settings.redis.namespace.clone();
    let pace = Pace::new(redis.clone(), namespace.clone(), settings.fetch.fetch_starts_per_second);
    let fetcher = Fetcher::new(&settings.fetch, Some(pace))?;
    let tombstones = Tombstones::new(redis.clone(), namespace.clone(), settings.worker.tombstone);
    Ok(Tools {
        scrubber: Scrubber::new(redis.clone(), namespace.clone()),
        sources: Sources::new(storage.clone(), fetcher),
        sandbox: Sandbox::new(&settings.imaging),
        storage,
        tombstones,
        health: HealthBoard::new(redis, namespace),
        settings: Arc::new(settings.worker.clone()),
    })
}

/// Jobs in work at once, for each queue that is served.
fn slots(settings: &config::Worker) -> Vec<(Kind, usize)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let or_cores = |setting: Option<u32>| setting.map_or(2 * cores, |slots| slots as usize);
    let mut kinds = settings.queues.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let slots = |kind| match kind {
        Kind::Upload => or_cores(settings.concurrency_upload),
        Kind::Ingest => settings.concurrency_ingest as usize,
        Kind::Delete => or_cores(settings.concurrency_delete),
        Kind::BucketHealth => 1,
    };
    kinds.into_iter().map(|kind| (kind, slots(kind))).collect()
}

/// Returns when the consumer has died: apalis goes on to wait for deliveries that nobody claims any more.
async fn until_dead(consumer: &Consumer) {
    while consumer.is_alive() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Returns when the reader of a header has overrun its time by 10 s. Decoders are processes, and are killed.
async fn watch_readers(sandbox: &Sandbox) {
    while sandbox.stuck().is_none_or(|overrun| overrun < Duration::from_secs(10)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Writes what was settled and gives back what was not, within the 8 s that a supervisor leaves.
async fn hand_back(consumer: Arc<Consumer>, running: Running) {
    drop(running);
    let Ok(consumer) = Arc::try_unwrap(consumer) else {
        return error!("the queue is still in use; its leases run out by themselves");
    };
    if !consumer.flush(Duration::from_secs(7)).await {
        warn!("redis did not answer in time; leases that are left run out by themselves");
    }
    info!("stopped");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{retry::tests::settings, *};

    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        redis: config::Redis,
    }

    #[tokio::test]
    async fn a_queue_whose_actor_has_died_is_noticed() {
        let Defaults { redis } = Defaults::parse_from(["darkroom", "--redis-url=redis://127.0.0.1:1"]);
        let metrics = queue::metrics::Metrics::default();
        let (consumer, _) = Consumer::start(&redis, &settings(), &[], &metrics).expect("it starts");

        let early = tokio::time::timeout(Duration::from_millis(200), until_dead(&consumer)).await;
        consumer.die_of_test();
        let then = tokio::time::timeout(Duration::from_secs(20), until_dead(&consumer)).await;

        assert!(early.is_err() && then.is_ok());
        assert_eq!(Fatal::Died(String::new()).exit_code(), 70);
    }

    #[test]
    fn each_queue_has_its_slots_once_two_for_each_core_unless_they_are_set() {
        let two_each = 2 * std::thread::available_parallelism().expect("the system tells").get();
        let mut settings = settings();
        settings.queues =
            vec![Kind::Delete, Kind::Upload, Kind::BucketHealth, Kind::Ingest, Kind::Upload, Kind::Delete];

        let unset = slots(&settings);
        (settings.concurrency_upload, settings.concurrency_delete) = (Some(3), Some(5));
        settings.concurrency_ingest = 7;
        let set = slots(&settings);

        let of_all = |slots| Kind::ALL.into_iter().zip(slots).collect::<Vec<_>>();
        assert_eq!(unset, of_all([two_each, 16, two_each, 1]));
        assert_eq!(set, of_all([3, 7, 5, 1]));
    }

    #[test]
    fn a_queue_that_is_not_served_has_no_slots() {
        let settings = config::Worker { queues: vec![Kind::Ingest], ..settings() };

        assert_eq!(slots(&settings), [(Kind::Ingest, 16)]);
    }
}
