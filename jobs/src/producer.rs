//! Puts jobs into the queues. The one script is `enqueue.lua`; reading back is [`crate::lookup`] and [`crate::settlements`].

use std::{sync::Arc, time::Duration};

use redis::{Client, Pipeline, RedisError, Script, aio::ConnectionManagerConfig};

use crate::{
    DecodeError, ErrorCode, Job, JobId, Kind, Payload, Timestamp,
    entry::{Entry, batches, encode},
    redis_keys::{InvalidNamespace, Keys},
    settlements::Settlements,
    wire::{self, Connection},
};

/// How long Redis may take for one answer.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls of the script that are sent before an answer is read.
const PIPELINE_BATCHES: usize = 20;
/// Life of an idempotency key.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);
/// How far ahead a job may be due.
const RUN_AT_AHEAD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Enqueues jobs and reads their receipts. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Producer {
    pub(crate) connection: Connection,
    pub(crate) keys: Keys,
    pub(crate) settlements: Arc<Settlements>,
    script: Arc<Script>,
    /// Of each kind, in the order of [`Kind::ALL`].
    max_attempts: [u32; Kind::ALL.len()],
}

/// What a producer may say about one job beside its payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnqueueOptions {
    /// Chosen here instead of by us: repeating a call with the same id is harmless.
    pub job_id: Option<JobId>,
    /// For 24 h the same key with the same payload gives the same job. 1 to 255 bytes.
    pub idempotency_key: Option<String>,
    /// Not before this moment, by Redis' clock; at most 30 days ahead.
    pub run_at: Option<Timestamp>,
    /// Instead of what the producer gives to all, else [`Job::MAX_ATTEMPTS`]; 0 counts as 1.
    pub max_attempts: Option<u32>,
}

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The namespace cannot be part of a key.
    #[error(transparent)]
    Namespace(#[from] InvalidNamespace),
    /// The linked apalis-redis names its keys otherwise than the wire layout does.
    #[error("apalis-redis names the keys of a queue otherwise: {0}")]
    Layout(String),
    /// The URL is wrong, or Redis does not answer.
    #[error("could not connect to redis")]
    Redis(#[from] RedisError),
}

impl ConnectError {
    /// The stable word.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Namespace(_) | Self::Layout(_) => ErrorCode::Internal,
            Self::Redis(_) => ErrorCode::QueueUnavailable,
        }
    }
}

/// Why a job was not enqueued, or, for [`Unavailable`](Self::Unavailable), perhaps not.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The payload is not a job.
    #[error("{0}")]
    Payload(DecodeError),
    /// The idempotency key is empty or too long.
    #[error("an idempotency key has 1 to 255 bytes, got {0}")]
    IdempotencyKey(usize),
    /// `run_at` is more than 30 days ahead.
    #[error("run_at is more than 30 days ahead")]
    RunAt,
    /// The idempotency key belongs to a job with another payload.
    #[error("this idempotency key was used for another payload, by job {0}")]
    Conflict(JobId),
    /// Redis has reached `maxmemory` and takes no more jobs.
    #[error("redis takes no more jobs: its maxmemory is reached")]
    Full(#[source] RedisError),
    /// Redis did not answer as it should. The outcome is unknown: repeat with the same `job_id` or `idempotency_key`.
    #[error("redis could not be reached")]
    Unavailable(#[source] RedisError),
}

impl EnqueueError {
    /// The stable word.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Payload(error) => error.code,
            Self::IdempotencyKey(_) | Self::RunAt => ErrorCode::JobMalformed,
            Self::Conflict(_) => ErrorCode::IdempotencyConflict,
            Self::Full(_) => ErrorCode::QueueFull,
            Self::Unavailable(_) => ErrorCode::QueueUnavailable,
        }
    }
}

impl From<RedisError> for EnqueueError {
    fn from(error: RedisError) -> Self {
        if wire::refused_with(&error, "OOM") { Self::Full(error) } else { Self::Unavailable(error) }
    }
}

impl Producer {
    /// Connects to `redis://` or `rediss://`. `namespace` is the worker's `DARKROOM_NAMESPACE`, usually `darkroom`.
    ///
    /// # Errors
    ///
    /// * [`ConnectError::Redis`]: the URL is wrong, or nobody answers within 5 s.
    /// * [`ConnectError::Namespace`], [`ConnectError::Layout`]: nothing that waiting mends.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, ConnectError> {
        let keys = Keys::new(namespace)?;
        let client = wire::client(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(2)
            .set_max_delay(Duration::from_secs(1));
        let connection = Connection::connect(client.clone(), config).await?;
        Self::new(client, connection, keys)
    }

