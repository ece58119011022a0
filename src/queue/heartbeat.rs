//! Renews the leases of this process and tells what it does: one OS thread with one connection of its own, which decoding
//! never starves.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use darkroom_jobs::{Kind, redis_keys::Keys};
use redis::{Client, Connection, RedisResult};
use tracing::{debug, warn};

use super::{
    clock::milliseconds,
    connection,
    lease::{LeaseKey, Leases},
    metrics::{Call, Metrics},
    presence::Identity,
    scripts,
};
use crate::config;

/// Leases that one call of the script renews.
const BATCH: usize = 500;

/// A round takes at most a connection, some answers and a pause: a thread that takes longer is stuck.
const ROUND: Duration = Duration::from_secs(60);

/// The thread; ends when it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    every: Duration,
    started: Instant,
    /// Milliseconds from `started` to the last time that the thread began a round, whatever became of it.
    last_round_ms: AtomicU64,
    /// The same for the last round that Redis answered.
    last_answer_ms: AtomicU64,
    /// Whether Redis was away when somebody last asked it, and no round was answered since.
    doubted: AtomicBool,
    /// Set once it runs.
    thread: OnceLock<Thread>,
}

impl Shared {
    fn new(every: Duration, started: Instant) -> Self {
        let (last_round_ms, last_answer_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        let (stop, doubted, thread) = (AtomicBool::new(false), AtomicBool::new(false), OnceLock::new());
        Self { stop, every, started, last_round_ms, last_answer_ms, doubted, thread }
    }
}

/// Looks at the thread without keeping it running.
#[derive(Clone, Debug)]
pub struct Beats(Arc<Shared>);

impl Beats {
    /// Of a thread whose last round began so long ago.
    #[cfg(test)]
    pub(super) fn of_test(silence: Duration) -> Self {
        let started = Instant::now().checked_sub(silence).expect("the machine runs for longer");
        Self(Arc::new(Shared::new(Duration::from_secs(5), started)))
    }

    /// As if a round had just been answered.
    #[cfg(test)]
    pub(super) fn answer_of_test(&self) {
        self.0.doubted.store(false, Ordering::Relaxed);
    }

    /// Whether the thread goes round. A Redis that is away does not stop it.
    pub fn go_on(&self) -> bool {
        let round = Duration::from_millis(self.0.last_round_ms.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(round) < self.0.every + ROUND
    }

    /// Says that Redis was away: the next round comes at once, and leases are renewed before anything else is asked.
    pub fn doubt(&self) {
        if self.0.doubted.swap(true, Ordering::Relaxed) {
            // It tries already, at its own pace.
            return;
        }
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }

    /// Whether no round was answered since Redis was away.
    pub fn is_doubted(&self) -> bool {
        self.0.doubted.load(Ordering::Relaxed)
    }

    /// Returns when a round was answered since Redis was away, or after the time in which there are two: whoever has a
    /// result may be let in where the thread is not.
    pub async fn answered(&self) {
        let asked = Instant::now();
        while self.is_doubted() && asked.elapsed() < self.0.every * 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long ago Redis last answered, or since the start: leases are lost after one lease of silence.
    pub fn age(&self) -> Duration {
        let answer = Duration::from_millis(self.0.last_answer_ms.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(answer)
    }
}

impl Heartbeat {
    /// Starts the thread. It waits for Redis when Redis is away.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        client: Client,
        keys: Keys,
        leases: Leases,
        worker: &config::Worker,
        identity: Identity,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let (lease, every) = (worker.lease, worker.heartbeat);
        let shared = Arc::new(Shared::new(every, Instant::now()));
        let beater = Beater { client, keys, leases, lease, identity, metrics, connection: None };
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("heartbeat".into()).spawn(move || beat(beater, every, &shared))?
        };
        shared.thread.set(thread.thread().clone()).expect("it was made just now");
        Ok(Self { thread: Some(thread), shared })
    }

    /// Ends the thread, and lets it tell so; a Redis that does not answer is waited for until the patience is over.
    pub async fn end(self, patience: Duration) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let Some(thread) = &self.thread else { return };
        thread.thread().unpark();
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// For those who only look.
    pub fn beats(&self) -> Beats {
        Beats(Arc::clone(&self.shared))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It is not joined: it may wait for an answer of Redis, and its next step is to end.
            thread.thread().unpark();
        }
    }
}

fn beat(mut beater: Beater, every: Duration, shared: &Shared) {
    let mut failures = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        shared.last_round_ms.store(milliseconds(shared.started.elapsed()), Ordering::Relaxed);
        let pause = match beater.beat() {
            Ok(()) => {
                shared.last_answer_ms.store(milliseconds(shared.started.elapsed()), Ordering::Relaxed);
                shared.doubted.store(false, Ordering::Relaxed);
                failures = 0;
                every
            }
            Err(error) => {
                beater.connection = None;
                shared.doubted.store(true, Ordering::Relaxed);
                failures += 1;
                warn!(error = %error, failures, "heartbeat failed, leases are not renewed");
                // Never longer than a beat: the grace after an outage is one lease.
                connection::backoff(failures).min(every)
            }
        };
        thread::park_timeout(pause);
    }
    beater.end();
}

