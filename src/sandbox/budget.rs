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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::Receiver;

    use super::*;

    fn granted(waiting: &mut Receiver<Reservation>) -> Option<Reservation> {
        waiting.try_recv().ok()
    }

    #[test]
    fn cores_and_memory_are_never_given_twice_and_always_come_back() {
        let budget = Budget::new(100, 2);

        let mut first = budget.reserve(60, Priority::Upload);
        let mut too_much = budget.reserve(60, Priority::Upload);
        let mut small = budget.reserve(40, Priority::Upload);
        let mut no_core = budget.reserve(0, Priority::Upload);
        let (first, small) = (granted(&mut first), granted(&mut small));

        assert!(first.is_some() && small.is_some(), "a smaller one passes");
        assert!(granted(&mut too_much).is_none() && granted(&mut no_core).is_none());
        drop(first);
        let large = granted(&mut too_much);
        assert!(large.is_some(), "what came back is given to who waits");
        drop((small, large));
        assert!(granted(&mut no_core).is_some());
        let state = budget.lock();
        assert_eq!((state.free_bytes, state.free_cores), (100, 2));
    }

    #[test]
    fn who_left_is_passed_over() {
        let budget = Budget::new(100, 1);
        let mut running = budget.reserve(100, Priority::Upload);
        let running = granted(&mut running).expect("nobody else is there");
        drop(budget.reserve(100, Priority::Upload));
        let mut stayed = budget.reserve(100, Priority::Upload);

        drop(running);

        assert!(granted(&mut stayed).is_some());
    }

    #[test]
    fn uploads_go_first_and_every_fourth_permit_is_an_ingests() {
        let budget = Budget::new(100, 1);
        let mut running = budget.reserve(1, Priority::Ingest);
        let mut running = granted(&mut running);
        let order = |kind| (0..6).map(|_| (kind, budget.reserve(1, kind))).collect::<Vec<_>>();
        let mut waiting = order(Priority::Ingest);
        waiting.extend(order(Priority::Upload));

        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(running.take());
            let next = waiting.iter_mut().enumerate().find_map(|(at, (_, one))| Some((at, granted(one)?)));
            let (at, reservation) = next.expect("a core is free, so somebody has it");
            served.push(waiting.remove(at).0);
            running = Some(reservation);
        }

        use Priority::{Ingest as I, Upload as U};
        assert_eq!(served, [U, U, U, I, U, U, U, I, I, I, I, I]);
    }

    #[test]
    fn a_large_picture_is_not_passed_for_ever() {
        let budget = Budget::new(100, 2);
        let mut small = budget.reserve(50, Priority::Upload);
        let mut small = granted(&mut small);
        let mut large = budget.reserve(100, Priority::Upload);

        let mut passed = 0;
        loop {
            let mut next = budget.reserve(50, Priority::Upload);
            let Some(reservation) = granted(&mut next) else { break };
            passed += 1;
            small = Some(reservation);
        }
        drop(small);

        assert_eq!(passed, MAX_OVERTAKEN);
        assert!(granted(&mut large).is_some(), "its turn comes as soon as the others are done");
    }
}
