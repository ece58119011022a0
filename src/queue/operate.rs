//! What a person does to jobs and queues: retry, discard, cancel, pause, resume.
//!
//! Each is one script, so that a worker and a person never both decide about a job. Staged originals are the caller's:
//! the queue knows no bucket.

use darkroom_jobs::{
    ErrorCode, Event, Ingest, JobId, Kind, OwnerPrefix, Payload, Producer, Receipt, Source, SourceFacts,
    Status, Timestamp, Upload, redis_keys::Keys, wire::Connection,
};
use redis::{AsyncCommands as _, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation};
use serde::Deserialize;

use super::{connection, scripts};

/// Most jobs that one call of a script touches.
const BATCH: usize = 500;

/// How often a cancellation is tried on a job that is delivered and put off between our look and our call.
const RACES: usize = 10;

/// Changes jobs and queues of one namespace.
#[derive(Clone, Debug)]
pub struct Operator {
    producer: Producer,
    connection: Connection,
    keys: Keys,
}

/// Why a job was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// No queue knows it.
    #[error("no queue knows job {0}")]
    Unknown(JobId),
    /// A worker has it.
    #[error("job {0} is running")]
    Running(JobId),
    /// This is done only to jobs of another status.
    #[error("job {id} is {}", status.as_str())]
    NotPossible {
        /// The job.
        id: JobId,
        /// Where it stands.
        status: Status,
    },
    /// Redis did not answer as it should; the outcome is unknown, and repeating the call is harmless.
    #[error("redis could not be reached")]
    Redis(#[from] RedisError),
}

/// A job that was cancelled or discarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    /// Its last receipt; of a discarded job nobody else has it any more.
    pub receipt: Receipt,
    /// Its original: when that is staged, the caller removes it (`Storage::remove_original`).
    pub original: Option<Source>,
}

impl Operator {
    /// Works through a connection that is there; receipts are read as producers read them.
    pub fn new(producer: Producer, connection: Connection, keys: Keys) -> Self {
        Self { producer, connection, keys }
    }

    /// Sends a dead job round again, with as many attempts as a new one; whether its picture was deleted meanwhile is
    /// looked at when it runs. Gives its receipt, `queued` by now.
    ///
    /// # Errors
    ///
    /// [`OperateError::Unknown`]; [`OperateError::Running`] and [`OperateError::NotPossible`] when it is not dead.
    pub async fn retry(&self, id: &JobId) -> Result<Receipt, OperateError> {
        let kind = self.receipt(id).await?.kind;
        match self.send_round(kind, &[id.as_str().into()]).await? {
            0 => Err(refusal(&self.receipt(id).await?)),
            _ => self.receipt(id).await,
        }
    }

    /// Sends the dead jobs of a queue round again that are dead now, with a code only those that died of it. Says how
    /// many; a job that dies again meanwhile is not retried twice.
    ///
    /// # Errors
    ///
    /// When Redis does not answer; some of the jobs may have been sent round by then.
    pub async fn retry_dead(&self, kind: Kind, code: Option<ErrorCode>) -> Result<u64, RedisError> {
        let mut retried = 0;
        for ids in self.dead(kind).await?.chunks(BATCH) {
            retried += match code {
                None => self.send_round(kind, ids).await?,
                Some(code) => self.send_round(kind, &self.died_of(kind, ids, code).await?).await?,
            };
        }
        Ok(retried)
    }

    /// Forgets a dead job. The idempotency key that led to it is free again.
    ///
    /// # Errors
    ///
    /// [`OperateError::Unknown`]; [`OperateError::Running`] and [`OperateError::NotPossible`] when it is not dead.
    pub async fn discard(&self, id: &JobId) -> Result<Removed, OperateError> {
        let receipt = self.receipt(id).await?;
        let queue = self.keys.queue(receipt.kind);
        let (payload, key): (Option<Vec<u8>>, Option<String>) = Pipeline::new()
            .hget(queue.data(), id.as_str())
            .hget(queue.meta(id), "idempotency_key")
            .query_async(&mut self.connection.clone())
            .await?;
        let mut call = scripts::JOB_DISCARD.key(queue.dead());
        call.key(queue.data()).key(queue.meta(id)).key(queue.stats());
        call.key(queue.idempotency(&key.unwrap_or_default())).arg(id.as_str());
        match self.call::<u8>(&call).await? {
            0 => Err(refusal(&self.receipt(id).await?)),
            _ => Ok(Removed { receipt, original: payload.as_deref().and_then(original) }),
        }
    }

