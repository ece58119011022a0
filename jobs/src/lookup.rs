//! Where a job stands, read from what the queue keeps of it.

use redis::{Pipeline, RedisError, from_redis_value};
use serde::Deserialize;
use serde_json::Value;

use crate::{JobId, Kind, Producer, Receipt, Status, Timestamp, redis_keys::QueueKeys};

/// Commands that [`ask`] sends for one job.
const ASKED: usize = 4;

/// What Redis has of one job in one queue.
struct Record {
    meta: Meta,
    payload: Option<Vec<u8>>,
    leased_until_ms: Option<f64>,
    due_s: Option<f64>,
}

/// `result`, `dr_last`, `attempts`, `dr_deliveries`, `dr_enqueued_at`, `status`.
type Meta = (Option<String>, Option<String>, Option<u32>, Option<u32>, Option<u64>, Option<String>);

impl Producer {
    /// Reads the receipt of a job at any stage; `None` when no queue knows it.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn receipt(&self, id: &JobId) -> Result<Option<Receipt>, RedisError> {
        let jobs: Vec<_> = Kind::ALL.into_iter().map(|kind| (kind, id)).collect();
        Ok(self.look_up(&jobs).await?.into_iter().flatten().next())
    }

    /// Reads the receipts of jobs of one queue, in the order of the ids; a job that is unknown is left out.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn receipts(&self, kind: Kind, ids: &[JobId]) -> Result<Vec<Receipt>, RedisError> {
        let mut receipts = Vec::with_capacity(ids.len());
        for some in ids.chunks(100) {
            let jobs: Vec<_> = some.iter().map(|id| (kind, id)).collect();
            receipts.extend(self.look_up(&jobs).await?.into_iter().flatten());
        }
        Ok(receipts)
    }

    /// All in one transaction: a job on its way from one structure to the next is seen once.
    async fn look_up(&self, jobs: &[(Kind, &JobId)]) -> Result<Vec<Option<Receipt>>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(jobs.len() * ASKED);
        pipeline.atomic();
        for (kind, id) in jobs {
            ask(&mut pipeline, &self.keys.queue(*kind), id);
        }
        let values: Vec<redis::Value> = pipeline.query_async(&mut self.connection.clone()).await?;
        let records = values.chunks_exact(ASKED).map(Record::read);
        jobs.iter().zip(records).map(|((kind, id), record)| Ok(record?.receipt(id, *kind))).collect()
    }
}

fn ask(pipeline: &mut Pipeline, queue: &QueueKeys, id: &JobId) {
    let fields = ["result", "dr_last", "attempts", "dr_deliveries", "dr_enqueued_at", "status"];
    pipeline.cmd("HMGET").arg(queue.meta(id)).arg(&fields);
    pipeline.cmd("HGET").arg(queue.data()).arg(id.as_str());
    pipeline.cmd("ZSCORE").arg(queue.leases()).arg(id.as_str());
    pipeline.cmd("ZSCORE").arg(queue.scheduled()).arg(id.as_str());
}

impl Record {
    fn read(values: &[redis::Value]) -> Result<Self, RedisError> {
        Ok(Self {
            meta: from_redis_value(values[0].clone())?,
            payload: from_redis_value(values[1].clone())?,
            leased_until_ms: from_redis_value(values[2].clone())?,
            due_s: from_redis_value(values[3].clone())?,
        })
    }

    fn receipt(self, id: &JobId, kind: Kind) -> Option<Receipt> {
        let (result, last, attempts, deliveries, enqueued_at, status) = self.meta;
        let known = status.is_some() || result.is_some() || last.is_some() || self.payload.is_some();
        if !known {
            return None;
        }
        if let Some(receipt) = result.and_then(|json| settled(&json)) {
            return Some(receipt);
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
        receipt.context = receipt.context.or_else(|| context(&self.payload?));
        if self.leased_until_ms.is_some() {
            (receipt.status, receipt.next_attempt_at) = (Status::Running, None);
        } else if let Some(due_s) = self.due_s {
            let due = Timestamp::from_unix_ms((due_s * 1000.0) as u64);
            receipt.next_attempt_at = receipt.next_attempt_at.or(Some(due));
        }
        Some(receipt)
    }
}

fn settled(json: &str) -> Option<Receipt> {
    #[derive(Deserialize)]
    enum Settled {
        Ok(Receipt),
    }
    serde_json::from_str(json).ok().map(|Settled::Ok(receipt)| receipt)
}

fn context(payload: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Envelope {
        context: Option<Value>,
    }
    serde_json::from_slice::<Envelope>(payload).ok()?.context
}
