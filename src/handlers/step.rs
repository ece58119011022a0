//! How far a job is: a line in the log, and with the cargo feature `test-hooks` the place where a test stops a worker.

use darkroom_jobs::JobId;
use tracing::debug;

use crate::config::{self, steps::Step};

/// Says in the log that a job has come so far. A worker that a test told to stop here holds or panics.
pub async fn reached(step: Step, job: &JobId, settings: &config::Worker) {
    debug!(step = step.as_str(), "step reached");
    #[cfg(feature = "test-hooks")]
    if let Some(stop) = settings.stop_at.iter().find(|stop| stop.is_meant(step, job)) {
        crate::stops::hold(stop).await;
    }
    #[cfg(not(feature = "test-hooks"))]
    let _ = (job, settings);
}
