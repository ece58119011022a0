//! Removes what is below a prefix, a page at a time: what all deletions share.
//!
//! Memory holds one page of at most 1,000 entries, however many there are.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    error::JobError,
    scope::{Cutoff, Scope},
};
use crate::storage::{
    Storage,
    delete::NotDeleted,
    error::{Error as StorageError, ErrorKind},
    list::{Cursor, Listed, Page},
};

/// Objects that are asked at once whether they are newer than the deletion.
const HEADS: usize = 16;

/// Objects that are asked before the time is looked at.
const ASKED: usize = 250;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Current objects.
    pub objects: u64,
    /// Noncurrent versions.
    pub versions: u64,
    /// Delete markers.
    pub markers: u64,
    /// Originals, with their versions.
    pub staged: u64,
    /// Whether a listing did not tell versions.
    pub versions_hidden: bool,
}

impl Removed {
    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// How many entries.
    pub fn total(&self) -> u64 {
        self.objects + self.versions + self.markers + self.staged
    }

    /// Takes what another walk has removed along.
    pub fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.versions += other.versions;
        self.markers += other.markers;
        self.staged += other.staged;
        self.versions_hidden |= other.versions_hidden;
    }

    fn count(&mut self, entry: &Listed, staging: bool) {
        match entry {
            Listed { is_marker: true, .. } => self.markers += 1,
            _ if staging => self.staged += 1,
            Listed { is_latest: true, .. } => self.objects += 1,
            _ => self.versions += 1,
        }
    }
}

/// What a bucket refused to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// One of them, and S3's word for the reason.
    pub first: Option<(String, String)>,
    /// How many.
    pub count: u64,
    /// Whether one was refused for good, not for a moment.
    pub denied: bool,
}

impl Refusals {
    fn note(&mut self, stayed: Vec<NotDeleted>) {
        for one in stayed {
            let denied = is_denial(&one.code);
            self.add(Self { first: Some((one.key, one.code)), count: 1, denied });
        }
    }

    /// Takes what another walk was refused along.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        // The reason that a person has to do something about is the one that is told.
        if self.first.is_none() || (other.denied && !self.denied) {
            self.first = other.first.or(self.first.take());
        }
        self.denied |= other.denied;
    }

    /// The failure that they make, if there was any.
    ///
    /// # Errors
    ///
    /// [`JobError::ErasureBlocked`] when waiting will not help, [`JobError::NotRemoved`] when it may.
    pub fn result(self) -> Result<(), JobError> {
        match self.first {
            None => Ok(()),
            Some((key, reason)) if self.denied => {
                Err(JobError::ErasureBlocked { key, reason, count: self.count })
            }
            Some((key, reason)) => Err(JobError::NotRemoved { key, reason }),
        }
    }
}

/// The words for Object Lock and for a right that the key lacks.
fn is_denial(code: &str) -> bool {
    matches!(code, "AccessDenied" | "ObjectLocked" | "InvalidRequest")
}

/// Walks over a scope, a page at a time.
pub struct Walk<'a> {
    storage: &'a Storage,
    scope: &'a Scope,
    from: Option<Cursor>,
    ended: bool,
    /// All versions of all keys up to this one are done with.
    done: Option<String>,
}

impl<'a> Walk<'a> {
    /// From the beginning, or after a key with which an earlier walk was done.
    pub fn new(storage: &'a Storage, scope: &'a Scope, after: Option<String>) -> Self {
        let from = after.as_deref().map(|key| storage.after(key));
        Self { storage, scope, from, ended: false, done: after }
    }

    /// The last key with which it is done: a page may end between two versions of one.
    pub fn done(&self) -> Option<&str> {
        self.done.as_deref()
    }

    /// Whether there is no more page.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Removes what the next page has; when `is_over` says so, only what it had come to by then, which is at least one key.
    /// What the bucket refuses is noted, and the rest removed.
    ///
    /// # Errors
    ///
    /// When a whole request failed.
    pub async fn page(
        &mut self,
        removed: &mut Removed,
        refused: &mut Refusals,
        is_over: impl Fn() -> bool,
    ) -> Result<(), JobError> {
        let page = self.list(&mut removed.versions_hidden).await?;
        let last = page.entries.last().map(|entry| entry.key.clone());
        let before = page.entries.iter().rev().find(|entry| Some(&entry.key) != last.as_ref());
        let done = before.map(|entry| entry.key.clone());
        let meant: Vec<_> = page.entries.into_iter().filter(|entry| self.scope.means(&entry.key)).collect();
        let (doomed, cut_after) = self.without_spared(meant, is_over).await?;
        let stayed = match self.storage.delete_many(&doomed).await {
            // Nobody knows which of them are gone: what is there is counted when it can be removed.
            Err(error) if error.kind() == ErrorKind::Denied => {
                doomed.iter().map(NotDeleted::denied).collect()
            }
            outcome => outcome?,
        };
        let gone = doomed.iter().filter(|entry| !stayed.iter().any(|stayed| stayed.is(entry)));
        gone.for_each(|entry| removed.count(entry, self.scope.prefix().is_staging()));
        refused.note(stayed);
        let is_cut = cut_after.is_some();
        self.done = cut_after.or(done).or(self.done.take());
        self.from = page.next;
        let is_last = self.from.is_none() || last.is_some_and(|last| self.scope.ends_before(&last));
        self.ended = is_last && !is_cut;
        Ok(())
    }

