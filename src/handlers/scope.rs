//! What a deletion removes: names, and from when on what has them is spared.

use darkroom_jobs::{ObjectKey, OwnerPrefix, StagedKey, Timestamp};

use crate::storage::{
    Storage,
    error::Error as StorageError,
    list::{Listed, Prefix},
    probe::Versioning,
};

/// What two clocks may differ in, beyond what was measured, before a newer object is taken for an older one: S3 refuses
/// requests of a clock that is as wrong.
const DOUBT_MS: u64 = 15 * 60 * 1000;

/// Dates of answers have whole seconds.
const SECOND_MS: u64 = 1_000;

/// What is removed.
#[derive(Clone, Debug)]
pub struct Scope {
    prefix: Prefix,
    named: Named,
    spared: Option<Cutoff>,
}

/// Which names of a prefix are meant.
#[derive(Clone, Debug)]
enum Named {
    Any,
    Exactly(String),
    /// The image, and its variants.
    Image(ObjectKey),
}

/// From when on objects are spared: their owner came back after the deletion.
#[derive(Clone, Copy, Debug)]
pub struct Cutoff {
    /// The deletion, by Redis' clock, which the jobs' times are of.
    pub deleted_at: Timestamp,
    /// The same moment by the bucket's clock, as far as it is known; `None` asks every object.
    pub by_bucket: Option<Timestamp>,
}

impl Cutoff {
    /// Measures Redis' clock, which says `now`, against the bucket's.
    ///
    /// # Errors
    ///
    /// When the bucket could not be asked.
    pub async fn measured(
        storage: &Storage,
        deleted_at: Timestamp,
        now: impl Fn() -> Timestamp,
    ) -> Result<Self, StorageError> {
        let by_bucket = storage.now().await?.map(|bucket| {
            let since_deletion = now().unix_ms().saturating_sub(deleted_at.unix_ms());
            Timestamp::from_unix_ms(bucket.unix_ms().saturating_sub(since_deletion))
        });
        Ok(Self { deleted_at, by_bucket })
    }
}

impl Scope {
    /// An image with its variants: no image that was deleted comes back.
    pub fn image(key: &ObjectKey) -> Self {
        Self { prefix: Prefix::image(key), named: Named::Image(key.clone()), spared: None }
    }

    /// What our own API and command line staged for an image.
    pub fn originals_of_image(key: &ObjectKey) -> Self {
        Self { prefix: Prefix::staged_image(key), named: Named::Any, spared: None }
    }

    /// One object, unless it is newer than the deletion.
    pub fn object(key: &ObjectKey, deleted_at: Timestamp) -> Self {
        let spared = Some(Cutoff { deleted_at, by_bucket: None });
        Self { prefix: Prefix::image(key), named: Named::Exactly(key.to_string()), spared }
    }

    /// Everything of an owner.
    pub fn owner(owner: &OwnerPrefix, cutoff: Cutoff) -> Self {
        Self { prefix: Prefix::owner(owner), named: Named::Any, spared: Some(cutoff) }
    }

    /// What our own API and command line staged for an owner.
    pub fn originals_of(owner: &OwnerPrefix, cutoff: Cutoff) -> Self {
        Self { prefix: Prefix::staged_of(owner), named: Named::Any, spared: Some(cutoff) }
    }

    /// An original that a job named.
    pub fn original(key: &StagedKey, cutoff: Cutoff) -> Self {
        Self { prefix: Prefix::original(key), named: Named::Exactly(key.to_string()), spared: Some(cutoff) }
    }

    /// What is listed.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// From when on objects are spared.
    pub fn cutoff(&self) -> Option<Cutoff> {
        self.spared
    }

    /// Whether an object of the prefix is meant.
    pub fn means(&self, name: &str) -> bool {
        match &self.named {
            Named::Any => true,
            Named::Exactly(key) => name == key,
            Named::Image(key) => {
                let rest = name.strip_prefix(key.stem());
                rest.is_some_and(|rest| rest == ".jpg" || (rest.starts_with('_') && rest.ends_with(".jpg")))
            }
        }
    }

    /// Whether nothing that is meant comes after this name: listings are in order, and one name comes before all that begin
    /// like it.
    pub fn ends_before(&self, name: &str) -> bool {
        matches!(&self.named, Named::Exactly(key) if name > key.as_str())
    }

    /// Whether an entry is spared, as far as its listing tells; `None`: the object has to be asked.
    pub fn spares(&self, entry: &Listed) -> Option<bool> {
        match self.spared {
            Some(cutoff) => is_newer(entry, cutoff, self.prefix.is_staging()),
            None => Some(false),
        }
    }

