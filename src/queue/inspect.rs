//! A look at the queues: which jobs are where, and how many. Changes nothing.

use std::collections::{BTreeMap, HashSet};

use darkroom_jobs::{
    JobId, Kind, Producer, Receipt, Status,
    redis_keys::Keys,
    wire::{self, Connection},
};
use redis::{Pipeline, RedisError};

use super::presence::Presence;

/// Most jobs of one queue that a look goes through.
const MOST: usize = 10_000;

/// Ready jobs that are looked at for the oldest: husks of cancelled jobs may stand before it.
const HEAD: isize = 50;

/// Looks at the queues of one namespace.
#[derive(Clone, Debug)]
pub struct Inspector {
    producer: Producer,
    connection: Connection,
    keys: Keys,
}

/// Jobs of one queue, by where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// The queue.
    pub kind: Kind,
    /// Wait for a worker.
    pub active: u64,
    /// Wait for their time.
    pub scheduled: u64,
    /// Held by a worker.
    pub leased: u64,
    /// Ended, and still remembered, without being dead.
    pub done: u64,
    /// Dead.
    pub dead: u64,
}

/// How one queue is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QueueStats {
    /// Its jobs, by where they are.
    #[serde(flatten)]
    pub counts: Counts,
    /// Whether workers are kept from claiming.
    pub paused: bool,
    /// How long the next job has been waiting, in milliseconds; `None` when none is ready.
    pub oldest_ready_ms: Option<u64>,
    /// Bytes of the dead jobs.
    pub dead_bytes: u64,
    /// Settlements since the queue exists, by the status that they gave (`retrying` and `queued` included).
    pub settled: BTreeMap<String, u64>,
}

/// A process that works.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// What it told last.
    #[serde(flatten)]
    pub presence: Presence,
    /// How long ago that was, in milliseconds.
    pub silent_ms: u64,
}

/// A job that a worker has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Running {
    /// The job.
    pub job_id: String,
    /// Its queue.
    pub kind: Kind,
    /// How long this delivery has been running, in milliseconds.
    pub running_ms: u64,
    /// Deliveries begun, this one included.
    pub deliveries: u64,
}

/// A page of a hash: where to go on, field and value of each entry.
type Page = (u64, Vec<(String, String)>);

/// Paused or not, the hash of totals, the next ids, Redis' time.
type Look = (bool, BTreeMap<String, i64>, Vec<Vec<u8>>, (u64, u64));

/// What the hash of a ready job says of its age: since when it is due, since when it is known, its final receipt.
type Ready = (Option<u64>, Option<u64>, Option<String>);

impl Inspector {
    /// Looks through a connection that is there; receipts are read as producers read them.
    pub fn new(producer: Producer, connection: Connection, keys: Keys) -> Self {
        Self { producer, connection, keys }
    }

