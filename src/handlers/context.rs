//! What one delivery of a job may use.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use darkroom_jobs::{Deletion, JobId, Kind, ObjectKey, SourceFacts, Timestamp, Timings, Visual, Warning};

use super::{error::JobError, purge::purge, scope::Scope, step};
use crate::{
    config::{self, steps::Step},
    queue::{
        clock::{Clock, later, milliseconds},
        health::HealthBoard,
        lease::LeaseKey,
        scrub::Scrubber,
        tombstone::{Look, Tombstones},
    },
    sandbox::Sandbox,
    sources::Sources,
    storage::Storage,
};

/// How long the removal of an original that nobody needs any more is waited for.
pub const REMOVAL: Duration = Duration::from_secs(10);

/// What every delivery shares: made once for a process.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The bucket.
    pub storage: Storage,
    /// Where originals come from.
    pub sources: Sources,
    /// Where decoding runs.
    pub sandbox: Sandbox,
    /// What was deleted.
    pub tombstones: Tombstones,
    /// Makes the queues forget an owner.
    pub scrubber: Scrubber,
    /// Where the last look at the bucket is kept.
    pub health: HealthBoard,
    /// The worker's settings; a test's steps are among them.
    pub settings: Arc<config::Worker>,
}

/// What one delivery of a job may use.
#[derive(Debug)]
pub struct Context {
    /// The bucket.
    pub storage: Storage,
    /// Where originals come from.
    pub sources: Sources,
    /// Where decoding runs.
    pub sandbox: Sandbox,
    /// What was deleted.
    pub tombstones: Tombstones,
    /// Makes the queues forget an owner.
    pub scrubber: Scrubber,
    /// Where the last look at the bucket is kept.
    pub health: HealthBoard,
    /// The job.
    pub job_id: JobId,
    /// Its type.
    pub kind: Kind,
    /// When it was enqueued, by Redis' clock.
    pub enqueued_at: Timestamp,
    /// What the last delivery left for this one.
    pub note: Option<String>,
    /// The worker's settings.
    pub settings: Arc<config::Worker>,
    /// Which delivery it is.
    pub lease: LeaseKey,
    claimed: (Timestamp, Instant),
    clock: Clock,
    learnt: Arc<Mutex<Learnt>>,
}

/// What was learnt on the way: it is in the receipt however the delivery ends.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    /// Of the original.
    pub source: Option<SourceFacts>,
    /// Of the picture.
    pub visual: Option<Visual>,
    /// What was odd.
    pub warnings: Vec<Warning>,
    /// Where the time went.
    pub timings: Timings,
    /// What a deletion has removed so far.
    pub deletion: Option<Deletion>,
    /// When the owner was erased: nothing is told of the picture then, nor of what the producer said of it.
    pub owner_erased_at: Option<Timestamp>,
}

impl Context {
    /// For the delivery that holds `lease`. What is learnt is left in `learnt`.
    pub fn new(
        tools: &Tools,
        job: &crate::queue::delivery::ClaimedJob,
        lease: LeaseKey,
        clock: Clock,
        learnt: Arc<Mutex<Learnt>>,
    ) -> Self {
        Self {
            storage: tools.storage.clone(),
            sources: tools.sources.clone(),
            sandbox: tools.sandbox.clone(),
            tombstones: tools.tombstones.clone(),
            scrubber: tools.scrubber.clone(),
            health: tools.health.clone(),
            job_id: job.id.clone(),
            kind: job.kind,
            enqueued_at: job.enqueued_at,
            note: job.note.clone(),
            settings: Arc::clone(&tools.settings),
            lease,
            claimed: (job.claimed_at, job.received),
            clock,
            learnt,
        }
    }

    /// Goes on only while nobody deleted the picture and the job is still ours. On a tombstone it first removes what a
    /// delivery of this job left behind, unless the object is newer than the deletion. When everything of the owner was
    /// deleted before the job was enqueued, it says when: what is there from then is not wanted.
    ///
    /// # Errors
    ///
    /// [`JobError::Superseded`], [`JobError::LeaseLost`], and those of Redis and the bucket.
    pub async fn still_wanted(&self, key: &ObjectKey) -> Result<Option<Timestamp>, JobError> {
        match self.tombstones.look(&self.lease, self.enqueued_at, key, &key.owner()).await? {
            Look::Wanted { since } => Ok(since),
            Look::LeaseLost => Err(JobError::LeaseLost),
            Look::Deleted { at, with_owner } => {
                purge(&self.storage, &Scope::object(key, at)).await?;
                self.learn(|learnt| learnt.owner_erased_at = with_owner.then_some(at));
                Err(JobError::Superseded)
            }
        }
    }

    /// Leaves a note for the next delivery, however this one ends.
    ///
    /// # Errors
    ///
    /// [`JobError::LeaseLost`], and Redis'.
    pub async fn leave_note(&self, note: &str) -> Result<(), JobError> {
        let left = self.tombstones.leave_note(&self.lease, note).await?;
        if left { Ok(()) } else { Err(JobError::LeaseLost) }
    }

    /// Now, by Redis' clock as it was at the claim and the time since.
    pub fn now(&self) -> Timestamp {
        let (at, received) = self.claimed;
        later(at, received.elapsed())
    }

    /// Stops the job's clock, or lets it go on: waiting for memory is not the job's time.
    pub fn waits(&self, waiting: bool) {
        self.clock.stand_still(waiting);
    }

    /// Says in the log how far the job is.
    pub async fn reached(&self, step: Step) {
        step::reached(step, &self.job_id, &self.settings).await;
    }

    /// Notes something for the receipt, or asks what was noted.
    pub fn learn<T>(&self, note: impl FnOnce(&mut Learnt) -> T) -> T {
        note(&mut self.learnt.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Milliseconds since then.
pub fn elapsed_ms(since: Instant) -> u64 {
    milliseconds(since.elapsed())
}
