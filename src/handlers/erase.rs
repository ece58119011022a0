//! Removes everything of an owner, and proves it.
//!
//! 1. Note of waiting jobs that nobody has seen that they were there; then write the owner's tombstone. What was enqueued
//!    before it can store nothing any more.
//! 2. Make the queues forget the owner, and remove originals that jobs named.
//! 3. Sweep the bucket: all objects, versions, markers and staged originals, but not what is newer than the deletion.
//! 4. Come again for each later sweep; in between no slot is held. A sweep that takes long is put off, and goes on.
//! 5. Only a last sweep that found nothing, under a tombstone that stood all the time, is a proof.

use std::time::{Duration, Instant};

use darkroom_jobs::{Deletion, StagedKey, Target, Timestamp};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    context::Context,
    delete::{describe, nothing_hides},
    error::JobError,
    purge::{Refusals, Removed, Walk, remove},
    scope::{Cutoff, Scope},
};
use crate::{
    config::steps::Step,
    queue::{
        clock::later,
        scrub::{Owner, Position},
        tombstone::Grave,
    },
};

/// Last sweeps that may find something before the deletion ends without a proof: something goes on writing there.
const MAX_LAST_SWEEPS: u32 = 5;

/// Originals that are removed at once.
const ORIGINALS: usize = 16;

/// How far an erasure is: what one delivery tells the next, as a note of at most 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    /// Redis ms of the deletion; 0 before the tombstone was written.
    deleted_ms: u64,
    /// Where stamping the waiting jobs is to be gone on with, before the tombstone is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<u64>,
    /// Redis ms from which the pauses count: the deletion, unless its tombstone was lost since.
    began_ms: u64,
    /// Sweeps that have ended.
    sweeps: u32,
    /// Last sweeps that have found something.
    vain: u32,
    /// Whether this sweep has removed something so far.
    found: bool,
    /// Where the queue is to be gone on with; `None` when this sweep is done with it.
    queue: Option<Position>,
    /// Where this sweep is to be gone on with: which scope, and after which key.
    at: Option<(usize, Option<String>)>,
    /// What this sweep was refused so far.
    refused: Refusals,
    /// By all sweeps.
    removed: Removed,
}

impl Progress {
    /// A note that says something else belongs to no erasure: it begins.
    fn of_note(note: Option<&str>) -> Self {
        note.and_then(|note| serde_json::from_str(note).ok()).unwrap_or_default()
    }

    fn note(&self) -> String {
        serde_json::to_string(self).expect("numbers are plain JSON")
    }

    fn deleted_at(&self) -> Option<Timestamp> {
        (self.deleted_ms > 0).then(|| Timestamp::from_unix_ms(self.deleted_ms))
    }

    /// Takes over what the tombstone says. One that was lost since protected nothing: the sweeps count from now.
    fn stand_at(&mut self, grave: &Grave) {
        let is_first = self.deleted_ms == 0;
        // One that is written for the first time is of this very moment; a retried erasure brings its own from before.
        let is_lost = !grave.stood && grave.deleted_at < grave.now;
        if is_lost {
            warn!("tombstone of an erasure was lost; its sweeps begin anew");
        }
        if is_first || is_lost {
            let began_ms = if is_lost { grave.now } else { grave.deleted_at }.unix_ms();
            let removed = std::mem::take(&mut self.removed);
            *self = Self { began_ms, removed, queue: Some(Position::default()), ..Self::default() };
        }
        self.deleted_ms = grave.deleted_at.unix_ms();
    }

    /// Goes on to the next sweep, `pauses` after the beginning, and says how long that is to be waited for at `now`.
    fn next(&mut self, pauses: &[Duration], now: Timestamp) -> Duration {
        let due = pauses.get(self.sweeps as usize).copied().unwrap_or_default();
        let since = Duration::from_millis(now.unix_ms().saturating_sub(self.began_ms));
        self.sweeps += 1;
        self.found = false;
        // What waits or fails meanwhile is looked for once more in the end.
        self.queue = self.is_last(pauses).then(Position::default);
        due.saturating_sub(since)
    }

    /// Repeats the last sweep.
    fn repeat(&mut self) {
        self.vain += 1;
        self.found = false;
        self.queue = Some(Position::default());
    }

    fn is_last(&self, pauses: &[Duration]) -> bool {
        self.sweeps as usize >= pauses.len()
    }
}

/// One delivery of an erasure.
struct Erasure<'a> {
    ctx: &'a Context,
    target: &'a Target,
    owner: Owner,
    progress: Progress,
    cutoff: Cutoff,
    over_at: Instant,
}

