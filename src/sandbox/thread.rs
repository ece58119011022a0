//! One picture on one blocking thread, which may panic and may run late.

use std::{
    cell::Cell,
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Error, Photo, Timings, budget::Reservation};
use crate::{
    digest,
    imaging::{self, Limits, Preset, Stage},
};

/// The decoders that run. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Threads {
    deadline: Duration,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    since: HashMap<u64, Instant>,
}

/// A decoder that runs; it is forgotten when this is dropped.
struct Entry {
    number: u64,
    running: Arc<Mutex<Running>>,
}

thread_local! {
    /// Whether this thread decodes: its panics are answers, not news.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

impl Threads {
    pub fn new(deadline: Duration) -> Self {
        silence_decoders();
        Self { deadline, running: Arc::default() }
    }

    /// Runs even when nobody waits for it any more; the reservation is held until it has really ended.
    pub async fn run(
        &self,
        original: Bytes,
        preset: Preset,
        limits: Limits,
        reservation: Reservation,
    ) -> Result<Photo, Error> {
        let entry = Entry::new(&self.running);
        #[expect(clippy::disallowed_methods, reason = "the sandbox is where blocking work starts")]
        let thread = tokio::task::spawn_blocking(move || {
            DECODES.set(true);
            let made = panic::catch_unwind(AssertUnwindSafe(|| photo(&original, &preset, &limits)));
            DECODES.set(false);
            drop(original);
            drop(entry);
            drop(reservation);
            made.unwrap_or(Err(Error::Crashed))
        });
        thread.await.unwrap_or(Err(Error::Crashed))
    }

    pub fn stuck(&self) -> Option<Duration> {
        let running = lock(&self.running);
        let longest = running.since.values().map(Instant::elapsed).max()?;
        longest.checked_sub(self.deadline).filter(|overrun| !overrun.is_zero())
    }
}

fn photo(original: &[u8], preset: &Preset, limits: &Limits) -> Result<Photo, Error> {
    let (mut timings, mut since) = (Timings::default(), Instant::now());
    let normalized = imaging::normalize(original, preset, limits, &mut |stage| {
        let spent = match stage {
            Stage::Decoded => &mut timings.decode,
            Stage::Processed => &mut timings.process,
            Stage::Encoded => &mut timings.encode,
        };
        *spent = since.elapsed();
        since = Instant::now();
    })?;
    let sha256 = digest::sha256(&normalized.jpeg);
    Ok(Photo { normalized, sha256, timings })
}

impl Entry {
    fn new(running: &Arc<Mutex<Running>>) -> Self {
        let mut state = lock(running);
        let number = state.next;
        state.next += 1;
        state.since.insert(number, Instant::now());
        Self { number, running: Arc::clone(running) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.running).since.remove(&self.number);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A decoder's panic is reported as `decode_crashed`; the hook that prints panics leaves it alone.
fn silence_decoders() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !DECODES.get() {
                usual(panic);
            }
        }));
    });
}
