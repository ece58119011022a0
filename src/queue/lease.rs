//! The jobs that this process holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use darkroom_jobs::{Kind, redis_keys::Keys};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::{
    clock::{Clock, milliseconds},
    consumer::Command,
};

/// A lease is renewed until its job is this much past its deadline.
const MAX_OVERDUE: Duration = Duration::from_secs(10);

/// Names one delivery of one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The queue.
    pub kind: Kind,
    /// The job, as the bytes that Redis gave.
    pub id: Vec<u8>,
    /// Fencing token: fresh for every delivery.
    pub token: String,
}

impl LeaseKey {
    /// Key of what is known of the job.
    pub fn meta(&self, keys: &Keys) -> Vec<u8> {
        [keys.queue(self.kind).meta_prefix().as_bytes(), &self.id].concat()
    }
}

/// One job that is ours for now. Dropped unsettled, it leaves the heartbeat and is given back.
///
/// Dropped by a panic it is left to the reaper, which counts the crash: given back, the job would panic for ever.
#[derive(Debug)]
pub struct Lease {
    key: LeaseKey,
    clock: Clock,
    lost: watch::Receiver<bool>,
    held: Leases,
    /// Where it goes when it is dropped; `None` once settled.
    returns: Option<mpsc::UnboundedSender<Command>>,
    /// The worker's slot, free again when the lease has ended.
    slot: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// `timeout`: how long the delivery may run.
    pub(super) fn begin(
        held: &Leases,
        key: LeaseKey,
        timeout: Duration,
        slot: OwnedSemaphorePermit,
        returns: mpsc::UnboundedSender<Command>,
    ) -> Self {
        let clock = Clock::start(timeout);
        let lost = held.insert(key.clone(), clock.clone());
        Self { key, clock, lost, held: held.clone(), returns: Some(returns), slot: Some(slot) }
    }

    /// Which delivery it is.
    pub fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// The time that the delivery may take.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns when the heartbeat has learnt that another worker may have the job.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // The sender lives as long as the entry: its end is the end of the lease.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Ends the lease without giving the job back: it was settled, or another worker has it.
    pub(super) fn end(mut self) {
        self.returns = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.remove(&self.key);
        if std::thread::panicking() {
            return;
        }
        if let Some(returns) = self.returns.take() {
            // A consumer that is gone has given everything back, or the lease runs out by itself.
            let _ = returns.send(Command::Return(self.key.clone(), self.slot.take()));
        }
    }
}

/// The leases that the heartbeat renews. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<HashMap<LeaseKey, Held>>>);

/// A job that a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job_id: String,
    /// Its queue.
    pub kind: String,
    /// How long this delivery has been running, in milliseconds.
    pub running_ms: u64,
}

#[derive(Debug)]
struct Held {
    clock: Clock,
    since: Instant,
    lost: watch::Sender<bool>,
}

impl Leases {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// Those that are to be renewed: a job far past its deadline is left to the reaper.
    pub(super) fn renewable(&self) -> Vec<LeaseKey> {
        let overdue = |held: &Held| held.clock.overdue().is_some_and(|by| by > MAX_OVERDUE);
        self.table().iter().filter(|(_, held)| !overdue(held)).map(|(key, _)| key.clone()).collect()
    }

    /// What is held, for those who look.
    pub(super) fn runs(&self) -> Vec<Run> {
        let run = |(key, held): (&LeaseKey, &Held)| Run {
            job_id: String::from_utf8_lossy(&key.id).into_owned(),
            kind: key.kind.as_str().into(),
            running_ms: milliseconds(held.since.elapsed()),
        };
        self.table().iter().map(run).collect()
    }

    /// Says whether that is news.
    pub(super) fn lose(&self, key: &LeaseKey) -> bool {
        self.table().get(key).is_some_and(|held| !held.lost.send_replace(true))
    }

    fn insert(&self, key: LeaseKey, clock: Clock) -> watch::Receiver<bool> {
        let (lost, receiver) = watch::channel(false);
        self.table().insert(key, Held { clock, since: Instant::now(), lost });
        receiver
    }

    fn remove(&self, key: &LeaseKey) {
        self.table().remove(key);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<LeaseKey, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn lease(held: &Leases, slots: &Arc<Semaphore>) -> (Lease, mpsc::UnboundedReceiver<Command>) {
        let (returns, returned) = mpsc::unbounded_channel();
        let key = LeaseKey { kind: Kind::Upload, id: b"job".to_vec(), token: "token".into() };
        let slot = Arc::clone(slots).try_acquire_owned().expect("a slot is free");
        (Lease::begin(held, key, Duration::from_secs(90), slot, returns), returned)
    }

    #[test]
    fn a_lease_that_is_dropped_is_given_back_and_one_that_panics_is_left_to_the_reaper() {
        let (held, slots) = (Leases::default(), Arc::new(Semaphore::new(2)));
        let (dropped, mut given) = lease(&held, &slots);
        let (panicked, mut left) = lease(&held, &slots);

        drop(dropped);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _lease = panicked;
            panic!("on purpose");
        }));
        assert!(panic.is_err());

        assert!(matches!(given.try_recv(), Ok(Command::Return(..))));
        assert!(left.try_recv().is_err() && held.is_empty());
        assert_eq!(slots.available_permits(), 2);
    }
    #[test]
    fn a_lease_is_renewed_until_its_job_is_ten_seconds_past_its_deadline() {
        let (held, limit) = (Leases::default(), Duration::from_secs(90));
        for (token, used) in [("in-time", 89), ("late", 99), ("left-to-the-reaper", 101)] {
            let key = LeaseKey { kind: Kind::Upload, id: b"job".to_vec(), token: token.into() };
            drop(held.insert(key, Clock::of_test(limit, Duration::from_secs(used))));
        }

        let mut renewed: Vec<_> = held.renewable().into_iter().map(|key| key.token).collect();

        renewed.sort();
        assert_eq!(renewed, ["in-time", "late"]);
    }
}
