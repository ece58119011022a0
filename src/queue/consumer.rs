//! The actor that claims, settles, recovers and hands back: everything that a worker asks of the queue.
//!
//! It claims only what there is a free slot for, and only when a wake-up, a tick or a full answer says that jobs may be
//! ready. Every call of Redis runs in a task of its own, so that the actor always listens: a claim that is answered
//! after [`Consumer::stop`] is handed back, and a settlement is repeated until it is known to stand or to be lost.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use darkroom_jobs::{
    Kind,
    redis_keys::Keys,
    wire::{Connection, Subscription},
};
use redis::{RedisError, RedisResult};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
};
use tracing::debug;

use super::{
    breaker::Breaker,
    connection,
    delivery::{Claimed, Delivery},
    heartbeat::{Beats, Heartbeat},
    lease::{Lease, LeaseKey, Leases},
    metrics::Metrics,
    presence::Identity,
    settle::{Settled, Settlement},
    upkeep::Upkeep,
};
use crate::config;

mod actor;
mod ending;

/// How long Redis may take to hear that the process ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Most jobs that one call claims: some 1.5 ms of Redis when nobody has seen them before.
const CLAIM_BATCH: usize = 50;

/// What the actor is asked, and told.
#[derive(Debug)]
pub enum Command {
    /// End a delivery.
    Settle(Lease, Settlement, oneshot::Sender<Settled>),
    /// Give a job back; the slot is free once that is done.
    Return(LeaseKey, Option<OwnedSemaphorePermit>),
    /// A queue may have ready jobs; `None`: any of them.
    Wake(Option<Kind>),
}

/// A way to the actor that does not keep it alive.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::WeakUnboundedSender<Command>);

impl Handle {
    /// Ends a delivery. Dropping the future does not undo it: the actor repeats the call until Redis has answered.
    pub async fn settle(&self, lease: Lease, settlement: Settlement) -> Settled {
        let (answer, settled) = oneshot::channel();
        let Some(actor) = self.0.upgrade() else { return Settled::Lost };
        if actor.send(Command::Settle(lease, settlement, answer)).is_err() {
            return Settled::Lost;
        }
        drop(actor);
        settled.await.unwrap_or(Settled::Lost)
    }
}

/// The running actor with its heartbeat.
#[derive(Debug)]
pub struct Consumer {
    commands: mpsc::UnboundedSender<Command>,
    stop: watch::Sender<bool>,
    leases: Leases,
    breaker: Breaker,
    actor: JoinHandle<()>,
    listener: JoinHandle<()>,
    heartbeat: Heartbeat,
}

/// Tells whether a consumer lives, without keeping it alive.
#[derive(Clone, Debug)]
pub struct Pulse {
    beats: Beats,
    actor: AbortHandle,
}

impl Pulse {
    /// Whether the heartbeat's thread goes on, with Redis or without.
    pub fn beats(&self) -> bool {
        self.beats.go_on()
    }

    /// How long ago Redis last answered the heartbeat.
    pub fn beat_age(&self) -> Duration {
        self.beats.age()
    }

    /// Whether the actor still runs.
    pub fn claims(&self) -> bool {
        !self.actor.is_finished()
    }

    /// Of an actor of a test's, beside a thread that goes on.
    #[cfg(test)]
    pub(super) fn of_test(actor: AbortHandle) -> Self {
        Self { beats: Beats::of_test(Duration::ZERO), actor }
    }
}

/// The jobs of one queue, as they are claimed; each holds one of the queue's slots until it has ended.
pub type Deliveries = mpsc::UnboundedReceiver<Delivery>;

