//! Reading a header on a blocking thread, which may panic and may run late.

use std::{
    cell::Cell,
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant},
};

use super::Error;

/// The readers that run. Cloning shares them.
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

/// A reader that runs; it is forgotten when this is dropped.
struct Entry {
    number: u64,
    running: Arc<Mutex<Running>>,
}

thread_local! {
    /// Whether this thread reads a header: its panics are answers, not news.
    static READS: Cell<bool> = const { Cell::new(false) };
}

impl Threads {
    pub fn new(deadline: Duration) -> Self {
        silence_readers();
        Self { deadline, running: Arc::default() }
    }

    /// Runs even when nobody waits for it any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let entry = Entry::new(&self.running);
        #[expect(clippy::disallowed_methods, reason = "the sandbox is where blocking work starts")]
        let thread = tokio::task::spawn_blocking(move || {
            READS.set(true);
            let made = panic::catch_unwind(AssertUnwindSafe(work));
            READS.set(false);
            drop(entry);
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

/// A reader's panic is reported as `decode_crashed`; the hook that prints panics leaves it alone.
fn silence_readers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !READS.get() {
                usual(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let threads = Threads::new(Duration::from_secs(20));

        let answer: Result<(), _> = threads.run(|| panic!("a broken reader")).await;

        assert!(matches!(answer, Err(Error::Crashed)), "{answer:?}");
        assert_eq!(threads.stuck(), None);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_known_until_it_ends() {
        let threads = Threads::new(Duration::from_millis(1));
        let (go, wait) = mpsc::channel::<()>();
        let work = threads.run(move || wait.recv().map_err(|_| Error::Crashed));

        let given_up = tokio::time::timeout(Duration::from_millis(20), work).await;

        assert!(given_up.is_err(), "the work waits for us");
        assert!(threads.stuck() > Some(Duration::from_millis(10)), "{:?}", threads.stuck());
        go.send(()).expect("the thread waits");
        while threads.stuck().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
