//! Whether jobs that need the bucket are claimed: a bucket that is away burns no attempts.
//!
//! One for each process. What opens and closes it is the worker's affair.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};

use darkroom_jobs::Kind;
use tracing::{info, warn};

/// Open: jobs that need the bucket wait. Clones share it.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<State>);

#[derive(Debug)]
struct State {
    /// Failures in a row that open it.
    most: u32,
    failures: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    /// A closed one, which `failures` failures of the bucket in a row open.
    pub fn new(failures: u32) -> Self {
        Self(Arc::new(State { most: failures, failures: AtomicU32::new(0), open: AtomicBool::new(false) }))
    }

    /// Whether the bucket counts as down.
    pub fn is_open(&self) -> bool {
        self.0.open.load(SeqCst)
    }

    /// Whether jobs of this kind wait for the bucket now. Looks at the bucket go on: one of them closes it.
    pub fn pauses(&self, kind: Kind) -> bool {
        kind != Kind::BucketHealth && self.is_open()
    }

    /// A job failed because of the bucket.
    pub fn failed(&self) {
        if self.0.failures.fetch_add(1, SeqCst) + 1 >= self.0.most {
            self.open("jobs failed in a row");
        }
    }

    /// A job did what it should: the failures before it were not in a row with those to come.
    pub fn worked(&self) {
        self.0.failures.store(0, SeqCst);
    }

    /// The bucket is down.
    pub fn open(&self, reason: &str) {
        if !self.0.open.swap(true, SeqCst) {
            warn!(reason, "bucket is down, jobs that need it wait");
        }
    }

    /// The bucket works.
    pub fn close(&self) {
        self.worked();
        if self.0.open.swap(false, SeqCst) {
            info!("bucket is back, claiming goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_starts_anew() {
        let breaker = Breaker::new(3);

        for () in [breaker.failed(), breaker.failed(), breaker.worked(), breaker.failed(), breaker.failed()] {
        }
        let before = breaker.is_open();
        breaker.failed();

        assert_eq!((before, breaker.is_open()), (false, true));
    }

    #[test]
    fn an_open_one_pauses_all_but_health_checks_and_a_closed_one_nothing() {
        let breaker = Breaker::new(1);
        let paused = |breaker: &Breaker| Kind::ALL.map(|kind| breaker.pauses(kind));

        breaker.open("test");
        let open = paused(&breaker);
        breaker.close();

        assert_eq!(open, [true, true, true, false]);
        assert_eq!(paused(&breaker), [false; 4]);
    }
}