/// Removes everything of an owner; comes again, by [`JobError::Deferred`], until that is proven. Running it twice
/// removes nothing more.
///
/// # Errors
///
/// See [`JobError`]; [`JobError::ErasureBlocked`] when the bucket keeps something, whose rest is removed by then.
pub async fn run(ctx: &Context, target: &Target) -> Result<Deletion, JobError> {
    let mut erasure = Erasure::begin(ctx, target).await?;
    ctx.reached(Step::Buried).await;

    if !erasure.scrub().await? || !erasure.sweep().await? {
        return Err(erasure.put_off(Duration::ZERO));
    }
    ctx.reached(Step::Removed).await;

    erasure.end().await
}

impl<'a> Erasure<'a> {
    async fn begin(ctx: &'a Context, target: &'a Target) -> Result<Self, JobError> {
        let over_at = Instant::now() + ctx.settings.erase_turn;
        let owner = Owner::of(target);
        let mut progress = Progress::of_note(ctx.note.as_deref());
        if progress.deleted_at().is_none() {
            let from = progress.stamp.take().unwrap_or_default();
            progress.stamp = ctx.scrubber.stamp(&owner, from, || Instant::now() >= over_at).await?;
            if progress.stamp.is_some() {
                return Err(deferred(Duration::ZERO, &progress));
            }
            info!(owner = %owner.prefix(), "erasure begun");
        }
        let grave = ctx.tombstones.bury_owner(&ctx.lease, owner.prefix(), progress.deleted_at()).await?;
        let grave = grave.ok_or(JobError::LeaseLost)?;
        let buried = Instant::now();
        progress.stand_at(&grave);
        ctx.leave_note(&progress.note()).await?;

        let now = || later(grave.now, buried.elapsed());
        let cutoff = Cutoff::measured(&ctx.storage, grave.deleted_at, now).await?;
        Ok(Self { ctx, target, owner, progress, cutoff, over_at })
    }

    /// Makes the queue forget the owner; says whether it came to its end.
    async fn scrub(&mut self) -> Result<bool, JobError> {
        while let Some(from) = self.progress.queue {
            let (owner, deleted_at) = (&self.owner, self.cutoff.deleted_at);
            let scrubbed = self.ctx.scrubber.scrub(owner, deleted_at, from, || self.is_over()).await?;
            let all_went = self.remove_originals(&scrubbed.originals, from).await?;
            // What is named there is looked for again, in smaller parts.
            self.progress.queue = if all_went { scrubbed.next } else { Some(from.slowly()) };
            self.ctx.leave_note(&self.progress.note()).await?;
            if self.is_over() {
                break;
            }
        }
        Ok(self.progress.queue.is_none())
    }

    /// Originals that jobs named outside of the owner's own folder, which the sweep takes anyway. Says whether there was time
    /// for all of them; a slow part comes to its end, or none ever would.
    async fn remove_originals(&mut self, keys: &[StagedKey], part: Position) -> Result<bool, JobError> {
        let (ctx, cutoff) = (self.ctx, self.cutoff);
        let mut all_refused = Refusals::default();
        for some in keys.chunks(ORIGINALS) {
            if self.is_over() && !part.is_slow() {
                return Ok(false);
            }
            let scopes: Vec<_> = some.iter().map(|key| Scope::original(key, cutoff)).collect();
            let removals = stream::iter(scopes).map(|scope| async move {
                let mut refused = Refusals::default();
                let removed = remove(&ctx.storage, &scope, &mut refused).await?;
                Ok::<_, JobError>((removed, refused))
            });
            let mut ended = std::pin::pin!(removals.buffered(ORIGINALS));
            while let Some(ended) = ended.next().await {
                let (removed, refused) = ended?;
                self.note_removed(&removed);
                all_refused.add(refused);
            }
        }
        self.progress.refused.add(all_refused);
        Ok(true)
    }

    /// Removes what there is in the bucket; says whether it came to its end.
    async fn sweep(&mut self) -> Result<bool, JobError> {
        // Of originals that jobs named, and of what an earlier delivery met before it ended its turn.
        let mut refused = std::mem::take(&mut self.progress.refused);
        let (first, mut after) = self.progress.at.take().unwrap_or_default();
        for (number, scope) in self.scopes().iter().enumerate().skip(first) {
            let mut walk = Walk::new(&self.ctx.storage, scope, after.take());
            while !walk.has_ended() {
                let mut removed = Removed::default();
                walk.page(&mut removed, &mut refused, || self.is_over()).await?;
                self.note_removed(&removed);
                self.ctx.leave_note(&self.progress.note()).await?;
                if self.is_over() && !walk.has_ended() {
                    self.progress.refused = refused;
                    self.progress.at = Some((number, walk.done().map(str::to_owned)));
                    return Ok(false);
                }
            }
        }
        refused.result()?;
        Ok(true)
    }

