//! One delivery from its claim to its settlement: decoded, judged, run under a time-out, settled, tidied up.

use std::sync::{Arc, Mutex, PoisonError};

use darkroom_jobs::{Kind, Source};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
};
use tracing::{Instrument as _, error, info, info_span};

use super::{
    backend::Parcel,
    bucket_watch,
    metrics::Metrics,
    outcome::{Failure, Outcome},
    registry::{AnyJob, Envelope, Handler},
};
use crate::{
    config::steps::Step,
    handlers::{
        context::{Context, Learnt, REMOVAL, Tools},
        error::JobError,
        report::Report,
        step,
    },
    queue::{
        breaker::Breaker,
        consumer::Handle,
        delivery::{ClaimedJob, Delivery},
        lease::Lease,
        settle::{Settled, Settlement},
    },
    storage::delete::tidy,
    telemetry::traces,
};

/// What every execution needs.
#[derive(Clone)]
pub struct Means {
    pub tools: Tools,
    pub handler: Handler,
    pub queue: Handle,
    pub breaker: Breaker,
    pub metrics: Metrics,
}

/// The deliveries that are being executed, each in a task of ours. Clones share them.
#[derive(Clone)]
pub struct Running {
    means: Arc<Means>,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
    /// How many there are.
    count: watch::Sender<usize>,
}

impl Running {
    pub fn new(means: Means) -> Self {
        Self { means: Arc::new(means), tasks: Arc::default(), count: watch::channel(0).0 }
    }

    /// Executes a delivery in a task of its own and waits for it. Never fails: what happens to the job is settled.
    pub async fn start(&self, parcel: Parcel) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(delivery) = parcel.open() else { return Ok(()) };
        let (means, counted) = (Arc::clone(&self.means), Counted::new(&self.count));
        let task = tokio::spawn(async move {
            execute(&means, delivery).await;
            drop(counted);
        });
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.retain(|task| !task.is_finished());
            tasks.push(task.abort_handle());
        }
        if let Err(died) = task.await
            && died.is_panic()
        {
            error!(error = %died, "a delivery was not settled; its lease runs out");
        }
        Ok(())
    }

    /// Returns when nothing is being executed.
    pub async fn finished(&self) {
        // The sender is ours: waiting cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Ends all executions; their leases are dropped, and so their jobs handed back.
    pub fn abort(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
    }
}

struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn execute(means: &Means, Delivery { lease, job }: Delivery) {
    let Means { tools, handler, breaker, .. } = means;
    let decoded = judge(&job, tools.settings.limits.crashes);
    let envelope = decoded.as_ref().map(AnyJob::envelope).unwrap_or_default();
    let span = info_span!("job", job.id = %job.id, job.kind = %job.kind, job.attempt = job.attempts + 1);
    traces::go_on(&span, envelope.traceparent.as_deref());
    async {
        step::reached(Step::Claimed, &job.id, &tools.settings).await;
        let learnt = Arc::<Mutex<Learnt>>::default();
        let result = match (decoded, expired(&envelope, &job)) {
            (Err(failure), _) => Err(failure),
            (Ok(_), true) => Err(Failure::Expired),
            (Ok(decoded), false) => run(tools, *handler, &lease, &job, decoded, Arc::clone(&learnt)).await,
        };
        bucket_watch::note(breaker, &result);
        let learnt = learnt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Of an owner who was erased the handler has removed it, unless it is of after that.
        let original = envelope.source.as_ref().filter(|_| learnt.owner_erased_at.is_none());
        let outcome = Outcome { job: &job, envelope: &envelope, learnt, settings: &tools.settings };
        let Some(settlement) = outcome.settlement(result) else {
            return info!("delivery given up: the job is another worker's by now");
        };
        step::reached(Step::Settling, &job.id, &tools.settings).await;
        settle(means, lease, &job, original, settlement).await;
    }
    .instrument(span)
    .await;
}

/// The job, unless what was claimed is none, or has ended too many workers.
fn judge(job: &ClaimedJob, crashes: u32) -> Result<AnyJob, Failure> {
    use darkroom_jobs::{DecodeError, ErrorCode, MAX_PAYLOAD_BYTES};
    let malformed = |message: String| DecodeError { code: ErrorCode::JobMalformed, message };
    if job.crashes >= crashes {
        return Err(Failure::Poison);
    }
    if !job.id_is_valid {
        let message = "a job id is 1 to 64 letters, digits, `_` or `-`".into();
        return Err(Failure::Undecodable(DecodeError { code: ErrorCode::IdInvalid, message }));
    }
    if job.run_at_out_of_range {
        let message =
            "it is scheduled more than 30 days ahead; scores are unix seconds, not milliseconds".into();
        return Err(Failure::Undecodable(malformed(message)));
    }
    if job.payload_bytes > MAX_PAYLOAD_BYTES {
        let message =
            format!("the payload has {} bytes, at most {MAX_PAYLOAD_BYTES} are allowed", job.payload_bytes);
        return Err(Failure::Undecodable(malformed(message)));
    }
    AnyJob::decode(job.kind, &job.payload).map_err(Failure::Undecodable)
}

