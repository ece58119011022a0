//! Every key in Redis, one function each. All share one hash tag, so that a script may touch any of them.

use std::fmt;

use crate::{JobId, Kind};

/// Newest layout of the keys that this release understands; kept in [`Keys::layout`].
pub const LAYOUT_VERSION: u32 = 1;

/// The keys of one deployment (`DARKROOM_NAMESPACE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    tag: String,
}

/// A namespace that cannot be part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a namespace is 1 to 64 letters, digits, `_`, `.` or `-`, got {0:?}")]
pub struct InvalidNamespace(String);

impl Keys {
    /// # Errors
    ///
    /// When the namespace is not 1 to 64 letters, digits, `_`, `.` or `-`.
    pub fn new(namespace: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if (1..=64).contains(&namespace.len()) && namespace.bytes().all(allowed) {
            Ok(Self { tag: format!("{{{namespace}}}") })
        } else {
            Err(InvalidNamespace(namespace.to_owned()))
        }
    }

    /// Keys of one queue.
    pub fn queue(&self, kind: Kind) -> QueueKeys {
        QueueKeys { name: format!("{}:{kind}", self.tag) }
    }

    /// Stream of events.
    pub fn events(&self) -> String {
        format!("{}:events", self.tag)
    }

    /// Channel: a job became ready in the queue that the message names.
    pub fn wake(&self) -> String {
        format!("{}:wake", self.tag)
    }

    /// Channel: the message is the id of a job whose receipt became final.
    pub fn settled(&self) -> String {
        format!("{}:settled", self.tag)
    }

    /// Redis ms at which an object or the owner of a prefix was deleted.
    pub fn tombstone(&self, object_key_or_prefix: impl fmt::Display) -> String {
        format!("{}:tombstone:{object_key_or_prefix}", self.tag)
    }

    /// Redis ms of a host's next free start.
    pub fn pace(&self, host: &str) -> String {
        format!("{}:pace:{host}", self.tag)
    }

    /// The last health report.
    pub fn health(&self) -> String {
        format!("{}:health", self.tag)
    }

    /// Hash of the processes that beat.
    pub fn workers(&self) -> String {
        format!("{}:workers", self.tag)
    }

    /// Version of the layout.
    pub fn layout(&self) -> String {
        format!("{}:layout", self.tag)
    }
}

/// Keys of one queue, which is an apalis-redis 1.0 queue of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueKeys {
    name: String,
}

impl QueueKeys {
    /// Name of the queue, `{darkroom}:upload`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hash: id → payload; an empty payload once done.
    pub fn data(&self) -> String {
        format!("{}:data", self.name)
    }

    /// Hash of what is known of one job.
    pub fn meta(&self, id: &JobId) -> String {
        format!("{}{id}", self.meta_prefix())
    }

    /// What [`meta`](Self::meta) puts before an id.
    pub fn meta_prefix(&self) -> String {
        format!("{}:meta:", self.name)
    }

    /// Sorted set: id → unix seconds at which it is due.
    pub fn scheduled(&self) -> String {
        format!("{}:scheduled", self.name)
    }

    /// List of ready ids; the head is next.
    pub fn active(&self) -> String {
        format!("{}:active", self.name)
    }

    /// Sorted set: id → unix ms at which its lease ends.
    pub fn leases(&self) -> String {
        format!("{}:leases", self.name)
    }

    /// Sorted set of settled ids that are not dead → unix seconds.
    pub fn done(&self) -> String {
        format!("{}:done", self.name)
    }

    /// Sorted set of failed ids → unix seconds.
    pub fn dead(&self) -> String {
        format!("{}:dead", self.name)
    }

    /// Id of the job that holds an idempotency key.
    pub fn idempotency(&self, key: &str) -> String {
        format!("{}:idempotency:{key}", self.name)
    }

    /// Present while the queue is paused.
    pub fn paused(&self) -> String {
        format!("{}:paused", self.name)
    }

    /// Redis ms of the last reap.
    pub fn reaped(&self) -> String {
        format!("{}:reaped", self.name)
    }

    /// Redis ms at which the last periodic slot that was enqueued begins.
    pub fn slot(&self) -> String {
        format!("{}:slot", self.name)
    }

    /// Hash of totals by outcome, and of bytes.
    pub fn stats(&self) -> String {
        format!("{}:stats", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_starts_with_the_one_hash_tag() {
        let keys = Keys::new("shop-eu").unwrap();
        let queue = keys.queue(Kind::BucketHealth);
        let job: JobId = "job-1".parse().unwrap();

        let all = [
            keys.events(),
            keys.wake(),
            keys.settled(),
            keys.tombstone("user_photos/1/"),
            keys.pace("cdn.example"),
            keys.health(),
            keys.workers(),
            keys.layout(),
            queue.data(),
            queue.meta(&job),
            queue.scheduled(),
            queue.active(),
            queue.leases(),
            queue.done(),
            queue.dead(),
            queue.idempotency("order-1"),
            queue.paused(),
            queue.reaped(),
            queue.slot(),
            queue.stats(),
        ];

        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|key| key.starts_with("{shop-eu}:")), "{all:?}");
        assert_eq!(queue.meta(&job), "{shop-eu}:bucket_health:meta:job-1");
        assert_eq!(queue.idempotency("order-1"), "{shop-eu}:bucket_health:idempotency:order-1");
    }

    #[test]
    fn a_namespace_cannot_break_out_of_its_tag() {
        for bad in ["", "a}b", "{a", "a:b", "a b", "ä", &"a".repeat(65)] {
            assert!(Keys::new(bad).is_err(), "{bad}");
        }
        for good in ["darkroom", "shop.eu-1_test", &"a".repeat(64)] {
            assert!(Keys::new(good).is_ok(), "{good}");
        }
    }
}
