//! The upkeep of all queues: promotes what is due, returns what nobody renews, forgets what is old.
//!
//! Leaderless: every process does it once a second, whatever queues it serves, and any number of them is harmless.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use darkroom_jobs::{Kind, redis_keys::Keys, wire::Connection};
use redis::RedisResult;
use tracing::{debug, info};

use super::{
    clock::milliseconds,
    metrics::{Call, Metrics},
    scripts,
};
use crate::config;

/// Jobs that one call of the script moves, per queue and kind of work: some 1 ms of Redis, on a machine that others use too.
const BATCH: usize = 50;

/// A job that is due later than in 30 days was given a wrong time.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the script is asked.
pub(super) struct Upkeep {
    keys: Keys,
    settings: Arc<[u64; 11]>,
    busy: Arc<AtomicBool>,
    metrics: Metrics,
}

/// What one call of the script says.
#[derive(Debug)]
pub(super) struct Round {
    /// Of each queue whether it has ready jobs.
    pub ready: Vec<(Kind, bool)>,
    /// Whether a batch was full: there is more to do at once.
    pub more: bool,
}

/// One call of the script; the next can begin when it is dropped.
pub(super) struct Asking {
    keys: Keys,
    settings: Arc<[u64; 11]>,
    busy: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Upkeep {
    pub fn new(keys: Keys, worker: &config::Worker, metrics: Metrics) -> Self {
        let settings = [
            milliseconds(worker.lease),
            milliseconds(worker.reap),
            milliseconds(worker.outage),
            HORIZON.as_secs(),
            worker.done_retention.as_secs(),
            worker.done_max,
            worker.dead_retention.as_secs(),
            worker.dead_max,
            worker.dead_max_bytes,
            worker.limits.crashes.into(),
            milliseconds(worker.limits.crashes_within),
        ];
        Self { keys, settings: Arc::new(settings), busy: Arc::default(), metrics }
    }

    /// Whether the last call has not been answered: Redis is slow.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    pub fn begin(&self) -> Asking {
        self.busy.store(true, Relaxed);
        let (settings, busy) = (Arc::clone(&self.settings), Arc::clone(&self.busy));
        Asking { keys: self.keys.clone(), settings, busy, metrics: self.metrics.clone() }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.busy.store(false, Relaxed);
    }
}

impl Asking {
    /// Calls the script once: ready jobs are not kept waiting until a whole backlog has been moved.
    pub async fn run(self, redis: &mut Connection) -> RedisResult<Round> {
        let mut call = scripts::QUEUES_TICK.prepare_invoke();
        for kind in Kind::ALL {
            let queue = self.keys.queue(kind);
            call.key(queue.scheduled()).key(queue.active()).key(queue.leases()).key(queue.reaped());
            call.key(queue.data()).key(queue.done()).key(queue.dead()).key(queue.stats());
            call.key(queue.meta_prefix());
        }
        call.arg(BATCH);
        for setting in self.settings.iter() {
            call.arg(setting);
        }
        let answer: Vec<u64> = self.metrics.timed(Call::Tick, call.invoke_async(redis)).await?;
        let mut round = Round { ready: Vec::with_capacity(Kind::ALL.len()), more: false };
        for (kind, row) in Kind::ALL.into_iter().zip(answer[1..].chunks_exact(4)) {
            if row[3] > 0 {
                self.metrics.recovered(kind, row[3]);
                info!(job.kind = %kind, jobs = row[3], "jobs recovered whose lease ran out");
            }
            if row[2] > 0 {
                debug!(job.kind = %kind, jobs = row[2], "jobs promoted that are due");
            }
            round.ready.push((kind, row[0] > 0));
            round.more |= row[1] == 1;
        }
        Ok(round)
    }
}
