//! Jobs that nobody asks for: one for each slot of time, however many processes tick.

use std::time::Duration;

use darkroom_jobs::{BucketHealth, Job as _, JobId, Payload, redis_keys::Keys, wire::Connection};
use redis::RedisResult;

use super::{clock::milliseconds, connection, scripts};

/// Enqueues the periodic look at the bucket.
#[derive(Clone)]
pub struct Periodic {
    redis: Connection,
    keys: Keys,
    period: Duration,
}

impl Periodic {
    /// `period`: length of a slot.
    pub fn new(redis: Connection, keys: Keys, period: Duration) -> Self {
        Self { redis, keys, period }
    }

    /// Enqueues the job of the current slot, unless the slot has had one, or a job still waits or is leased. Says
    /// whether it did.
    ///
    /// # Errors
    ///
    /// Redis': the job may be enqueued or not, and calling again is harmless.
    pub async fn tick(&self) -> RedisResult<bool> {
        let (queue, id) = (self.keys.queue(BucketHealth::KIND), JobId::generate());
        let payload = serde_json::to_string(&Payload::from(BucketHealth::default()));
        let mut call = scripts::SLOT_ENQUEUE.key(queue.slot());
        call.key(queue.data())
            .key(queue.meta(&id))
            .key(queue.active())
            .key(queue.scheduled())
            .key(queue.leases());
        call.key(self.keys.wake()).arg(milliseconds(self.period)).arg(id.as_str());
        call.arg(payload.expect("a job is plain JSON")).arg(BucketHealth::KIND.as_str());
        call.arg(BucketHealth::MAX_ATTEMPTS);
        let call = &call;
        connection::at_the_primary(
            &self.redis,
            |mut redis| async move { call.invoke_async(&mut redis).await },
        )
        .await
    }
}

impl std::fmt::Debug for Periodic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Periodic")
            .field("keys", &self.keys)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
