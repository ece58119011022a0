//! Politeness of one process: how many connections a host has, how close its requests follow each other, and when it
//! is left alone because it fails.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use crate::{config::Fetch, queue::clock::milliseconds};

/// Hosts that are remembered at once; those that did nothing wrong are forgotten first.
const MAX_HOSTS: usize = 4_096;
/// How long a fetch waits for a connection before its job is put off: the slot is needed for other hosts.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a job is put off whose host is busy, for each that was put off before it.
const BUSY_STEP: Duration = Duration::from_secs(2);
const BUSY_LEAST: Duration = Duration::from_secs(5);
const BUSY_MOST: Duration = Duration::from_secs(300);
/// How long others wait while one tries whether the host is back.
const TRIAL: Duration = Duration::from_secs(5);

/// The hosts that this process fetches from. Clones share them.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

/// What a host is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Time between two beginnings.
    pub gap: Duration,
    /// Failures in a row that open its breaker.
    pub failures: u32,
    /// How long that is open for the first time.
    pub open: Duration,
    /// How long at most.
    pub open_most: Duration,
}

#[derive(Debug)]
struct Host {
    name: String,
    connections: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// How often the breaker opened since the host last worked.
    openings: u32,
    /// Until when nobody asks.
    shut_until: Option<Instant>,
    /// Whether somebody tries if it is back.
    on_trial: bool,
    /// When the next request may begin.
    next_start: Option<Instant>,
    /// Jobs that were put off because it was busy, less those that had their turn since.
    turned_away: u32,
}

/// A turn at a host: one connection. Dropped without a word, it says nothing of the host.
#[derive(Debug)]
pub struct Turn {
    hosts: Hosts,
    host: Arc<Host>,
    is_trial: bool,
    _connection: Option<OwnedSemaphorePermit>,
}

impl Limits {
    /// As the settings say.
    pub fn new(settings: &Fetch) -> Self {
        Self {
            connections: settings.fetch_connections_per_host as usize,
            gap: Duration::from_secs(1) / settings.fetch_starts_per_second,
            failures: settings.fetch_breaker_failures,
            open: settings.fetch_breaker,
            open_most: settings.fetch_breaker_max,
        }
    }
}

impl Hosts {
    /// Nobody is known yet.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, known: Mutex::default() }))
    }

    /// How long a host is still left alone; `None` when it is not.
    pub fn shut_for(&self, name: &str) -> Option<Duration> {
        let host = self.known().get(name).cloned()?;
        let until = host.state().shut_until?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Waits for a turn at a host, but not for long.
    ///
    /// # Errors
    ///
    /// After which time to ask again: the host is left alone, or busy.
    pub async fn turn(&self, name: &str) -> Result<Turn, Duration> {
        let host = self.host(name);
        let is_trial = host.state().enter(Instant::now())?;
        let mut turn = Turn { hosts: self.clone(), host, is_trial, _connection: None };
        let waiting = Arc::clone(&turn.host.connections).acquire_owned();
        let Ok(connection) = timeout(PATIENCE, waiting).await else {
            let busy = turn.host.state().turn_away();
            return Err(busy.mul_f64(0.8 + 0.4 * fastrand::f64()));
        };
        turn._connection = Some(connection.expect("it is never closed"));
        let start = turn.host.state().begin(Instant::now(), self.0.limits.gap);
        // A sleep until now takes up to a millisecond.
        if start > Instant::now() {
            sleep_until(start).await;
        }
        Ok(turn)
    }

    /// How many hosts are remembered.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut known = self.known();
        if let Some(host) = known.get(name) {
            return Arc::clone(host);
        }
        if known.len() >= MAX_HOSTS {
            forget(&mut known);
        }
        let host = Arc::new(Host {
            name: name.to_owned(),
            connections: Arc::new(Semaphore::new(self.0.limits.connections)),
            state: Mutex::default(),
        });
        known.insert(name.to_owned(), Arc::clone(&host));
        host
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Host>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: those who are idle and did nothing wrong go; if that is nobody, all who are idle.
fn forget(known: &mut HashMap<String, Arc<Host>>) {
    let now = Instant::now();
    let is_idle = |host: &Arc<Host>| Arc::strong_count(host) == 1;
    known.retain(|_, host| !is_idle(host) || !host.state().is_clean(now));
    if known.len() >= MAX_HOSTS {
        warn!("too many hosts fail; their failures are forgotten");
        known.retain(|_, host| !is_idle(host));
    }
}

impl State {
    fn is_clean(&self, now: Instant) -> bool {
        self.failures == 0 && self.turned_away == 0 && !self.is_shut(now)
    }

    fn is_shut(&self, now: Instant) -> bool {
        self.shut_until.is_some_and(|until| until > now)
    }

    /// Whether who enters is the one who tries if the host is back.
    fn enter(&mut self, now: Instant) -> Result<bool, Duration> {
        match self.shut_until {
            Some(until) if until > now => Err(until - now),
            Some(_) if self.on_trial => Err(TRIAL),
            Some(_) => {
                self.on_trial = true;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// How long a job is put off, before it is varied.
    fn turn_away(&mut self) -> Duration {
        self.turned_away = self.turned_away.saturating_add(1);
        BUSY_STEP.saturating_mul(self.turned_away).clamp(BUSY_LEAST, BUSY_MOST)
    }

    /// When a request may begin that wants to begin now.
    fn begin(&mut self, now: Instant, gap: Duration) -> Instant {
        self.turned_away = self.turned_away.saturating_sub(2);
        let start = self.next_start.map_or(now, |next| next.max(now));
        self.next_start = Some(start + gap);
        start
    }

    /// The host answered; whether it had been left alone.
    fn worked(&mut self, now: Instant) -> bool {
        self.failures = 0;
        // An answer to a request that began before does not open what was shut meanwhile.
        if self.is_shut(now) {
            return false;
        }
        (self.shut_until, self.on_trial) = (None, false);
        std::mem::take(&mut self.openings) > 0
    }

    /// The host failed; for how long it is left alone, when it is from now on.
    fn failed(&mut self, now: Instant, is_trial: bool, limits: &Limits) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        if self.is_shut(now) || (!is_trial && self.failures < limits.failures) {
            return None;
        }
        let time = limits.open.saturating_mul(1 << self.openings.min(20)).min(limits.open_most);
        self.shut_until = Some(now + time);
        (self.failures, self.openings) = (0, self.openings.saturating_add(1));
        Some(time)
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The host answered.
    pub fn worked(&self) {
        if self.host.state().worked(Instant::now()) {
            info!(source.host = self.host.name, "host is back, its pictures are fetched again");
        }
    }

    /// The host failed.
    pub fn failed(&self) {
        let shut = self.host.state().failed(Instant::now(), self.is_trial, &self.hosts.0.limits);
        if let Some(time) = shut {
            warn!(
                source.host = self.host.name,
                duration_ms = milliseconds(time),
                "host failed, its jobs wait"
            );
        }
    }

    /// The host asked all of us to wait.
    pub fn asked_to_wait(&self, time: Duration) {
        let until = Instant::now() + time.min(self.hosts.0.limits.open_most);
        let mut state = self.host.state();
        state.shut_until = Some(state.shut_until.map_or(until, |earlier| earlier.max(until)));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_trial {
            self.host.state().on_trial = false;
        }
    }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