    /// Settles a job as `cancelled` that waits to be run, for the first time or again.
    ///
    /// # Errors
    ///
    /// [`OperateError::Unknown`]; [`OperateError::Running`]; [`OperateError::NotPossible`] when it is settled.
    pub async fn cancel(&self, id: &JobId) -> Result<Removed, OperateError> {
        for _ in 0..RACES {
            let receipt = self.receipt(id).await?;
            if receipt.is_final || receipt.status == Status::Running {
                return Err(refusal(&receipt));
            }
            let queue = self.keys.queue(receipt.kind);
            let (payload, (seconds, micros)): (Option<Vec<u8>>, (u64, u64)) = Pipeline::new()
                .hget(queue.data(), id.as_str())
                .cmd("TIME")
                .query_async(&mut self.connection.clone())
                .await?;
            let owner = payload.as_deref().and_then(|payload| owner_of(receipt.kind, payload));
            let original = payload.as_deref().and_then(original);
            let now = Timestamp::from_unix_ms(seconds * 1000 + micros / 1000);
            let receipt = cancelled(receipt, original.as_ref(), now);
            match self.write_cancelled(&receipt, owner.as_ref()).await? {
                1 => return Ok(Removed { receipt, original }),
                4 => {}
                _ => return Err(refusal(&self.receipt(id).await?)),
            }
        }
        // It was delivered again and again while we looked.
        Err(OperateError::Running(id.clone()))
    }