    /// Whether no version of what is meant can be left where none was seen.
    ///
    /// # Errors
    ///
    /// When the bucket could not be asked.
    pub async fn never_versioned(&self, storage: &Storage) -> Result<bool, StorageError> {
        Ok(storage.versioning_of(&self.prefix).await? == Versioning::Off)
    }
}

/// Whether an entry is newer than the deletion, as far as its listing tells; `None`: the object has to be asked.
///
/// A picture that is newer was enqueued later by Redis' clock, and so put later by the bucket's: one that was put well
/// before is older, and need not be asked. Originals have nothing to be asked for; their time is taken at its word.
fn is_newer(entry: &Listed, cutoff: Cutoff, staging: bool) -> Option<bool> {
    if entry.is_marker {
        return Some(false);
    }
    let put_ms = entry.modified.map(Timestamp::unix_ms);
    let deleted_ms = cutoff.by_bucket.map(Timestamp::unix_ms);
    if staging {
        let deleted_ms = deleted_ms.unwrap_or(cutoff.deleted_at.unix_ms());
        return Some(put_ms.is_some_and(|put_ms| put_ms > deleted_ms + SECOND_MS));
    }
    let is_older = put_ms.zip(deleted_ms).is_some_and(|(put_ms, deleted_ms)| put_ms + DOUBT_MS < deleted_ms);
    is_older.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn entry(put_ms: Option<u64>) -> Listed {
        Listed {
            key: "user_photos/1/a.jpg".into(),
            size: 1,
            modified: put_ms.map(Timestamp::from_unix_ms),
            version: None,
            is_latest: true,
            is_marker: false,
        }
    }

    /// Deleted after 100 minutes by Redis' clock, and after so many by the bucket's.
    fn cutoff(by_bucket: Option<u64>) -> Cutoff {
        let at = |minutes: u64| Timestamp::from_unix_ms(minutes * MINUTE);
        Cutoff { deleted_at: at(100), by_bucket: by_bucket.map(at) }
    }

    #[test]
    fn only_a_picture_that_was_put_well_before_the_deletion_need_not_be_asked() {
        let judged =
            |minutes: u64, by_bucket| is_newer(&entry(Some(minutes * MINUTE)), cutoff(by_bucket), false);

        assert_eq!(judged(84, Some(100)), Some(false));
        assert_eq!([judged(86, Some(100)), judged(99, Some(100)), judged(101, Some(100))], [None; 3]);
        // The bucket's clock is two hours behind: what was put at minute 0 may be younger than the deletion.
        assert_eq!((judged(0, Some(10)), judged(0, None)), (None, None));
        assert_eq!(is_newer(&entry(None), cutoff(Some(100)), false), None);
    }

    #[test]
    fn an_original_is_judged_by_the_buckets_clock() {
        let judged = |ms: u64, by_bucket| is_newer(&entry(Some(ms)), cutoff(by_bucket), true);

        assert_eq!(judged(100 * MINUTE + SECOND_MS, Some(100)), Some(false));
        assert_eq!(judged(100 * MINUTE + SECOND_MS + 1, Some(100)), Some(true));
        assert_eq!(judged(50 * MINUTE, Some(40)), Some(true));
        assert_eq!(is_newer(&entry(None), cutoff(Some(100)), true), Some(false));
    }

    #[test]
    fn a_scope_of_an_image_means_its_variants_and_no_other_image() {
        let key: ObjectKey =
            "user_photos/1/3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4.jpg".parse().expect("it is a key");
        let scope = Scope::image(&key);

        assert!(scope.means(key.as_str()) && scope.means(&format!("{}_thumb.jpg", key.stem())));
        assert!(!scope.means(&format!("{}0.jpg", key.stem())));
        assert!(!scope.means(&format!("{}_thumb.png", key.stem())));
    }

    #[test]
    fn a_scope_of_one_name_ends_where_another_one_begins() {
        let key: StagedKey = "staging/a".parse().expect("it is a staged key");
        let of_one = Scope::original(&key, cutoff(None));
        let of_all =
            Scope::originals_of(&"1".parse().map(|id| OwnerPrefix::user(&id)).expect("an id"), cutoff(None));

        let ends = ["staging/a", "staging/a.jpg", "staging/a/b"].map(|name| of_one.ends_before(name));

        assert_eq!(ends, [false, true, true]);
        assert!(!of_all.ends_before("staging/zzz"));
    }
}
