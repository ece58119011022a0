//! What is written about a delivery when it ends.

use std::{sync::Arc, time::Duration};

use darkroom_jobs::{Event, JobId, Kind, OwnerPrefix, Receipt, redis_keys::Keys, wire::Connection};
use redis::RedisResult;
use serde_json::{Value, json};

use super::{clock::milliseconds, lease::LeaseKey, scripts};

/// How a delivery ends. Made by the worker from the handler's verdict; nothing here knows why.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    /// Final, and the payload is not needed again.
    Done {
        /// Status `done`, `superseded`, `expired` or `cancelled`.
        receipt: Arc<Receipt>,
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
        receipt: Arc<Receipt>,
        /// Whether it is announced.
        announced: bool,
        /// Bytes of the payload that are kept; `None` keeps all.
        excerpt: Option<usize>,
        /// Whose picture it was about.
        owner: Option<OwnerPrefix>,
    },
    /// To be delivered again.
    Again {
        /// Status `retrying` or `queued`.
        receipt: Arc<Receipt>,
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
    pub fn receipt(&self) -> &Arc<Receipt> {
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

    fn is_announced(&self) -> bool {
        match self {
            Self::Done { announced, .. } | Self::Dead { announced, .. } => *announced,
            Self::Again { .. } => false,
        }
    }
}

/// Most deliveries that one call of the script ends: some 2 ms of Redis.
pub(super) const BATCH: usize = 50;

/// What the script is told of one delivery.
struct Row {
    outcome: &'static str,
    receipt: String,
    event: String,
    more: Option<Value>,
}

impl Row {
    fn new(settlement: &Settlement) -> Self {
        let told = settlement.receipt();
        let json = serde_json::to_string(&**told).expect("a receipt is plain JSON");
        let event = settlement.is_announced().then(|| Event::json_of_receipt(told, &json)).flatten();
        let event = event.unwrap_or_default();
        let result = |json| format!(r#"{{"Ok":{json}}}"#);
        let (outcome, receipt, more) = match settlement {
            Settlement::Again { after, note, deferred, .. } => {
                let mut more = json!({ "after_ms": milliseconds(*after), "deferred": deferred });
                if let Some(note) = note {
                    more["note"] = note.as_str().into();
                }
                ("again", json, Some(more))
            }
            Settlement::Done { follower, .. } => {
                let next = follower.as_ref().map(
                    |next| json!({ "id": next.id, "after_ms": milliseconds(next.after), "note": next.note }),
                );
                ("done", result(json), next.map(|next| json!({ "next": next })))
            }
            Settlement::Dead { excerpt, .. } => {
                ("dead", result(json), excerpt.map(|bytes| json!({ "excerpt": bytes })))
            }
        };
        Self { outcome, receipt, event, more }
    }
}

/// Writes how deliveries of one queue ended, at most [`BATCH`]: of each all or nothing; a repetition changes nothing.
pub(super) async fn write<'a>(
    redis: &mut Connection,
    keys: &Keys,
    kind: Kind,
    ended: impl Iterator<Item = (&'a LeaseKey, &'a Settlement)>,
) -> RedisResult<Vec<Settled>> {
    let queue = keys.queue(kind);
    let mut call = scripts::JOBS_SETTLE.prepare_invoke();
    call.key(queue.leases()).key(queue.data()).key(queue.meta_prefix()).key(queue.scheduled());
    call.key(queue.done()).key(queue.dead()).key(queue.stats()).key(keys.events()).key(keys.settled());
    for (lease, settlement) in ended {
        let (receipt, row) = (settlement.receipt(), Row::new(settlement));
        call.arg(&lease.id).arg(&lease.token).arg(row.outcome).arg(receipt.status.as_str());
        call.arg(row.receipt).arg(row.event).arg(receipt.attempts);
        call.arg(row.more.map(|more| more.to_string()).unwrap_or_default()).arg(settlement.owner());
    }
    let written: Vec<u8> = call.invoke_async(redis).await?;
    let settled = |written| if written == 1 { Settled::Written } else { Settled::Lost };
    Ok(written.into_iter().map(settled).collect())
}
