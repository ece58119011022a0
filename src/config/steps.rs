//! The steps of a delivery, and, with the cargo feature `test-hooks` alone, where a test wants a worker to stop.
//!
//! A released binary cannot be told to stop.

/// What a delivery goes through; a job without a picture skips those in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is ours; nothing was looked at yet.
    Claimed,
    /// The original is here.
    Fetched,
    /// The picture is made.
    Normalized,
    /// It was looked for a deletion; the object is about to be put.
    Storing,
    /// The object is in the bucket.
    Stored,
    /// Of a deletion: its tombstone stands; nothing is removed yet.
    Buried,
    /// Of a deletion: what there was is removed; it was not looked again.
    Removed,
    /// It is decided what becomes of the job; the queue does not know yet.
    Settling,
    /// The queue knows; a staged original may still be there.
    Settled,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 9] = [
        Self::Claimed,
        Self::Fetched,
        Self::Normalized,
        Self::Storing,
        Self::Stored,
        Self::Buried,
        Self::Removed,
        Self::Settling,
        Self::Settled,
    ];

    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Fetched => "fetched",
            Self::Normalized => "normalized",
            Self::Storing => "storing",
            Self::Stored => "stored",
            Self::Buried => "buried",
            Self::Removed => "removed",
            Self::Settling => "settling",
            Self::Settled => "settled",
        }
    }
}

#[cfg(feature = "test-hooks")]
pub use stop::{Deed, Point, StopAt};

#[cfg(feature = "test-hooks")]
mod stop {
    use std::{
        path::PathBuf,
        str::FromStr,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU32, Ordering},
        },
    };

    use darkroom_jobs::JobId;

    use super::Step;

    /// What a job does at its step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Deed {
        /// Holds until it may go on.
        Hold,
        /// Panics.
        Panic,
        /// Aborts the process.
        Abort,
        /// Calls itself until the stack of its thread is used up, which ends the process.
        Overflow,
        /// Takes memory until the system gives none, which ends the process. A test limits what it gives.
        Exhaust,
    }

    /// Where a job stops.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Point {
        /// When it has come to a step.
        Step(Step),
        /// Before it asks Redis or the bucket for the n-th time, counted from 0 over all its deliveries in one process.
        Call(u32),
    }

    /// One place to stop, written as `point,word…`: `stored`, `fetched,panic`, `fetched,abort,job=ID`,
    /// `settling,job=ID,until=/a/file`, `call-3,job=ID`.
    #[derive(Clone, Debug)]
    pub struct StopAt {
        /// The place.
        pub point: Point,
        /// What to do there.
        pub deed: Deed,
        /// A held job goes on when this file is there; without it only death ends the hold.
        pub until: Option<PathBuf>,
        /// Each delivery of this job; else the first delivery that comes so far.
        job: Option<JobId>,
        taken: Arc<AtomicBool>,
        asked: Arc<AtomicU32>,
    }

    impl StopAt {
        /// Whether a delivery that is at `step` is the one that is meant.
        pub fn is_meant(&self, step: Step, job: &JobId) -> bool {
            self.point == Point::Step(step)
                && match &self.job {
                    Some(meant) => meant == job,
                    None => !self.taken.swap(true, Ordering::Relaxed),
                }
        }

        /// Whether what this job asks is counted.
        pub fn counts(&self, job: &JobId) -> bool {
            matches!(self.point, Point::Call(_)) && self.job.as_ref() == Some(job)
        }

        /// The number of what is asked now.
        pub fn count(&self) -> u32 {
            self.asked.fetch_add(1, Ordering::Relaxed)
        }
    }

    impl FromStr for Point {
        type Err = String;

        fn from_str(name: &str) -> Result<Self, String> {
            let unknown = || format!("neither a step nor a call is called {name:?}");
            if let Some(number) = name.strip_prefix("call-") {
                return number.parse().map(Self::Call).map_err(|_| unknown());
            }
            Step::ALL.into_iter().find(|step| step.as_str() == name).map(Self::Step).ok_or_else(unknown)
        }
    }

    impl FromStr for StopAt {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            let mut words = text.split(',');
            let point = words.next().unwrap_or_default().parse()?;
            let (taken, asked) = (Arc::default(), Arc::default());
            let mut stop = Self { point, deed: Deed::Hold, until: None, job: None, taken, asked };
            for word in words {
                match word.split_once('=') {
                    None if word == "panic" => stop.deed = Deed::Panic,
                    None if word == "abort" => stop.deed = Deed::Abort,
                    None if word == "overflow" => stop.deed = Deed::Overflow,
                    None if word == "exhaust" => stop.deed = Deed::Exhaust,
                    Some(("until", file)) => stop.until = Some(file.into()),
                    Some(("job", id)) => {
                        stop.job = Some(id.parse().map_err(|_| format!("no job id: {id:?}"))?)
                    }
                    _ => return Err(format!("no word that is known: {word:?}")),
                }
            }
            Ok(stop)
        }
    }
}
