//! What was deleted, and when: a picture that is being made looks here before it is stored, and after.

use std::time::Duration;

use darkroom_jobs::{ObjectKey, OwnerPrefix, Timestamp, redis_keys::Keys, wire::Connection};
use redis::RedisResult;

use super::{clock::milliseconds, connection, lease::LeaseKey, scripts};

/// The tombstones of one deployment.
#[derive(Clone)]
pub struct Tombstones {
    redis: Connection,
    keys: Keys,
    ttl: Duration,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody asked for its removal, and the job is still ours.
    Wanted {
        /// When everything of the owner was deleted that was enqueued before this job: what is there from then is not
        /// wanted.
        since: Option<Timestamp>,
    },
    /// It was deleted.
    Deleted {
        /// By then.
        at: Timestamp,
        /// Whether with everything of its owner.
        with_owner: bool,
    },
    /// Another worker may have the job.
    LeaseLost,
}

/// The tombstone of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grave {
    /// The deletion.
    pub deleted_at: Timestamp,
    /// Whether the tombstone was there before.
    pub stood: bool,
    /// Now, by Redis' clock.
    pub now: Timestamp,
}

impl Tombstones {
    /// `ttl`: how long a tombstone is kept; longer than a dead job can be retried.
    pub fn new(redis: Connection, keys: Keys, ttl: Duration) -> Self {
        Self { redis, keys, ttl }
    }

    /// Says that an image is deleted, before anything is removed. Doing it again moves the deletion to now.
    ///
    /// # Errors
    ///
    /// Redis': then nothing may be removed.
    pub async fn bury(&self, key: &ObjectKey) -> RedisResult<Timestamp> {
        let (tombstone, ttl_ms) = (self.keys.tombstone(key), milliseconds(self.ttl));
        let ms: u64 = connection::repeated(&self.redis, "tombstone_write", |mut redis| {
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
        let meta = lease.meta(&self.keys);
        let mut questions = redis::pipe();
        questions.get(self.keys.tombstone(key)).get(self.keys.tombstone(owner)).hget(meta, "dr_token");
        let (image, owner, token): (Option<u64>, Option<u64>, Option<String>) =
            connection::repeated(&self.redis, "look", |mut redis| {
                let questions = &questions;
                async move { questions.query_async(&mut redis).await }
            })
            .await?;
        let erased = owner.filter(|ms| *ms >= enqueued_at.unix_ms());
        Ok(match image.max(erased) {
            Some(ms) => Look::Deleted { at: Timestamp::from_unix_ms(ms), with_owner: erased.is_some() },
            None if token.as_deref() != Some(&lease.token) => Look::LeaseLost,
            None => Look::Wanted { since: owner.map(Timestamp::from_unix_ms) },
        })
    }

    /// Says that everything of an owner is deleted, before anything is removed, and again at each later sweep. The
    /// deletion keeps its moment, however often its job is delivered: the owner may have come back since. `told` is that
    /// moment, if an earlier delivery left it. `None`: the job is not ours any more.
    ///
    /// # Errors
    ///
    /// Redis': then nothing may be removed.
    pub async fn bury_owner(
        &self,
        lease: &LeaseKey,
        owner: &OwnerPrefix,
        told: Option<Timestamp>,
    ) -> RedisResult<Option<Grave>> {
        let meta = lease.meta(&self.keys);
        let (ms, stood, now): (u64, bool, u64) =
            connection::repeated(&self.redis, "owner_bury", |mut redis| {
                let mut call = scripts::OWNER_BURY.key(self.keys.tombstone(owner));
                call.key(&meta).arg(&lease.token).arg(milliseconds(self.ttl));
                call.arg(told.map_or(0, Timestamp::unix_ms));
                async move { call.invoke_async(&mut redis).await }
            })
            .await?;
        let moment = Timestamp::from_unix_ms;
        Ok((ms > 0).then(|| Grave { deleted_at: moment(ms), stood, now: moment(now) }))
    }

    /// Whether the tombstone of that deletion, or a later one, is still there.
    ///
    /// # Errors
    ///
    /// Redis': then nothing is known.
    pub async fn stands(&self, name: impl std::fmt::Display, deleted_at: Timestamp) -> RedisResult<bool> {
        let tombstone = self.keys.tombstone(name);
        let found: Option<u64> = connection::repeated(&self.redis, "stands", |mut redis| {
            let tombstone = &tombstone;
            async move { redis::cmd("GET").arg(tombstone).query_async(&mut redis).await }
        })
        .await?;
        Ok(found.is_some_and(|ms| ms >= deleted_at.unix_ms()))
    }

    /// Leaves a note of at most 1 KiB for the job's next delivery, however this one ends. `false`: the job is not ours any more.
    ///
    /// # Errors
    ///
    /// Redis'.
    pub async fn leave_note(&self, lease: &LeaseKey, note: &str) -> RedisResult<bool> {
        let meta = lease.meta(&self.keys);
        connection::repeated(&self.redis, "note_write", |mut redis| {
            let mut call = scripts::NOTE_WRITE.key(&meta);
            call.arg(&lease.token).arg(note);
            async move { call.invoke_async(&mut redis).await }
        })
        .await
    }
}

impl std::fmt::Debug for Tombstones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tombstones").field("keys", &self.keys).finish_non_exhaustive()
    }
}
