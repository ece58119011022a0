//! Time: what a delivery may take of it, and in milliseconds, as Redis counts it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use darkroom_jobs::Timestamp;
use tokio::sync::Notify;

/// Whole milliseconds; what is too long to be counted is the longest time there is.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The moment so long after another.
pub fn later(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_unix_ms(than.unix_ms().saturating_add(milliseconds(by)))
}

/// Counts down while a job runs, and stands still while it waits for memory. Clones share one clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: Duration,
    time: Mutex<Time>,
    changed: Notify,
}

#[derive(Debug)]
struct Time {
    used: Duration,
    /// Since when it runs; `None` while it stands still.
    running: Option<Instant>,
}

impl Clock {
    /// A running clock that expires after `limit`.
    pub fn start(limit: Duration) -> Self {
        let time = Time { used: Duration::ZERO, running: Some(Instant::now()) };
        Self(Arc::new(Inner { limit, time: Mutex::new(time), changed: Notify::new() }))
    }

    /// One that stands still, of which so much was used.
    #[cfg(test)]
    pub(super) fn of_test(limit: Duration, used: Duration) -> Self {
        let time = Time { used, running: None };
        Self(Arc::new(Inner { limit, time: Mutex::new(time), changed: Notify::new() }))
    }

    /// Stops the clock, or lets it go on.
    pub fn stand_still(&self, still: bool) {
        {
            let mut time = self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
            match (still, time.running) {
                (true, Some(since)) => {
                    time.used += since.elapsed();
                    time.running = None;
                }
                (false, None) => time.running = Some(Instant::now()),
                _ => return,
            }
        }
        self.0.changed.notify_waiters();
    }

    /// How far past the limit the clock is; `None` before that.
    pub fn overdue(&self) -> Option<Duration> {
        self.used().checked_sub(self.0.limit)
    }

    /// Returns when the limit is reached.
    pub async fn expired(&self) {
        loop {
            let changed = self.0.changed.notified();
            let (left, still) = (self.0.limit.saturating_sub(self.used()), self.stands_still());
            if left.is_zero() {
                return;
            }
            if still {
                changed.await;
            } else {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(left) => {}
                }
            }
        }
    }

    fn used(&self) -> Duration {
        let time = self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
        time.used + time.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn stands_still(&self) -> bool {
        self.0.time.lock().unwrap_or_else(PoisonError::into_inner).running.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_stands_still_does_not_expire() {
        let clock = Clock::start(Duration::from_millis(50));

        clock.stand_still(true);
        let early = tokio::time::timeout(Duration::from_millis(150), clock.expired()).await;
        clock.stand_still(false);
        let late = tokio::time::timeout(Duration::from_secs(5), clock.expired()).await;

        assert!(early.is_err(), "it expired while it stood still");
        assert!(late.is_ok(), "it never expired");
        assert!(clock.overdue().is_some());
    }
}