impl Consumer {
    /// Starts to claim for the queues, each with so many slots.
    ///
    /// # Errors
    ///
    /// When the settings of Redis cannot be used, or the system gives no thread. An absent Redis is no error here.
    pub fn start(
        redis: &config::Redis,
        worker: &config::Worker,
        slots: &[(Kind, usize)],
        metrics: &Metrics,
    ) -> Result<(Self, HashMap<Kind, Deliveries>), StartError> {
        let client = connection::client(redis)?;
        let keys = redis.namespace.clone();
        let leases = Leases::default();
        let breaker = Breaker::new(worker.breaker_failures);
        let identity = Identity::new(slots, worker.heartbeat);
        let heartbeat = Heartbeat::start(
            client.clone(),
            keys.clone(),
            leases.clone(),
            worker,
            identity,
            metrics.clone(),
        )?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let mut receivers = HashMap::new();
        let queues = slots.iter().map(|&(kind, slots)| {
            let (deliveries, receiver) = mpsc::unbounded_channel();
            receivers.insert(kind, receiver);
            (kind, actor::Queue::new(slots, deliveries))
        });
        let actor = actor::Actor {
            queues: queues.collect(),
            redis: connection::managed(&client)?,
            keys: keys.clone(),
            upkeep: Upkeep::new(keys.clone(), worker, metrics.clone()),
            settings: worker.clone(),
            leases: leases.clone(),
            breaker: breaker.clone(),
            beats: heartbeat.beats(),
            metrics: metrics.clone(),
            commands: commands.downgrade(),
            calls: JoinSet::new(),
            repeated: Arc::new(AtomicUsize::new(0)),
        };
        let consumer = Self {
            actor: tokio::spawn(actor.run(inbox, stopped)),
            listener: tokio::spawn(listen(client, keys.wake(), commands.downgrade())),
            commands,
            stop,
            leases,
            breaker,
            heartbeat,
        };
        Ok((consumer, receivers))
    }

    /// A way to settle.
    pub fn handle(&self) -> Handle {
        Handle(self.commands.downgrade())
    }

    /// The leases that are held.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What keeps jobs waiting while the bucket is down.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Whether the actor still runs: it ends by [`flush`](Self::flush) alone.
    pub fn is_alive(&self) -> bool {
        !self.actor.is_finished()
    }

    /// As if the actor had panicked.
    #[cfg(test)]
    pub(crate) fn die_of_test(&self) {
        self.actor.abort();
    }

    /// The same for those who only look.
    pub fn pulse(&self) -> Pulse {
        Pulse { beats: self.heartbeat.beats(), actor: self.actor.abort_handle() }
    }

    /// Claims no more; a claim in flight is handed back when it is answered.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all settlements stand and all dropped leases are given back, or until the patience is over.
    /// Says whether nothing was left.
    pub async fn flush(self, patience: Duration) -> bool {
        self.stop.send_replace(true);
        self.listener.abort();
        drop(self.commands);
        let flushed = tokio::time::timeout(patience, self.actor).await.is_ok();
        if flushed {
            self.heartbeat.end(FAREWELL).await;
        }
        flushed && self.leases.is_empty()
    }
}

/// Why a consumer did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings.
    #[error("DARKROOM_REDIS_URL cannot be used")]
    Redis(#[from] RedisError),
    /// The system.
    #[error("could not start the heartbeat's thread")]
    Thread(#[from] io::Error),
}

/// Turns wake-ups into commands. They are hints: one that is lost while the connection is away costs a second.
async fn listen(client: redis::Client, channel: String, actor: mpsc::WeakUnboundedSender<Command>) {
    let mut failures = 0;
    while let Err(error) = forward(&client, &channel, &actor, &mut failures).await {
        failures += 1;
        debug!(error = %error, failures, "wake-ups are not heard");
        tokio::time::sleep(connection::backoff(failures)).await;
    }
}

/// Until the actor is gone.
async fn forward(
    client: &redis::Client,
    channel: &str,
    actor: &mpsc::WeakUnboundedSender<Command>,
    failures: &mut u32,
) -> RedisResult<()> {
    let mut subscription = Subscription::to(client, channel).await?;
    *failures = 0;
    loop {
        let queue = subscription.next().await?.get_payload::<String>().unwrap_or_default();
        let kind = queue.rsplit(':').next().and_then(|kind| kind.parse().ok());
        let Some(actor) = actor.upgrade() else { return Ok(()) };
        if actor.send(Command::Wake(kind)).is_err() {
            return Ok(());
        }
    }
}