fn expired(envelope: &Envelope, job: &ClaimedJob) -> bool {
    // A deletion that has begun goes on: what was removed stays removed, and its later passes are its own.
    let has_begun = job.kind == Kind::Delete && (job.deliveries > 1 || job.note.is_some());
    !has_begun && envelope.expires_at.is_some_and(|at| at <= job.claimed_at)
}

/// Runs the handler in a task of its own, until it ends, its time is over, or the job is not ours any more.
async fn run(
    tools: &Tools,
    handler: Handler,
    lease: &Lease,
    job: &ClaimedJob,
    decoded: AnyJob,
    learnt: Arc<Mutex<Learnt>>,
) -> Result<Report, Failure> {
    let ctx = Context::new(tools, job, lease.key().clone(), lease.clock().clone(), learnt);
    let handled = handler(decoded, ctx).in_current_span();
    #[cfg(feature = "test-hooks")]
    let handled = {
        let (id, settings) = (job.id.clone(), Arc::clone(&tools.settings));
        async move { crate::stops::counting(&id, &settings, handled).await }
    };
    let mut task = JoinSet::new();
    task.spawn(handled);
    let ended = tokio::select! {
        ended = task.join_next() => ended.expect("the handler was just spawned"),
        () = lease.clock().expired() => return Err(Failure::TimedOut),
        () = lease.lost() => return Err(Failure::Job(JobError::LeaseLost)),
    };
    match ended {
        Ok(result) => result.map_err(Failure::Job),
        Err(died) => Err(Failure::Panicked(panic_message(died))),
    }
}

fn panic_message(died: JoinError) -> String {
    let Ok(panic) = died.try_into_panic() else { return "the handler was aborted".into() };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// Writes the settlement, removes the staged original when no retry can follow, and says how it went.
async fn settle(
    means: &Means,
    lease: Lease,
    job: &ClaimedJob,
    original: Option<&Source>,
    settlement: Settlement,
) {
    let tools = &means.tools;
    let receipt = Arc::clone(settlement.receipt());
    let spent = matches!(settlement, Settlement::Done { .. });
    if means.queue.settle(lease, settlement).await == Settled::Lost {
        return info!("settlement not written: the job is another worker's by now");
    }
    means.metrics.settled(&receipt);
    step::reached(Step::Settled, &job.id, &tools.settings).await;
    if spent && let Some(source) = original {
        // A request of S3 is large, and would be moved about with every delivery.
        tidy(REMOVAL, Box::pin(tools.sources.remove(source))).await;
    }
    let running_ms = crate::handlers::context::elapsed_ms(job.received);
    info!(
        outcome = receipt.status.as_str(),
        error.code = receipt.error.as_ref().map(|error| error.code.as_str()),
        error = receipt.error.as_ref().map(|error| error.message.as_str()),
        object.key = receipt.object.as_ref().map(|object| object.key.as_str()),
        size_bytes = receipt.object.as_ref().map(|object| object.size),
        deliveries = receipt.deliveries,
        waiting_ms = receipt.timings_ms.queue,
        duration_ms = running_ms,
        "job settled"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_expires_before_it_runs_but_not_a_deletion_that_has_begun() {
        let fresh = ClaimedJob::fresh(Kind::Upload);
        let envelope = Envelope { expires_at: Some(fresh.claimed_at), ..Envelope::default() };
        for (kind, deliveries, note, is_expired) in [
            (Kind::Upload, 2, None, true),
            (Kind::Delete, 1, None, true),
            (Kind::Delete, 2, None, false),
            (Kind::Delete, 1, Some("second pass"), false),
        ] {
            let job = ClaimedJob { kind, deliveries, note: note.map(str::to_owned), ..fresh.clone() };

            assert_eq!(expired(&envelope, &job), is_expired, "{kind} {deliveries} {note:?}");
        }
        assert!(!expired(&Envelope::default(), &fresh));
    }
}
