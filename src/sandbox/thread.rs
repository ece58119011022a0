//! Work on a blocking thread, which may panic and may run late.

use std::{
    cell::Cell,
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant},
};

use super::Error;

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

    /// Runs even when nobody waits for it any more; `held` is dropped when it has really ended.
    pub async fn run<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let entry = Entry::new(&self.running);
        #[expect(clippy::disallowed_methods, reason = "the sandbox is where blocking work starts")]
        let thread = tokio::task::spawn_blocking(move || {
            DECODES.set(true);
            let made = panic::catch_unwind(AssertUnwindSafe(work));
            DECODES.set(false);
            drop(entry);
            drop(held);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_and_gives_back_what_was_held() {
        let threads = Threads::new(Duration::from_secs(20));
        let held = Arc::new(());

        let answer: Result<(), _> = threads.run(Arc::clone(&held), || panic!("a broken decoder")).await;

        assert!(matches!(answer, Err(Error::Crashed)), "{answer:?}");
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(threads.stuck(), None);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_holds_its_reservation_until_it_ends() {
        let threads = Threads::new(Duration::from_millis(1));
        let (held, (go, wait)) = (Arc::new(()), mpsc::channel::<()>());
        let work = {
            let held = Arc::clone(&held);
            threads.run(held, move || wait.recv().map_err(|_| Error::Crashed))
        };

        let given_up = tokio::time::timeout(Duration::from_millis(20), work).await;

        assert!(given_up.is_err(), "the work waits for us");
        assert_eq!(Arc::strong_count(&held), 2, "a thread cannot be stopped: its memory is still in use");
        assert!(threads.stuck() > Some(Duration::from_millis(10)), "{:?}", threads.stuck());
        go.send(()).expect("the thread waits");
        while threads.stuck().is_some() || Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