    /// Uses a connection that is there; `client` is asked for one more when somebody [waits](Self::wait).
    ///
    /// # Errors
    ///
    /// [`ConnectError::Layout`]: the linked apalis-redis names its keys otherwise than `keys` does.
    pub fn new(client: Client, connection: Connection, keys: Keys) -> Result<Self, ConnectError> {
        check_layout(&keys)?;
        let settlements = Arc::new(Settlements::new(client, keys.settled()));
        let script = Arc::new(Script::new(include_str!("enqueue.lua")));
        let max_attempts = Kind::ALL.map(Kind::max_attempts);
        Ok(Self { connection, keys, settlements, script, max_attempts })
    }

    /// Gives every job of a kind so many attempts, but those that are enqueued with another number.
    #[must_use]
    pub fn with_max_attempts(mut self, kind: Kind, max_attempts: u32) -> Self {
        self.max_attempts[kind as usize] = max_attempts;
        self
    }

    /// Enqueues one job.
    ///
    /// # Errors
    ///
    /// As [`enqueue_with`](Self::enqueue_with).
    pub async fn enqueue<J: Job>(&self, job: impl Into<Payload<J>>) -> Result<JobId, EnqueueError> {
        self.enqueue_with(job, EnqueueOptions::default()).await
    }

    /// Enqueues one job, and gives its id: the one that was chosen, a fresh one, or that of the job which holds the
    /// idempotency key.
    ///
    /// # Errors
    ///
    /// * `job_malformed`: the payload has more than 2 MiB, or an option is out of its range.
    /// * What [`Source::check`](crate::Source::check) says of the original.
    /// * `idempotency_conflict`: the key belongs to another payload.
    /// * `queue_full`: Redis has reached `maxmemory`.
    /// * `queue_unavailable`: the outcome is unknown; repeat with the same `job_id` or `idempotency_key`.
    pub async fn enqueue_with<J: Job>(
        &self,
        job: impl Into<Payload<J>>,
        options: EnqueueOptions,
    ) -> Result<JobId, EnqueueError> {
        let entry = Entry::new(encode(&job.into())?, options)?;
        self.push_one(J::KIND, entry).await
    }

    /// Enqueues many jobs, pipelined, and gives their ids in the same order.
    ///
    /// # Errors
    ///
    /// As [`enqueue_with`](Self::enqueue_with); when Redis fails midway, some of the jobs may be in the queue.
    pub async fn enqueue_many<J: Job, P: Into<Payload<J>>>(
        &self,
        jobs: impl IntoIterator<Item = P>,
    ) -> Result<Vec<JobId>, EnqueueError> {
        let entry = |job: P| Entry::new(encode(&job.into())?, EnqueueOptions::default());
        let entries = jobs.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        self.push(J::KIND, &entries).await?.into_iter().collect()
    }

    /// Enqueues a payload that is JSON already, after a look that it decodes; the bytes are kept as they are.
    ///
    /// # Errors
    ///
    /// As [`enqueue_with`](Self::enqueue_with), and what [`Payload::decode`] says.
    pub async fn enqueue_json(
        &self,
        kind: Kind,
        json: &str,
        options: EnqueueOptions,
    ) -> Result<JobId, EnqueueError> {
        self.push_one(kind, Entry::from_json(kind, json, options)?).await
    }

    /// As [`enqueue_json`](Self::enqueue_json) for many, pipelined, with an answer for each.
    ///
    /// # Errors
    ///
    /// When Redis fails, for all together: some of the jobs may be in the queue.
    pub async fn enqueue_json_many(
        &self,
        kind: Kind,
        jobs: impl IntoIterator<Item = (String, EnqueueOptions)>,
    ) -> Result<Vec<Result<JobId, EnqueueError>>, EnqueueError> {
        let checked: Vec<_> =
            jobs.into_iter().map(|(json, options)| Entry::from_json(kind, &json, options)).collect();
        let (mut answers, mut entries) = (Vec::with_capacity(checked.len()), Vec::new());
        for entry in checked {
            answers.push(entry.map(|entry| entries.push(entry)));
        }
        let mut pushed = self.push(kind, &entries).await?.into_iter();
        let mut answer = || pushed.next().expect("one answer for each entry");
        Ok(answers.into_iter().map(|checked| checked.and_then(|()| answer())).collect())
    }

