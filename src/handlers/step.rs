//! How far a job is: a line in the log, and with the cargo feature `test-hooks` the place where a test stops a worker.

use darkroom_jobs::JobId;
use tracing::debug;

use crate::config::{self, steps::Step};

/// Says in the log that a job has come so far. A worker that a test told to stop here holds or panics.
pub async fn reached(step: Step, job: &JobId, settings: &config::Worker) {
    debug!(step = step.as_str(), "step reached");
    #[cfg(feature = "test-hooks")]
    if let Some(stop) = settings.stop_at.iter().find(|stop| stop.is_meant(step, job)) {
        hold(stop).await;
    }
    #[cfg(not(feature = "test-hooks"))]
    let _ = (job, settings);
}

/// Announces it at a level that is always logged: a test waits for the line.
#[cfg(feature = "test-hooks")]
async fn hold(stop: &config::steps::StopAt) {
    use config::steps::Deed;
    tracing::info!(step = stop.step.as_str(), "stopped at a step, as a test asked");
    match stop.deed {
        Deed::Hold => {}
        Deed::Panic => panic!("panicked at step {}, as a test asked", stop.step.as_str()),
        Deed::Abort => std::process::abort(),
        Deed::Overflow => drop(overflow(0)),
        Deed::Exhaust => exhaust(),
    }
    while !stop.until.as_ref().is_some_and(|file| file.exists()) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Never comes back: Rust ends the process when it is given no memory. Pages are asked for, and not written to.
#[cfg(feature = "test-hooks")]
fn exhaust() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 30)));
    }
}

/// Never comes back.
#[cfg(feature = "test-hooks")]
#[expect(unconditional_recursion, reason = "a test asks for it")]
fn overflow(depth: u64) -> [u64; 512] {
    let mut frame = std::hint::black_box([depth; 512]);
    frame[0] = overflow(depth + 1)[0];
    frame
}
