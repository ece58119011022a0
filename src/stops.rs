//! Where a test stops a worker: at a step of a job, or before anything that a job asks Redis or the bucket.
//!
//! Compiled with the cargo feature `test-hooks` alone.

use std::{sync::Arc, time::Duration};

use darkroom_jobs::JobId;
use tracing::info;

use crate::config::{
    self,
    steps::{Deed, Point, StopAt},
};

tokio::task_local! {
    /// Those of the job that this task is at work for.
    static STOPS: Arc<[StopAt]>;
}

/// Counts what a job asks while `work` is done for it, if a test wants to stop it there.
pub async fn counting<T>(job: &JobId, settings: &config::Worker, work: impl Future<Output = T>) -> T {
    let stops = settings.stop_at.iter().filter(|stop| stop.counts(job)).cloned().collect();
    STOPS.scope(stops, work).await
}

/// To be called before Redis or the bucket is asked: every request goes through it, so that none is forgotten.
pub async fn asks(what: &'static str) {
    let Ok(stops) = STOPS.try_with(Arc::clone) else { return };
    for stop in stops.iter() {
        let number = stop.count();
        info!(call = number, what, "asked, as a test counts");
        if stop.point == Point::Call(number) {
            hold(stop).await;
        }
    }
}

/// Announces it at a level that is always logged: a test waits for the line.
pub async fn hold(stop: &StopAt) {
    let name = match stop.point {
        Point::Step(step) => step.as_str(),
        Point::Call(_) => "call",
    };
    info!(step = name, "stopped at a step, as a test asked");
    match stop.deed {
        Deed::Hold => {}
        Deed::Panic => panic!("panicked at step {name}, as a test asked"),
        Deed::Abort => std::process::abort(),
        Deed::Overflow => drop(overflow(0)),
        Deed::Exhaust => exhaust(),
    }
    while !stop.until.as_ref().is_some_and(|file| file.exists()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Never comes back: Rust ends the process when it is given no memory. Pages are asked for, and not written to.
fn exhaust() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 30)));
    }
}

/// Never comes back.
#[expect(unconditional_recursion, reason = "a test asks for it")]
fn overflow(depth: u64) -> [u64; 512] {
    let mut frame = std::hint::black_box([depth; 512]);
    frame[0] = overflow(depth + 1)[0];
    frame
}
