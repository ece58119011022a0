//! A look at the queues: which jobs are where, and how many. Changes nothing.

use darkroom_jobs::{JobId, Kind, Producer, Receipt, Status, redis_keys::Keys};
use redis::{Pipeline, RedisError, aio::ConnectionManager};

/// Most jobs of one queue that a look goes through.
const MOST: usize = 10_000;

/// Looks at the queues of one namespace.
#[derive(Clone, Debug)]
pub struct Inspector {
    producer: Producer,
    connection: ConnectionManager,
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

impl Inspector {
    /// Looks through a connection that is there; receipts are read as producers read them.
    pub fn new(producer: Producer, connection: ConnectionManager, keys: Keys) -> Self {
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
        pipeline.atomic().cmd("LLEN").arg(queue.active());
        for set in [queue.scheduled(), queue.leases(), queue.done(), queue.dead()] {
            pipeline.cmd("ZCARD").arg(set);
        }
        let (active, scheduled, leased, done, dead) =
            pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(Counts { kind, active, scheduled, leased, done, dead })
    }

    /// Reads the receipts of at most `limit` jobs of one queue, newest first within each place; with a status only those
    /// that have it, among the newest 10,000 of each place.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn list(
        &self,
        kind: Kind,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<Receipt>, RedisError> {
        let wanted = |receipt: &Receipt| status.is_none_or(|status| receipt.status == status);
        let most = if status.is_some() { MOST } else { limit.min(MOST) };
        let mut found = Vec::new();
        for ids in self.ids(kind, status, most).await? {
            for some in ids.chunks(100) {
                if found.len() >= limit {
                    break;
                }
                found.extend(self.producer.receipts(kind, some).await?.into_iter().filter(wanted));
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
        let mut places: Vec<Vec<String>> = pipeline.query_async(&mut self.connection.clone()).await?;
        if waiting {
            places[0].reverse();
        }
        // An id that is not of our form cannot have a receipt.
        Ok(places.into_iter().map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect()).collect())
    }
}
