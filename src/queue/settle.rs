//! What is written about a delivery when it ends.

use std::time::Duration;

use darkroom_jobs::{Event, JobId, OwnerPrefix, Receipt, redis_keys::Keys};
use redis::{RedisResult, aio::ConnectionManager};

use super::{clock::milliseconds, lease::LeaseKey, scripts};

/// How a delivery ends. Made by the worker from the handler's verdict; nothing here knows why.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    /// Final, and the payload is not needed again.
    Done {
        /// Status `done`, `superseded`, `expired` or `cancelled`.
        receipt: Box<Receipt>,
        /// Whether it is announced.
        announced: bool,
        /// A job with the same payload that comes later.
        follower: Option<Follower>,
        /// Whose picture it was about: without its payload the job is found by that alone.
        owner: Option<OwnerPrefix>,
    },
    /// Final, kept for a person to look at and to retry.
    Dead {
        /// Status `failed`.
        receipt: Box<Receipt>,
        /// Bytes of the payload that are kept; `None` keeps all.
        excerpt: Option<usize>,
        /// Whose picture it was about.
        owner: Option<OwnerPrefix>,
    },
    /// To be delivered again.
    Again {
        /// Status `retrying` or `queued`.
        receipt: Box<Receipt>,
        /// From now.
        after: Duration,
        /// For the next delivery; `None` leaves it what this one was told, or has written.
        note: Option<String>,
        /// Ours to wait: its time is limited in all.
        deferred: bool,
    },
}

/// A job that follows another with the same payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its id.
    pub id: JobId,
    /// From now.
    pub after: Duration,
    /// What it is told.
    pub note: String,
}

/// Whether a settlement was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It stands, with its event.
    Written,
    /// The lease was lost: another delivery reports.
    Lost,
}

impl Settlement {
    /// What is told about the job.
    pub fn receipt(&self) -> &Receipt {
        match self {
            Self::Done { receipt, .. } | Self::Dead { receipt, .. } | Self::Again { receipt, .. } => receipt,
        }
    }

    fn owner(&self) -> &str {
        match self {
            Self::Done { owner, .. } | Self::Dead { owner, .. } => {
                owner.as_ref().map_or("", OwnerPrefix::as_str)
            }
            Self::Again { .. } => "",
        }
    }

    fn event(&self) -> Option<Event> {
        match self {
            Self::Done { announced: false, .. } | Self::Again { .. } => None,
            Self::Done { receipt, .. } | Self::Dead { receipt, .. } => Event::of_receipt(receipt),
        }
    }
}

/// Writes a settlement: all of it or nothing; a repetition changes nothing.
pub(super) async fn write(
    redis: &mut ConnectionManager,
    keys: &Keys,
    lease: &LeaseKey,
    settlement: &Settlement,
) -> RedisResult<Settled> {
    let receipt = settlement.receipt();
    let queue = keys.queue(lease.kind);
    let meta = [queue.meta_prefix().into_bytes(), lease.id.clone()].concat();
    let json = |value: serde_json::Result<String>| value.expect("receipts and events are plain JSON");
    let event = settlement.event().map(|event| json(serde_json::to_string(&event))).unwrap_or_default();
    let (mut outcome, mut after, mut note, mut deferred, mut excerpt, mut follower) =
        ("done", Duration::ZERO, "", false, 0, None);
    match settlement {
        Settlement::Done { follower: next, .. } => follower = next.as_ref(),
        Settlement::Dead { excerpt: kept, .. } => (outcome, excerpt) = ("dead", kept.unwrap_or(0)),
        Settlement::Again { after: pause, note: text, deferred: ours, .. } => {
            (outcome, after, note, deferred) = ("again", *pause, text.as_deref().unwrap_or(""), *ours);
        }
    }
    let written: u8 = scripts::JOB_SETTLE
        .key(queue.leases())
        .key(queue.data())
        .key(&meta)
        .key(queue.scheduled())
        .key(queue.done())
        .key(queue.dead())
        .key(queue.stats())
        .key(keys.events())
        .key(keys.settled())
        .key(follower.map_or(meta.clone(), |next| queue.meta(&next.id).into_bytes()))
        .arg(&lease.id)
        .arg(&lease.token)
        .arg(outcome)
        .arg(receipt.status.as_str())
        .arg(json(serde_json::to_string(receipt)))
        .arg(event)
        .arg(receipt.attempts)
        .arg(milliseconds(after))
        .arg(note)
        .arg(u8::from(deferred))
        .arg(excerpt)
        .arg(follower.map_or("", |next| next.id.as_str()))
        .arg(follower.map_or(0, |next| milliseconds(next.after)))
        .arg(follower.map_or("", |next| &next.note))
        .arg(settlement.owner())
        .invoke_async(redis)
        .await?;
    Ok(if written == 1 { Settled::Written } else { Settled::Lost })
}