    async fn list(&self, versions_hidden: &mut bool) -> Result<Page, StorageError> {
        let (prefix, from) = (self.scope.prefix(), self.from.clone());
        let may_tell = from.as_ref().is_none_or(Cursor::may_be_of_versions);
        if may_tell && let Some(page) = self.storage.list_versions(prefix, from.clone()).await? {
            return Ok(page);
        }
        *versions_hidden = true;
        let from = from.filter(Cursor::may_be_of_objects);
        self.storage.list(prefix, from).await
    }

    /// All but what is newer than the deletion, and the markers that hide it. When time is over those that were not asked are
    /// left out, and the last key before them is told.
    async fn without_spared(
        &self,
        entries: Vec<Listed>,
        is_over: impl Fn() -> bool,
    ) -> Result<(Vec<Listed>, Option<String>), JobError> {
        let Some(cutoff) = self.scope.cutoff() else { return Ok((entries, None)) };
        let mut judged = Vec::with_capacity(entries.len());
        let mut cut_after = None;
        for some in entries.chunks(ASKED) {
            if !judged.is_empty() && is_over() {
                cut_after = cut_between_keys(&mut judged, &some[0].key);
            }
            if cut_after.is_some() {
                break;
            }
            let some = stream::iter(some.to_vec()).map(|entry| async move {
                let spared = match self.scope.spares(&entry) {
                    Some(newer) => newer,
                    None => self.was_enqueued_later(&entry, cutoff).await?,
                };
                Ok::<_, StorageError>((entry, spared))
            });
            judged.extend(some.buffered(HEADS).try_collect::<Vec<_>>().await?);
        }
        let spared: HashSet<_> =
            judged.iter().filter(|(_, spared)| *spared).map(|(entry, _)| entry.key.clone()).collect();
        let doomed = judged.into_iter().filter(|(entry, is_spared)| {
            let hides_spared = entry.is_marker && spared.contains(&entry.key);
            !is_spared && !hides_spared
        });
        Ok((doomed.map(|(entry, _)| entry).collect(), cut_after))
    }

    async fn was_enqueued_later(&self, entry: &Listed, cutoff: Cutoff) -> Result<bool, StorageError> {
        let head = self.storage.head_listed(entry).await?;
        let enqueued_ms = head.and_then(|head| head.enqueued_ms());
        Ok(enqueued_ms.is_some_and(|ms| ms > cutoff.deleted_at.unix_ms()))
    }
}

/// Leaves out the key whose versions are not all judged, and tells the one before it; with no other key nothing is cut.
fn cut_between_keys(judged: &mut Vec<(Listed, bool)>, next: &str) -> Option<String> {
    let whole = judged.iter().rposition(|(entry, _)| entry.key != next)?;
    judged.truncate(whole + 1);
    Some(judged[whole].0.key.clone())
}

/// Removes all of a scope.
///
/// # Errors
///
/// When a request failed, or the bucket kept something that was to be removed; the rest is removed by then.
pub async fn purge(storage: &Storage, scope: &Scope) -> Result<Removed, JobError> {
    let mut refused = Refusals::default();
    let removed = remove(storage, scope, &mut refused).await?;
    refused.result()?;
    Ok(removed)
}

/// Removes all of a scope but what the bucket refuses, which is noted.
///
/// # Errors
///
/// When a request failed.
pub async fn remove(storage: &Storage, scope: &Scope, refused: &mut Refusals) -> Result<Removed, JobError> {
    let mut removed = Removed::default();
    let mut walk = Walk::new(storage, scope, None);
    while !walk.has_ended() {
        walk.page(&mut removed, refused, || false).await?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_waiting_does_not_mend_is_told_before_one_that_it_may() {
        let stayed = |code: &str| NotDeleted { key: code.into(), version: None, code: code.into() };
        let mut refused = Refusals::default();

        refused.note(vec![stayed("InternalError"), stayed("AccessDenied"), stayed("SlowDown")]);

        let error = refused.result().expect_err("three stayed");
        assert!(
            matches!(&error, JobError::ErasureBlocked { key, count: 3, .. } if key == "AccessDenied"),
            "{error:?}"
        );
    }

    #[test]
    fn a_page_is_cut_between_two_keys_and_never_before_the_first() {
        let judged = |keys: &[&str]| -> Vec<_> {
            let entry = |key: &&str| Listed {
                key: (*key).into(),
                size: 1,
                modified: None,
                version: None,
                is_latest: true,
                is_marker: false,
            };
            keys.iter().map(|key| (entry(key), false)).collect()
        };
        let cut = |keys: &[&str], next: &str| {
            let mut judged = judged(keys);
            let after = cut_between_keys(&mut judged, next);
            (after, judged.len())
        };

        assert_eq!(cut(&["a", "b", "b"], "c"), (Some("b".into()), 3));
        assert_eq!(cut(&["a", "b", "b"], "b"), (Some("a".into()), 1));
        assert_eq!(cut(&["b", "b"], "b"), (None, 2));
    }
}