struct Beater {
    client: Client,
    keys: Keys,
    leases: Leases,
    lease: Duration,
    identity: Identity,
    metrics: Metrics,
    connection: Option<Connection>,
}

impl Beater {
    /// Leases first: the rest is for those who look.
    fn beat(&mut self) -> RedisResult<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        self.renew_all(&mut connection)?;
        self.identity.tell(&mut connection, &self.keys, Some(&self.leases))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The process is gone from the list at once, if Redis is there; else it is forgotten by the others.
    fn end(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if let Err(error) = self.identity.tell(connection, &self.keys, None) {
            debug!(error = %error, "end of the process not told");
        }
    }

    fn renew_all(&self, connection: &mut Connection) -> RedisResult<()> {
        for batch in self.leases.renewable().chunks(BATCH) {
            for lost in self.renew(connection, batch)? {
                let key = &batch[lost - 1];
                debug!(job.id = %String::from_utf8_lossy(&key.id), job.kind = %key.kind, "lease lost");
                if self.leases.lose(key) {
                    self.metrics.lease_lost(key.kind);
                }
            }
        }
        Ok(())
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(connection::RESPONSE_TIMEOUT)?;
        connection.set_read_timeout(Some(connection::RESPONSE_TIMEOUT))?;
        connection.set_write_timeout(Some(connection::RESPONSE_TIMEOUT))?;
        Ok(connection)
    }

    /// Numbers, from 1, of those that are lost.
    fn renew(&self, connection: &mut Connection, batch: &[LeaseKey]) -> RedisResult<Vec<usize>> {
        let mut numbers = BTreeMap::<Kind, usize>::new();
        let mut call = scripts::LEASES_EXTEND.prepare_invoke();
        call.arg(milliseconds(self.lease));
        for lease in batch {
            let next = numbers.len() + 1;
            let number = *numbers.entry(lease.kind).or_insert_with(|| {
                let queue = self.keys.queue(lease.kind);
                call.key(queue.leases()).key(queue.meta_prefix());
                next
            });
            call.arg(number).arg(&lease.id).arg(&lease.token);
        }
        let asked_at = Instant::now();
        let answer = call.invoke(connection);
        self.metrics.took(Call::Extend, answer.is_ok(), asked_at.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_silent_for_longer_than_a_round_takes_is_stuck() {
        assert!(Beats::of_test(Duration::ZERO).go_on());
        assert!(Beats::of_test(Duration::from_secs(64)).go_on());
        assert!(!Beats::of_test(Duration::from_secs(66)).go_on());
    }
}