    fn scopes(&self) -> [Scope; 2] {
        let owner = self.owner.prefix();
        [Scope::owner(owner, self.cutoff), Scope::originals_of(owner, self.cutoff)]
    }

    fn note_removed(&mut self, removed: &Removed) {
        self.progress.found |= !removed.is_empty();
        self.progress.removed.add(removed);
        let so_far = self.describe(false);
        self.ctx.learn(|learnt| learnt.deletion = Some(so_far));
    }

    /// What follows a sweep that came to its end.
    async fn end(mut self) -> Result<Deletion, JobError> {
        let pauses = &self.ctx.settings.erase_sweeps;
        let last_pause = pauses.last().copied().unwrap_or_default();
        let (found, removed) = (self.progress.found, self.progress.removed.total());
        info!(owner = %self.owner.prefix(), sweep = self.progress.sweeps, found, removed, "bucket swept");

        if !self.progress.is_last(pauses) {
            let after = self.progress.next(pauses, self.ctx.now());
            return Err(self.put_off(after));
        }
        if found && self.progress.vain < MAX_LAST_SWEEPS {
            self.progress.repeat();
            return Err(self.put_off(last_pause));
        }
        if !self.ctx.tombstones.stands(self.owner.prefix(), self.cutoff.deleted_at).await? {
            // The next delivery notices, writes it again, and begins anew.
            return Err(self.put_off(Duration::ZERO));
        }
        let verified = !found && nothing_hides(self.ctx, &self.progress.removed, &self.scopes()).await?;
        info!(owner = %self.owner.prefix(), removed, verified, "owner erased");
        Ok(self.describe(verified))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.over_at
    }

    fn put_off(&self, after: Duration) -> JobError {
        let removed = self.describe(false);
        self.ctx.learn(|learnt| learnt.deletion = Some(removed));
        deferred(after, &self.progress)
    }

    fn describe(&self, verified: bool) -> Deletion {
        describe(self.target, self.cutoff.deleted_at, verified, &self.progress.removed)
    }
}

fn deferred(after: Duration, progress: &Progress) -> JobError {
    JobError::Deferred { after, note: Some(progress.note()), limited: true }
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::ImageId;

    use super::*;

    const PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(1200)];

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn grave(stood: bool, now_ms: u64) -> Grave {
        Grave { deleted_at: at(1_000_000), stood, now: at(now_ms) }
    }

    #[test]
    fn sweeps_are_due_from_the_deletion_on_however_long_one_takes() {
        let mut progress = Progress::of_note(None);
        progress.stand_at(&grave(false, 1_000_000));

        let pauses = [1_010_000, 1_500_000].map(|now| progress.next(&PAUSES, at(now)).as_secs());

        assert_eq!(pauses, [50, 700]);
        assert!(progress.is_last(&PAUSES) && progress.queue.is_some());
    }

    #[test]
    fn a_tombstone_that_was_lost_begins_the_sweeps_anew_and_forgets_no_count() {
        let removed = Removed { objects: 7, ..Removed::default() };
        let before = Progress {
            deleted_ms: 1_000_000,
            began_ms: 1_000_000,
            sweeps: 2,
            removed,
            ..Progress::default()
        };
        let (mut lost, mut kept) = (before.clone(), before.clone());

        lost.stand_at(&grave(false, 3_000_000));
        kept.stand_at(&grave(true, 3_000_000));

        assert_eq!((lost.sweeps, lost.began_ms, lost.removed.objects), (0, 3_000_000, 7));
        assert!(lost.queue.is_some());
        assert_eq!(kept, before);
    }

    #[test]
    fn the_longest_note_has_less_than_a_kibibyte_and_is_read_back() {
        let most = u64::MAX;
        let removed =
            Removed { objects: most, versions: most, markers: most, staged: most, versions_hidden: true };
        let owner = Target::User { user_id: "x".repeat(128).parse().expect("it is an id") };
        let longest = format!("{}{}_variant.jpg", owner.owner_prefix(), ImageId::random());
        let queue = serde_json::from_value(serde_json::json!({ "cursor": most, "few": true, "slow": true }));
        let progress = Progress {
            deleted_ms: most,
            stamp: Some(most),
            began_ms: most,
            sweeps: u32::MAX,
            vain: u32::MAX,
            found: true,
            queue: queue.expect("it is a position"),
            at: Some((1, Some(longest.clone()))),
            refused: Refusals { first: Some((longest, "InternalError".into())), ..Refusals::default() },
            removed,
        };

        let note = progress.note();

        assert!(note.len() < 1024, "{}", note.len());
        assert_eq!(Progress::of_note(Some(&note)), progress);
        assert_eq!(Progress::of_note(Some("second pass")), Progress::default());
    }
}
