//! How many bodies there may be at once, and how much memory they have together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::problem::Problem;

/// Memory and places of all bodies that are here. Clones share them.
#[derive(Clone, Debug)]
pub struct Memory {
    total: u64,
    used: Arc<AtomicU64>,
    places: Arc<Semaphore>,
}

/// A place and the memory of what has come of one body, free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    bytes: AtomicU64,
    _place: OwnedSemaphorePermit,
}

impl Memory {
    /// So many bytes, for at most so many bodies.
    pub fn new(total: u64, places: usize) -> Self {
        Self { total, used: Arc::default(), places: Arc::new(Semaphore::new(places)) }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// A place for a body that will need so many bytes, and has none yet: what it announces it need not send.
    ///
    /// # Errors
    ///
    /// 503 `busy`: other bodies have the places, or the memory.
    pub fn admit(&self, bytes: u64) -> Result<Reservation, Problem> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Problem::busy("as many bodies as may be are being received just now"));
        };
        if self.used().saturating_add(bytes.min(self.total)) > self.total {
            return Err(full());
        }
        Ok(Reservation { memory: self.clone(), bytes: AtomicU64::new(0), _place: place })
    }
}

impl Reservation {
    /// Makes it so many bytes, if it was less. A body that needs more than all of the memory is alone with it.
    ///
    /// # Errors
    ///
    /// 503 `busy`: other bodies have the memory.
    pub fn hold(&self, bytes: u64) -> Result<(), Problem> {
        let Memory { total, used, .. } = &self.memory;
        let bytes = bytes.min(*total);
        let more = bytes.saturating_sub(self.bytes.load(Relaxed));
        let taken =
            used.fetch_update(Relaxed, Relaxed, |used| used.checked_add(more).filter(|used| *used <= *total));
        taken.map_err(|_| full())?;
        self.bytes.fetch_add(more, Relaxed);
        Ok(())
    }
}

fn full() -> Problem {
    Problem::busy("other uploads fill DARKROOM_UPLOAD_MEMORY just now")
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_as_bytes_come_up_to_its_total_and_comes_back() {
        let memory = Memory::new(100, 9);

        let first = memory.admit(60).unwrap();
        first.hold(20).unwrap();
        first.hold(60).unwrap();
        assert!(memory.admit(41).is_err());
        let second = memory.admit(40).unwrap();
        second.hold(40).unwrap();
        assert!(second.hold(41).is_err());
        assert_eq!(memory.used(), 100);
        drop((first, second));

        assert_eq!(memory.used(), 0);
        let alone = memory.admit(101).unwrap();
        alone.hold(101).unwrap();
        assert!(memory.admit(1).is_err());
        drop(alone);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_is_announced_and_does_not_come_takes_nothing_from_others() {
        let memory = Memory::new(100, 9);

        let silent = [memory.admit(100).unwrap(), memory.admit(100).unwrap()];

        memory.admit(100).unwrap().hold(100).unwrap();
        drop(silent);
    }

    #[test]
    fn there_are_no_more_bodies_than_places_however_small_they_are() {
        let memory = Memory::new(100, 2);

        let (first, second) = (memory.admit(1).unwrap(), memory.admit(1).unwrap());
        assert!(memory.admit(1).is_err());
        drop(first);

        assert!(memory.admit(1).is_ok());
        drop(second);
    }
}
