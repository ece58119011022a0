//! One claimed job, as the queue hands it to the worker.

use std::time::Instant;

use darkroom_jobs::{JobId, Kind, Timestamp};
use redis::{FromRedisValue, ParsingError, Value, from_redis_value};

use super::{
    clock::later,
    lease::{Lease, LeaseKey},
};

/// One claimed job. Times are Redis'.
#[derive(Debug)]
pub struct Delivery {
    /// The hold on the job; dropped, it is given back.
    pub lease: Lease,
    /// What the queue knows of it.
    pub job: ClaimedJob,
}

/// What the queue knows of a claimed job.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The queue.
    pub kind: Kind,
    /// The job; letters that no id has are replaced by `_`.
    pub id: JobId,
    /// What the producer wrote; the first 4 KiB when it is too large to be a payload.
    pub payload: Vec<u8>,
    /// Size of the whole payload.
    pub payload_bytes: usize,
    /// Attempts counted before this one.
    pub attempts: u32,
    /// The producer's choice.
    pub max_attempts: Option<u32>,
    /// Deliveries, this one included.
    pub deliveries: u32,
    /// Leases that ran out within `DARKROOM_CRASHES_WITHIN_MS`.
    pub crashes: u32,
    /// When the job was enqueued, or first seen.
    pub enqueued_at: Timestamp,
    /// When it became due.
    pub ready_at: Timestamp,
    /// When it was delivered for the first time.
    pub first_at: Timestamp,
    /// Since when it is deferred.
    pub deferred_at: Option<Timestamp>,
    /// When this delivery began.
    pub claimed_at: Timestamp,
    /// When this delivery began, by this process' own clock.
    pub received: Instant,
    /// What the last delivery left for this one.
    pub note: Option<String>,
    /// Whether the job waited for a time that no producer may ask for.
    pub run_at_out_of_range: bool,
    /// Whether the id in Redis is of the allowed form.
    pub id_is_valid: bool,
}

impl ClaimedJob {
    /// Now, by Redis' clock as it was at the claim and the time since.
    pub fn now(&self) -> Timestamp {
        later(self.claimed_at, self.received.elapsed())
    }
}

#[cfg(test)]
impl ClaimedJob {
    /// A job that is delivered for the first time, as soon as it was enqueued.
    pub fn fresh(kind: Kind) -> Self {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        Self {
            kind,
            id: JobId::generate(),
            payload: Vec::new(),
            payload_bytes: 0,
            attempts: 0,
            max_attempts: None,
            deliveries: 1,
            crashes: 0,
            enqueued_at: now,
            ready_at: now,
            first_at: now,
            deferred_at: None,
            claimed_at: now,
            received: Instant::now(),
            note: None,
            run_at_out_of_range: false,
            id_is_valid: true,
        }
    }
}

/// The answer of `jobs_claim`.
pub(super) struct Claimed {
    pub now: Timestamp,
    /// Whether more jobs may be ready.
    pub more: bool,
    pub jobs: Vec<Row>,
}

/// One job of the answer.
pub(super) struct Row {
    id: Vec<u8>,
    token: String,
    payload: Vec<u8>,
    payload_bytes: usize,
    /// Attempts, max_attempts, deliveries, crashes, enqueued ms, ready ms.
    numbers: [i64; 6],
    /// Of a job that was delivered or put off before.
    past: Option<Past>,
}

struct Past {
    first_ms: i64,
    deferred_ms: i64,
    note: String,
    reason: String,
}

impl FromRedisValue for Claimed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut parts = Vec::<Value>::from_redis_value(value)?.into_iter();
        let mut number = || from_redis_value::<u64>(parts.next().unwrap_or(Value::Nil));
        let (now, more) = (Timestamp::from_unix_ms(number()?), number()? == 1);
        let jobs = parts.map(Row::from_redis_value).collect::<Result<_, _>>()?;
        Ok(Self { now, more, jobs })
    }
}

impl FromRedisValue for Row {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut parts = Vec::<Value>::from_redis_value(value)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let (id, token) = (from_redis_value(next())?, from_redis_value(next())?);
        let (payload, payload_bytes) = (from_redis_value(next())?, from_redis_value(next())?);
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = from_redis_value(next())?;
        }
        let past = match parts.next() {
            None => None,
            Some(first) => {
                let mut next = || parts.next().unwrap_or(Value::Nil);
                let (first_ms, deferred_ms) = (from_redis_value(first)?, from_redis_value(next())?);
                let (note, reason) = (from_redis_value(next())?, from_redis_value(next())?);
                Some(Past { first_ms, deferred_ms, note, reason })
            }
        };
        Ok(Self { id, token, payload, payload_bytes, numbers, past })
    }
}

impl Row {
    pub(super) fn key(&self, kind: Kind) -> LeaseKey {
        LeaseKey { kind, id: self.id.clone(), token: self.token.clone() }
    }

    pub(super) fn into_job(self, kind: Kind, claimed_at: Timestamp) -> ClaimedJob {
        let [attempts, max_attempts, deliveries, crashes, enqueued, ready] = self.numbers;
        let count = |number: i64| u32::try_from(number).unwrap_or_default();
        let time = |ms: i64| Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or_default());
        let valid: Option<JobId> = str::from_utf8(&self.id).ok().and_then(|id| id.parse().ok());
        ClaimedJob {
            kind,
            id_is_valid: valid.is_some(),
            id: valid.unwrap_or_else(|| presentable(&self.id)),
            payload: self.payload,
            payload_bytes: self.payload_bytes,
            attempts: count(attempts),
            max_attempts: u32::try_from(max_attempts).ok(),
            deliveries: count(deliveries),
            crashes: count(crashes),
            enqueued_at: time(enqueued),
            ready_at: time(ready),
            first_at: self.past.as_ref().map_or(claimed_at, |past| time(past.first_ms)),
            deferred_at: self
                .past
                .as_ref()
                .filter(|past| past.deferred_ms >= 0)
                .map(|past| time(past.deferred_ms)),
            claimed_at,
            received: Instant::now(),
            run_at_out_of_range: self.past.as_ref().is_some_and(|past| past.reason == "run_at"),
            note: self.past.map(|past| past.note).filter(|note| !note.is_empty()),
        }
    }
}

/// A receipt can only name an id of the allowed form.
fn presentable(id: &[u8]) -> JobId {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let text: String = id.iter().take(64).map(|b| if allowed(b) { char::from(*b) } else { '_' }).collect();
    text.parse().unwrap_or_else(|_| "_".parse().expect("`_` is a valid id"))
}
