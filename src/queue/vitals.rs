//! Whether a worker lives, for those who probe it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::consumer::Pulse;

/// What others may know of a worker's life. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    pulse: OnceLock<Pulse>,
    /// Since when no jobs are claimed.
    stopped: OnceLock<Instant>,
}

impl Vitals {
    /// From now on jobs are claimed.
    pub fn begin(&self, pulse: Pulse) {
        // A worker begins once.
        let _ = self.0.pulse.set(pulse);
    }

    /// From now on no jobs are claimed.
    pub fn stop(&self) {
        self.0.stopped.get_or_init(Instant::now);
    }

    /// Whether the parts that must never stop are running. True before the beginning: waiting for Redis is no death.
    pub fn is_alive(&self) -> bool {
        let pulse = self.0.pulse.get();
        pulse.is_none_or(|pulse| pulse.beats() && (pulse.claims() || self.0.stopped.get().is_some()))
    }

    /// Whether jobs are claimed.
    pub fn is_working(&self) -> bool {
        self.0.pulse.get().is_some_and(Pulse::claims) && self.0.stopped.get().is_none()
    }

    /// How long ago Redis last answered the heartbeat; `None` before the beginning.
    pub fn beat_age(&self) -> Option<Duration> {
        self.0.pulse.get().map(Pulse::beat_age)
    }

    /// How long ago the worker was told to stop.
    pub fn stopping_for(&self) -> Option<Duration> {
        self.0.stopped.get().map(Instant::elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An actor that has ended, or never does; the heartbeat's thread goes on without a lease and without Redis.
    async fn pulse(ended: bool) -> Pulse {
        let actor = tokio::spawn(async move {
            if ended {
            } else {
                std::future::pending().await
            }
        });
        let handle = actor.abort_handle();
        if ended {
            actor.await.expect("it ends well");
        }
        Pulse::of_test(handle)
    }

    #[tokio::test]
    async fn a_worker_that_waits_for_redis_lives_but_does_not_work() {
        let vitals = Vitals::default();

        assert!(vitals.is_alive() && !vitals.is_working());
    }

    #[tokio::test]
    async fn a_worker_whose_actor_has_stopped_by_itself_is_dead() {
        let (well, dead) = (Vitals::default(), Vitals::default());
        well.begin(pulse(false).await);
        dead.begin(pulse(true).await);

        assert!(well.is_alive() && well.is_working());
        assert!(!dead.is_alive() && !dead.is_working());
    }

    #[tokio::test]
    async fn a_worker_that_was_told_to_stop_lives_to_the_end_and_works_no_more() {
        let vitals = Vitals::default();
        vitals.begin(pulse(true).await);

        vitals.stop();

        assert!(vitals.is_alive() && !vitals.is_working() && vitals.stopping_for().is_some());
    }
}
