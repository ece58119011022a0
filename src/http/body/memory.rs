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

/// A place and the memory of one body, free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    bytes: u64,
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

    /// A body that needs more than all of the memory is alone with it.
    ///
    /// # Errors
    ///
    /// 503 `busy`: other bodies have the places, or the memory.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, Problem> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Problem::busy("as many bodies as may be are being received just now"));
        };
        let bytes = bytes.min(self.total);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.total);
        match self.used.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Ok(Reservation { memory: self.clone(), bytes, _place: place }),
            Err(_) => Err(Problem::busy("other uploads fill DARKROOM_UPLOAD_MEMORY just now")),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reserved_up_to_its_total_and_comes_back() {
        let memory = Memory::new(100, 9);

        let first = memory.reserve(60).unwrap();
        assert!(memory.reserve(41).is_err());
        let second = memory.reserve(40).unwrap();
        assert_eq!(memory.used(), 100);
        drop((first, second));

        assert_eq!(memory.used(), 0);
        let alone = memory.reserve(101).unwrap();
        assert!(memory.reserve(1).is_err());
        drop(alone);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn there_are_no_more_bodies_than_places_however_small_they_are() {
        let memory = Memory::new(100, 2);

        let (first, second) = (memory.reserve(1).unwrap(), memory.reserve(1).unwrap());
        assert!(memory.reserve(1).is_err());
        drop(first);

        assert!(memory.reserve(1).is_ok());
        assert_eq!(memory.used(), 1);
        drop(second);
    }
}
