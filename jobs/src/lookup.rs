//! Where a job stands, read from what the queue keeps of it.

use redis::{ErrorKind, Pipeline, RedisError, from_redis_value};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    JobId, Kind, Producer, Receipt, Status, Timestamp, job::check_context, redis_keys::QueueKeys, wire,
};

/// Commands that [`ask`] sends for one job.
const ASKED: usize = 4;

/// What Redis has of one job in one queue.
struct Record {
    meta: Meta,
    has_payload: bool,
    leased_until_ms: Option<f64>,
    due_s: Option<f64>,
}

/// `result`, `dr_last`, `attempts`, `dr_deliveries`, `dr_enqueued_at`, `status`, `dr_seen`.
type Meta =
    (Option<String>, Option<String>, Option<u32>, Option<u32>, Option<u64>, Option<String>, Option<String>);

impl Producer {
    /// Reads the receipt of a job at any stage; `None` when no queue knows it.
    ///
    /// # Errors
    ///
    /// When Redis does not answer, or the job's final receipt cannot be read.
    pub async fn receipt(&self, id: &JobId) -> Result<Option<Receipt>, RedisError> {
        let jobs: Vec<_> = Kind::ALL.into_iter().map(|kind| (kind, id)).collect();
        let mut found = self.look_up(&jobs).await?;
        found.truncate(1);
        self.add_contexts(&mut found).await?;
        Ok(found.pop())
    }

    /// Reads the receipts of jobs of one queue that are wanted, in the order of the ids; a job that is unknown is left
    /// out. Whether one is wanted is asked before its `context` is known.
    ///
    /// # Errors
    ///
    /// When Redis does not answer, or a final receipt cannot be read.
    pub async fn receipts(
        &self,
        kind: Kind,
        ids: &[JobId],
        wanted: impl Fn(&Receipt) -> bool,
    ) -> Result<Vec<Receipt>, RedisError> {
        let mut receipts = Vec::with_capacity(ids.len());
        for some in ids.chunks(100) {
            let jobs: Vec<_> = some.iter().map(|id| (kind, id)).collect();
            let mut found = self.look_up(&jobs).await?;
            found.retain(&wanted);
            self.add_contexts(&mut found).await?;
            receipts.append(&mut found);
        }
        Ok(receipts)
    }

    /// All in one transaction: a job on its way from one structure to the next is seen once.
    async fn look_up(&self, jobs: &[(Kind, &JobId)]) -> Result<Vec<Receipt>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(jobs.len() * ASKED);
        for (kind, id) in jobs {
            ask(&mut pipeline, &self.keys.queue(*kind), id);
        }
        let values: Vec<redis::Value> = wire::read_at_once(&mut self.connection.clone(), &pipeline).await?;
        let records = values.chunks_exact(ASKED).map(Record::read);
        let receipts = jobs.iter().zip(records).map(|((kind, id), record)| record?.receipt(id, *kind));
        receipts.filter_map(Result::transpose).collect()
    }

    /// Completes receipts of jobs that nobody has tried yet: their context is in the payload alone, which may be large.
    async fn add_contexts(&self, receipts: &mut [Receipt]) -> Result<(), RedisError> {
        let bare = |receipt: &&mut Receipt| !receipt.is_final && receipt.context.is_none();
        let bare: Vec<_> = receipts.iter_mut().filter(bare).collect();
        if bare.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(bare.len());
        for receipt in &bare {
            pipeline.hget(self.keys.queue(receipt.kind).data(), receipt.job_id.as_str());
        }
        let payloads: Vec<Option<Vec<u8>>> = pipeline.query_async(&mut self.connection.clone()).await?;
        for (receipt, payload) in bare.into_iter().zip(payloads) {
            receipt.context = payload.as_deref().and_then(context);
        }
        Ok(())
    }
}

fn ask(pipeline: &mut Pipeline, queue: &QueueKeys, id: &JobId) {
    let fields = ["result", "dr_last", "attempts", "dr_deliveries", "dr_enqueued_at", "status", "dr_seen"];
    pipeline.cmd("HMGET").arg(queue.meta(id)).arg(&fields);
    pipeline.cmd("HEXISTS").arg(queue.data()).arg(id.as_str());
    pipeline.cmd("ZSCORE").arg(queue.leases()).arg(id.as_str());
    pipeline.cmd("ZSCORE").arg(queue.scheduled()).arg(id.as_str());
}

impl Record {
    fn read(values: &[redis::Value]) -> Result<Self, RedisError> {
        Ok(Self {
            meta: from_redis_value(values[0].clone())?,
            has_payload: from_redis_value(values[1].clone())?,
            leased_until_ms: from_redis_value(values[2].clone())?,
            due_s: from_redis_value(values[3].clone())?,
        })
    }

    fn receipt(self, id: &JobId, kind: Kind) -> Result<Option<Receipt>, RedisError> {
        let (result, last, attempts, deliveries, enqueued_at, status, seen) = self.meta;
        let known = status.is_some() || result.is_some() || last.is_some() || self.has_payload;
        if !known {
            return Ok(None);
        }
        // Before the queue has seen the job, these are what a stranger's metadata put under our names.
        let ours = seen.as_deref() == Some(id.as_str());
        let (result, last) = (result.filter(|_| ours), last.filter(|_| ours));
        if let Some(json) = result {
            return Receipt::from_result(&json).map(Some).map_err(|error| unreadable(id, &error));
        }

        let last: Option<Receipt> = last.and_then(|json| serde_json::from_str(&json).ok());
        let mut receipt = last.unwrap_or_else(|| Receipt::new(id.clone(), kind, Status::Queued));
        // A dead job that was sent round again still has the receipt of its death.
        if receipt.is_final {
            (receipt.status, receipt.is_final, receipt.finished_at) = (Status::Queued, false, None);
        }
        receipt.attempts = attempts.unwrap_or(receipt.attempts);
        receipt.deliveries = deliveries.unwrap_or(receipt.deliveries);
        receipt.enqueued_at = enqueued_at.map(Timestamp::from_unix_ms).or(receipt.enqueued_at);
        if self.leased_until_ms.is_some() {
            (receipt.status, receipt.next_attempt_at) = (Status::Running, None);
        } else if let Some(due_s) = self.due_s {
            let due = Timestamp::from_unix_ms((due_s * 1000.0).round() as u64);
            receipt.next_attempt_at = receipt.next_attempt_at.or(Some(due));
        }
        Ok(Some(receipt))
    }
}

fn unreadable(id: &JobId, error: &serde_json::Error) -> RedisError {
    let what = "a final receipt cannot be read";
    (ErrorKind::UnexpectedReturnType, what, format!("job {id}: {error}")).into()
}

fn context(payload: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Envelope {
        context: Option<Value>,
    }
    let context = serde_json::from_slice::<Envelope>(payload).ok()?.context?;
    // A job pushed by hand may carry one that its receipt will not.
    check_context(&context).is_ok().then_some(context)
}
