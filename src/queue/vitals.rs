//! Whether a worker lives, for those who probe it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::consumer::Pulse;

/// What others may know of a worker's life. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    pulse: OnceLock<Pulse>,
    stopping: AtomicBool,
}

impl Vitals {
    /// From now on jobs are claimed.
    pub fn begin(&self, pulse: Pulse) {
        // A worker begins once.
        let _ = self.0.pulse.set(pulse);
    }

    /// From now on no jobs are claimed.
    pub fn stop(&self) {
        self.0.stopping.store(true, Relaxed);
    }

    /// Whether the parts that must never stop are running. True before the beginning: waiting for Redis is no death.
    pub fn is_alive(&self) -> bool {
        let pulse = self.0.pulse.get();
        pulse.is_none_or(|pulse| pulse.beats() && (pulse.claims() || self.0.stopping.load(Relaxed)))
    }

    /// Whether jobs are claimed.
    pub fn is_working(&self) -> bool {
        self.0.pulse.get().is_some_and(Pulse::claims) && !self.0.stopping.load(Relaxed)
    }
}
