//! What was deleted, and when: a picture that is being made looks here before it is stored, and after.

use std::time::Duration;

use darkroom_jobs::{ObjectKey, OwnerPrefix, Timestamp, redis_keys::Keys};
use redis::{RedisResult, aio::ConnectionManager};

use super::{clock::milliseconds, connection, lease::LeaseKey, scripts};

/// The tombstones of one deployment.
#[derive(Clone)]
pub struct Tombstones {
    redis: ConnectionManager,
    keys: Keys,
    ttl: Duration,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody asked for its removal, and the job is still ours.
    Wanted,
    /// It was deleted then.
    Deleted(Timestamp),
    /// Another worker may have the job.
    LeaseLost,
}

impl Tombstones {
    /// `ttl`: how long a tombstone is kept; longer than a dead job can be retried.
    pub fn new(redis: ConnectionManager, keys: Keys, ttl: Duration) -> Self {
        Self { redis, keys, ttl }
    }

    /// Says that an image is deleted, before anything is removed. Doing it again moves the deletion to now.
    ///
    /// # Errors
    ///
    /// Redis': then nothing may be removed.
    pub async fn bury(&self, key: &ObjectKey) -> RedisResult<Timestamp> {
        let (tombstone, ttl_ms) = (self.keys.tombstone(key), milliseconds(self.ttl));
        let ms: u64 = connection::repeated(&self.redis, |mut redis| {
            let mut call = scripts::TOMBSTONE_WRITE.key(&tombstone);
            call.arg(ttl_ms);
            async move { call.invoke_async(&mut redis).await }
        })
        .await?;
        Ok(Timestamp::from_unix_ms(ms))
    }

    /// Looks whether an image that a job is making is still wanted: neither it was deleted, nor its owner after the
    /// job was enqueued; and whether the job is still ours.
    ///
    /// # Errors
    ///
    /// Redis': then nothing is known.
    pub async fn look(
        &self,
        lease: &LeaseKey,
        enqueued_at: Timestamp,
        key: &ObjectKey,
        owner: &OwnerPrefix,
    ) -> RedisResult<Look> {
        let meta = [self.keys.queue(lease.kind).meta_prefix().into_bytes(), lease.id.clone()].concat();
        let mut questions = redis::pipe();
        questions.get(self.keys.tombstone(key)).get(self.keys.tombstone(owner)).hget(meta, "dr_token");
        let (image, owner, token): (Option<u64>, Option<u64>, Option<String>) =
            connection::repeated(&self.redis, |mut redis| {
                let questions = &questions;
                async move { questions.query_async(&mut redis).await }
            })
            .await?;
        let deleted = image.into_iter().chain(owner.filter(|ms| *ms >= enqueued_at.unix_ms())).max();
        Ok(match deleted {
            Some(ms) => Look::Deleted(Timestamp::from_unix_ms(ms)),
            None if token.as_deref() != Some(&lease.token) => Look::LeaseLost,
            None => Look::Wanted,
        })
    }
}

impl std::fmt::Debug for Tombstones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tombstones").field("keys", &self.keys).finish_non_exhaustive()
    }
}