    /// Lets no worker claim from a queue, until it is resumed; running jobs go on. Says whether it was not paused.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn pause(&self, kind: Kind) -> Result<bool, RedisError> {
        let paused = self.keys.queue(kind).paused();
        self.call(&scripts::QUEUE_PAUSE.key(paused)).await
    }

    /// Lets workers claim from a queue again, at once. Says whether it was paused.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn resume(&self, kind: Kind) -> Result<bool, RedisError> {
        let paused = self.keys.queue(kind).paused();
        let mut call = scripts::QUEUE_RESUME.key(paused);
        call.key(self.keys.wake()).arg(kind.as_str());
        self.call(&call).await
    }

    /// Whether workers are kept from claiming.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn is_paused(&self, kind: Kind) -> Result<bool, RedisError> {
        self.connection.clone().exists(self.keys.queue(kind).paused()).await
    }

    async fn receipt(&self, id: &JobId) -> Result<Receipt, OperateError> {
        let receipt = self.producer.receipt(id).await?;
        receipt.ok_or_else(|| OperateError::Unknown(id.clone()))
    }

    /// Writes the receipt, and gives the script's answer.
    async fn write_cancelled(
        &self,
        receipt: &Receipt,
        owner: Option<&OwnerPrefix>,
    ) -> Result<u8, RedisError> {
        let id = &receipt.job_id;
        let queue = self.keys.queue(receipt.kind);
        let json = serde_json::to_string(receipt).expect("a receipt is plain JSON");
        let event = Event::json_of_receipt(receipt, &json);
        let mut call = scripts::JOB_CANCEL.key(queue.leases());
        call.key(queue.data()).key(queue.meta(id)).key(queue.scheduled()).key(queue.done()).key(queue.dead());
        call.key(queue.stats()).key(self.keys.events()).key(self.keys.settled());
        call.arg(id.as_str()).arg(receipt.deliveries).arg(json).arg(event.unwrap_or_default());
        call.arg(owner.map_or("", OwnerPrefix::as_str));
        self.call(&call).await
    }

    /// Ids of all dead jobs, the oldest first.
    async fn dead(&self, kind: Kind) -> Result<Vec<Vec<u8>>, RedisError> {
        let (mut cursor, mut dead) = (0_u64, Vec::<(Vec<u8>, f64)>::new());
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.keys.queue(kind).dead()).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, page): (u64, Vec<(Vec<u8>, f64)>) =
                scan.query_async(&mut self.connection.clone()).await?;
            dead.extend(page);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        dead.sort_by(|(one, since), (other, later)| since.total_cmp(later).then_with(|| one.cmp(other)));
        // A scan may name a job twice.
        dead.dedup();
        Ok(dead.into_iter().map(|(id, _)| id).collect())
    }

    /// Those whose receipt has this code.
    async fn died_of(
        &self,
        kind: Kind,
        ids: &[Vec<u8>],
        code: ErrorCode,
    ) -> Result<Vec<Vec<u8>>, RedisError> {
        let prefix = self.keys.queue(kind).meta_prefix().into_bytes();
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            pipeline.hget([prefix.as_slice(), id].concat(), "result");
        }
        let results: Vec<Option<String>> = pipeline.query_async(&mut self.connection.clone()).await?;
        let died_of = |result: &str| {
            let error = Receipt::from_result(result).ok().and_then(|receipt| receipt.error);
            error.is_some_and(|error| error.code == code)
        };
        let pairs = ids.iter().zip(results);
        Ok(pairs
            .filter(|(_, result)| result.as_deref().is_some_and(died_of))
            .map(|(id, _)| id.clone())
            .collect())
    }

    /// How many of the jobs, at most [`BATCH`], were dead and wait now.
    async fn send_round(&self, kind: Kind, ids: &[Vec<u8>]) -> Result<u64, RedisError> {
        let queue = self.keys.queue(kind);
        let mut call = scripts::JOBS_RETRY.prepare_invoke();
        call.key(queue.dead()).key(queue.active()).key(queue.stats()).key(queue.meta_prefix());
        call.key(self.keys.wake()).arg(kind.as_str()).arg(ids);
        self.call(&call).await
    }

    /// Calls a script, at the new primary when the old one has become a replica.
    async fn call<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> RedisResult<T> {
        connection::at_the_primary(&self.connection, |mut redis| async move {
            call.invoke_async(&mut redis).await
        })
        .await
    }
}

fn refusal(receipt: &Receipt) -> OperateError {
    let id = receipt.job_id.clone();
    match receipt.status {
        Status::Running => OperateError::Running(id),
        status => OperateError::NotPossible { id, status },
    }
}

/// The receipt of a job that nobody will run: what a failed attempt left is told no more.
fn cancelled(mut receipt: Receipt, original: Option<&Source>, now: Timestamp) -> Receipt {
    receipt.status = Status::Cancelled;
    receipt.is_final = true;
    receipt.finished_at = Some(now);
    receipt.next_attempt_at = None;
    receipt.error = None;
    let named =
        |source: &Source| SourceFacts { source_type: source.type_name().into(), ..Default::default() };
    receipt.source = receipt.source.or_else(|| original.map(named));
    receipt
}

/// Where the payload says that its original is.
fn original(payload: &[u8]) -> Option<Source> {
    #[derive(Deserialize)]
    struct Named {
        source: Source,
    }
    serde_json::from_slice::<Named>(payload).ok().map(|named| named.source)
}

/// Whose picture the payload is about.
fn owner_of(kind: Kind, payload: &[u8]) -> Option<OwnerPrefix> {
    match kind {
        Kind::Upload => {
            let payload = Payload::<Upload>::decode(payload).ok()?;
            Some(OwnerPrefix::user(&payload.job.user_id))
        }
        Kind::Ingest => {
            let payload = Payload::<Ingest>::decode(payload).ok()?;
            Some(OwnerPrefix::product(&payload.job.product_id))
        }
        Kind::Delete | Kind::BucketHealth => None,
    }
}
