//! Who may decode next: one picture a core, and no more memory than there is.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::Priority;

/// Every how many permits an ingest goes before the uploads that wait.
const INGEST_TURN: u32 = 4;

/// How many smaller pictures may pass one that waits for more memory.
const MAX_OVERTAKEN: u32 = 16;

/// Memory and cores, shared by all pictures in work. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    total: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free_bytes: u64,
    free_cores: usize,
    uploads_in_row: u32,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: u64,
    priority: Priority,
    overtaken: u32,
    granted: oneshot::Sender<Reservation>,
}

/// A core and some memory; both go back when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    bytes: u64,
    budget: Budget,
}

impl Budget {
    pub fn new(total: u64, cores: usize) -> Self {
        let state =
            State { free_bytes: total, free_cores: cores, uploads_in_row: 0, waiting: VecDeque::new() };
        Self { total, state: Arc::new(Mutex::new(state)) }
    }

    /// Whether so much can ever be had.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes <= self.total
    }

    /// Joins the queue; dropping the receiver leaves it.
    pub fn reserve(&self, bytes: u64, priority: Priority) -> oneshot::Receiver<Reservation> {
        let (granted, receiver) = oneshot::channel();
        self.lock().waiting.push_back(Waiting { bytes, priority, overtaken: 0, granted });
        self.admit();
        receiver
    }

    /// Lets in whoever may go. A reservation that nobody takes any more comes back by its drop, after the lock is free.
    fn admit(&self) {
        loop {
            let Some(next) = self.lock().next() else { return };
            let reservation = Reservation { bytes: next.bytes, budget: self.clone() };
            drop(next.granted.send(reservation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.granted.is_closed());
        if self.free_cores == 0 {
            return None;
        }
        let first = if self.uploads_in_row + 1 < INGEST_TURN { Priority::Upload } else { Priority::Ingest };
        let index = self.candidate(first).or_else(|| self.candidate(first.other()))?;
        let chosen = self.waiting.remove(index)?;
        for passed in self.waiting.iter_mut().take(index).filter(|one| one.bytes > self.free_bytes) {
            passed.overtaken += 1;
        }
        self.uploads_in_row = if chosen.priority == Priority::Upload { self.uploads_in_row + 1 } else { 0 };
        self.free_bytes -= chosen.bytes;
        self.free_cores -= 1;
        Some(chosen)
    }

    /// The first of its kind that fits, unless somebody has been passed too often: then only that one.
    fn candidate(&self, priority: Priority) -> Option<usize> {
        let fits = |waiting: &Waiting| waiting.bytes <= self.free_bytes;
        if let Some(patient) = self.waiting.iter().position(|waiting| waiting.overtaken >= MAX_OVERTAKEN) {
            return fits(&self.waiting[patient]).then_some(patient);
        }
        self.waiting.iter().position(|waiting| waiting.priority == priority && fits(waiting))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.free_bytes += self.bytes;
        state.free_cores += 1;
        drop(state);
        self.budget.admit();
    }
}
