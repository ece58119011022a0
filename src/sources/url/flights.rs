//! One request in flight for each URL: who asks for the same meanwhile shares what comes of it.
//!
//! A fetch is driven by everybody who waits for it, and ends when nobody does: one who is aborted leaves it to the others.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::{FutureExt as _, Shared, WeakShared};

type Flight<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is in flight. Clones share it.
pub struct Flights<T: Clone>(Arc<Mutex<HashMap<String, WeakShared<Flight<T>>>>>);

impl<T: Clone> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// What is in flight under this key, else what `begin` makes; and whether it is that.
    pub fn join<F>(&self, key: &str, begin: impl FnOnce() -> F) -> (Shared<Flight<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_flight =
            flights.get(key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
        if let Some(flight) = in_flight {
            return (flight, false);
        }
        flights.retain(|_, flight| flight.upgrade().is_some());
        let flight = (Box::pin(begin()) as Flight<T>).shared();
        flights.insert(key.to_owned(), flight.downgrade().expect("it was not polled yet"));
        (flight, true)
    }
}

impl<T: Clone> std::fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flights")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::SeqCst},
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    /// Answers 100 ms after it was first looked at, with how many were begun.
    fn join(flights: &Flights<u32>, begun: &Arc<AtomicU32>) -> (Shared<Flight<u32>>, bool) {
        let begun = Arc::clone(begun);
        flights.join("url", || async move {
            let number = begun.fetch_add(1, SeqCst) + 1;
            sleep(Duration::from_millis(100)).await;
            number
        })
    }

    #[tokio::test]
    async fn those_who_ask_meanwhile_share_one_answer_and_later_ones_begin_anew() {
        let (flights, begun) = (Flights::default(), Arc::default());

        let ((first, leads), (second, follows)) = (join(&flights, &begun), join(&flights, &begun));
        let together = tokio::join!(first, second);
        let (later, leads_again) = join(&flights, &begun);

        assert_eq!((together, later.await), ((1, 1), 2));
        assert_eq!((leads, follows, leads_again), (true, false, true));
    }

    #[tokio::test]
    async fn who_began_may_be_aborted_and_the_others_have_their_answer() {
        let (flights, begun) = (Flights::default(), Arc::default());
        let (first, _) = join(&flights, &begun);
        let leader = tokio::spawn(first);
        tokio::task::yield_now().await;
        let (follower, _) = join(&flights, &begun);
        let follower = tokio::spawn(follower);
        tokio::task::yield_now().await;

        leader.abort();
        let answer = timeout(Duration::from_secs(5), follower).await;

        assert_eq!(answer.expect("it does not hang").unwrap(), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_ends_and_nothing_is_kept_of_it() {
        let (flights, begun) = (Flights::default(), Arc::<AtomicU32>::default());
        let guard = Arc::new(());
        let held = Arc::clone(&guard);
        let (alone, _) = flights.join("other", || async move {
            let _held = held;
            std::future::pending().await
        });

        drop(alone);
        let _next = join(&flights, &begun);

        assert_eq!((Arc::strong_count(&guard), flights.0.lock().unwrap().len()), (1, 1));
    }
}