    async fn push_one(&self, kind: Kind, entry: Entry) -> Result<JobId, EnqueueError> {
        let mut answers = self.push(kind, &[entry]).await?;
        answers.pop().expect("one answer for one entry")
    }

    async fn push(
        &self,
        kind: Kind,
        entries: &[Entry],
    ) -> Result<Vec<Result<JobId, EnqueueError>>, EnqueueError> {
        let mut answers = Vec::with_capacity(entries.len());
        let batches = batches(entries);
        for pipelined in batches.chunks(PIPELINE_BATCHES) {
            let replies = self.call(kind, pipelined).await?;
            answers.extend(replies.into_iter().flatten().map(|(answer, id)| read_answer(answer, &id)));
        }
        Ok(answers)
    }

    /// Calls the script for each batch. Repeated once when the script, the connection or the primary was gone: the ids
    /// are the same.
    async fn call(&self, kind: Kind, batches: &[&[Entry]]) -> Result<Vec<Vec<(u8, String)>>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(batches.len());
        for batch in batches {
            self.add_call(&mut pipeline, kind, batch);
        }

        let mut connection = self.connection.clone();
        let error = match pipeline.query_async(&mut connection).await {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        let gone = wire::refused_with(&error, "NOSCRIPT") || wire::is_replica(&error);
        if !gone && !error.is_connection_dropped() {
            return Err(error);
        }
        self.load(&mut connection).await?;
        pipeline.query_async(&mut connection).await
    }

    /// The connection may turn out to be broken just now; the next one is new.
    async fn load(&self, connection: &mut Connection) -> Result<String, RedisError> {
        match self.script.load_async(connection).await {
            Err(error) if error.is_connection_dropped() => self.script.load_async(connection).await,
            loaded => loaded,
        }
    }

    fn add_call(&self, pipeline: &mut Pipeline, kind: Kind, batch: &[Entry]) {
        let queue = self.keys.queue(kind);
        let holders: Vec<_> = batch
            .iter()
            .filter_map(|e| e.idempotency_key.as_ref())
            .map(|key| queue.idempotency(key))
            .collect();
        let call = pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(5 + holders.len());
        call.arg(&[queue.data(), queue.meta_prefix(), queue.active(), queue.scheduled(), self.keys.wake()]);
        call.arg(holders).arg(queue.name());
        call.arg(IDEMPOTENCY_TTL.as_millis() as u64).arg(RUN_AT_AHEAD.as_millis() as u64);
        for entry in batch {
            let max_attempts = entry.max_attempts.unwrap_or(self.max_attempts[kind as usize]).max(1);
            call.arg(entry.id.as_str()).arg(&entry.payload).arg(max_attempts);
            call.arg(entry.run_at.map(|at| at.unix_ms().to_string()).unwrap_or_default());
            call.arg(entry.idempotency_key.as_deref().unwrap_or_default());
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn read_answer(answer: u8, id: &str) -> Result<JobId, EnqueueError> {
    let unreadable = || {
        let what =
            (redis::ErrorKind::UnexpectedReturnType, "enqueue.lua gave an answer that it does not document");
        EnqueueError::Unavailable(what.into())
    };
    let id: JobId = id.parse().map_err(|_| unreadable())?;
    match answer {
        0..=2 => Ok(id),
        3 => Err(EnqueueError::Conflict(id)),
        4 => Err(EnqueueError::RunAt),
        _ => Err(unreadable()),
    }
}

/// Stock producers and ours must mean the same keys.
fn check_layout(keys: &Keys) -> Result<(), ConnectError> {
    for kind in Kind::ALL {
        let queue = keys.queue(kind);
        let stock = apalis_redis::Config::default().queue(queue.name());
        let pairs = [
            (queue.data(), stock.job_data_hash()),
            (queue.meta_prefix(), format!("{}:", stock.job_meta_hash())),
            (queue.scheduled(), stock.scheduled_jobs_set()),
            (queue.active(), stock.active_jobs_list()),
            (queue.done(), stock.done_jobs_set()),
            (queue.dead(), stock.dead_jobs_set()),
            (queue.idempotency(""), format!("{}:", stock.idempotency_key_set())),
        ];
        if let Some((ours, stock)) = pairs.into_iter().find(|(ours, stock)| ours != stock) {
            return Err(ConnectError::Layout(format!("{stock}, the layout says {ours}")));
        }
    }
    Ok(())
}