    /// Counts the jobs of one queue.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn counts(&self, kind: Kind) -> Result<Counts, RedisError> {
        let queue = self.keys.queue(kind);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("LLEN").arg(queue.active());
        for set in [queue.scheduled(), queue.leases(), queue.done(), queue.dead()] {
            pipeline.cmd("ZCARD").arg(set);
        }
        let (active, scheduled, leased, done, dead) =
            wire::read_at_once(&mut self.connection.clone(), &pipeline).await?;
        Ok(Counts { kind, active, scheduled, leased, done, dead })
    }

    /// Says how one queue is doing.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn stats(&self, kind: Kind) -> Result<QueueStats, RedisError> {
        let queue = self.keys.queue(kind);
        let counts = self.counts(kind).await?;
        let (paused, mut settled, next, (seconds, micros)): Look = Pipeline::new()
            .exists(queue.paused())
            .hgetall(queue.stats())
            .lrange(queue.active(), 0, HEAD - 1)
            .cmd("TIME")
            .query_async(&mut self.connection.clone())
            .await?;
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let dead_bytes = settled.remove("dead_bytes").map(count).unwrap_or_default();
        let oldest_ready_ms = self.oldest(kind, &next, seconds * 1000 + micros / 1000).await?;
        let settled = settled.into_iter().map(|(status, number)| (status, count(number))).collect();
        Ok(QueueStats { counts, paused, oldest_ready_ms, dead_bytes, settled })
    }

    /// Age of the first of these that is no husk.
    async fn oldest(&self, kind: Kind, ids: &[Vec<u8>], now: u64) -> Result<Option<u64>, RedisError> {
        if ids.is_empty() {
            return Ok(None);
        }
        let prefix = self.keys.queue(kind).meta_prefix().into_bytes();
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            let fields = ["dr_ready_at", "dr_enqueued_at", "result"];
            pipeline.cmd("HMGET").arg([prefix.as_slice(), id].concat()).arg(&fields);
        }
        let known: Vec<Ready> = pipeline.query_async(&mut self.connection.clone()).await?;
        let waiting = known.into_iter().find(|(_, _, result)| result.is_none());
        Ok(waiting.map(|(ready, enqueued, _)| now.saturating_sub(ready.or(enqueued).unwrap_or(now))))
    }

    /// The processes that work, by host and start; one that fell silent is not among them.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn workers(&self) -> Result<Vec<Seen>, RedisError> {
        let (mut cursor, mut found) = (0_u64, BTreeMap::new());
        let now = loop {
            let ((next, page), (seconds, micros)): (Page, (u64, u64)) = Pipeline::new()
                .cmd("HSCAN")
                .arg(self.keys.workers())
                .arg(cursor)
                .arg(&["COUNT", "100"])
                .cmd("TIME")
                .query_async(&mut self.connection.clone())
                .await?;
            found.extend(page);
            cursor = next;
            if cursor == 0 {
                break seconds * 1000 + micros / 1000;
            }
        };
        let seen = found.into_values().filter_map(|record| {
            let presence: Presence = serde_json::from_str(&record).ok()?;
            let silent_ms = now.saturating_sub(presence.beat_at_ms);
            (now <= presence.silent_at_ms).then_some(Seen { presence, silent_ms })
        });
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by(|one, other| {
            let by = |seen: &Seen| (seen.presence.host.clone(), std::cmp::Reverse(seen.presence.uptime_ms));
            by(one).cmp(&by(other))
        });
        Ok(seen)
    }

    /// The jobs of one queue that workers have, at most `limit`, the longest first.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn running(&self, kind: Kind, limit: usize) -> Result<Vec<Running>, RedisError> {
        let queue = self.keys.queue(kind);
        let (ids, (seconds, micros)): (Vec<Vec<u8>>, (u64, u64)) = Pipeline::new()
            .cmd("ZRANGE")
            .arg(queue.leases())
            .arg(0)
            .arg(MOST - 1)
            .cmd("TIME")
            .query_async(&mut self.connection.clone())
            .await?;
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in &ids {
            let meta = [queue.meta_prefix().as_bytes(), id].concat();
            pipeline.cmd("HMGET").arg(meta).arg(&["dr_leased_at", "dr_deliveries"]);
        }
        let known: Vec<(Option<u64>, Option<u64>)> = match ids.len() {
            0 => Vec::new(),
            _ => pipeline.query_async(&mut self.connection.clone()).await?,
        };
        let now = seconds * 1000 + micros / 1000;
        let rows = ids.iter().zip(known).map(|(id, (since, deliveries))| Running {
            job_id: String::from_utf8_lossy(id).into_owned(),
            kind,
            running_ms: now.saturating_sub(since.unwrap_or(now)),
            deliveries: deliveries.unwrap_or_default(),
        });
        let mut running: Vec<_> = rows.collect();
        running.sort_by_key(|job| std::cmp::Reverse(job.running_ms));
        running.truncate(limit);
        Ok(running)
    }

    /// Reads the receipts of at most `limit` jobs of one queue, newest first within each place; with a status only those
    /// that have it, among the newest 10,000 of each place.
    ///
    /// # Errors
    ///
    /// When Redis does not answer, or a final receipt cannot be read.
    pub async fn list(
        &self,
        kind: Kind,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Receipt>, RedisError> {
        let wanted = |receipt: &Receipt| status.is_none_or(|status| receipt.status == status);
        let most = if status.is_some() { MOST } else { limit.min(MOST) };
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for mut ids in self.ids(kind, status, most).await? {
            // A cancelled job may be in two places: its husk is among the ready ones.
            ids.retain(|id| seen.insert(id.clone()));
            for some in ids.chunks(100) {
                if found.len() >= limit {
                    break;
                }
                found.extend(self.producer.receipts(kind, some, wanted).await?);
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Ids in the places where jobs of that status are, newest first.
    async fn ids(
        &self,
        kind: Kind,
        status: Option<Status>,
        most: usize,
    ) -> Result<Vec<Vec<JobId>>, RedisError> {
        let queue = self.keys.queue(kind);
        let sets = match status {
            Some(Status::Running) => vec![queue.leases()],
            Some(Status::Queued | Status::Retrying) => vec![queue.scheduled()],
            Some(Status::Failed) => vec![queue.dead()],
            Some(_) => vec![queue.done()],
            None => vec![queue.leases(), queue.scheduled(), queue.dead(), queue.done()],
        };
        let waiting = matches!(status, None | Some(Status::Queued | Status::Retrying));

        let last = most as isize;
        let mut pipeline = Pipeline::new();
        if waiting {
            pipeline.cmd("LRANGE").arg(queue.active()).arg(-last).arg(-1);
        }
        for set in sets {
            pipeline.cmd("ZREVRANGE").arg(set).arg(0).arg(last - 1);
        }
        let mut places: Vec<Vec<Vec<u8>>> = pipeline.query_async(&mut self.connection.clone()).await?;
        if waiting {
            places[0].reverse();
        }
        // An id that is not of our form cannot have a receipt.
        let id = |bytes: &Vec<u8>| str::from_utf8(bytes).ok()?.parse().ok();
        Ok(places.into_iter().map(|ids| ids.iter().filter_map(id).collect()).collect())
    }
}
