//! What the queues still know of an owner whose pictures are gone: found, and made to forget.
//!
//! There is no index: payloads and receipts are walked, some 200 jobs a call.

use darkroom_jobs::{
    Kind, OwnerId, OwnerPrefix, StagedKey, Target, Timestamp, redis_keys::Keys, wire::Connection,
};
use redis::RedisResult;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::debug;

use super::{connection, scripts};

/// Jobs that one call walks over: 1.6 ms of Redis in the mean, when it has to stamp them all (`docs/erasure.md`).
const COUNT: usize = 200;

/// The same where payloads are large: pictures may be in them.
const FEW: usize = 20;

/// Bytes of payloads in one call after which the next walks over fewer jobs.
const MANY_BYTES: u64 = 8 << 20;

/// Jobs that are read, and scrubbed, at once: a payload has at most 2 MiB, and seldom more than some hundred bytes.
const READ: usize = 20;

/// What stands in the place of a message that may quote the owner's data.
const SCRUBBED: &str = "removed: everything of the owner was erased";

/// Makes the queues of one namespace forget an owner.
#[derive(Clone)]
pub struct Scrubber {
    redis: Connection,
    keys: Keys,
}

/// An owner, as jobs and their receipts name it.
#[derive(Clone, Debug)]
pub struct Owner {
    kind: Kind,
    field: &'static str,
    id: OwnerId,
    prefix: OwnerPrefix,
}

impl Owner {
    /// The owner that a target is, or whose image it is.
    pub fn of(target: &Target) -> Self {
        let prefix = target.owner_prefix();
        let (kind, field, id) = match target {
            Target::User { user_id } | Target::UserPhoto { user_id, .. } => {
                (Kind::Upload, "user_id", user_id)
            }
            Target::Product { product_id } | Target::ProductImage { product_id, .. } => {
                (Kind::Ingest, "product_id", product_id)
            }
        };
        Self { kind, field, id: id.clone(), prefix }
    }

    /// The prefix of the owner's objects.
    pub fn prefix(&self) -> &OwnerPrefix {
        &self.prefix
    }

    fn is_named_by(&self, payload: &Map<String, Value>) -> bool {
        match payload.get(self.field) {
            Some(Value::String(id)) => id == self.id.as_str(),
            Some(Value::Number(id)) => id.to_string() == self.id.as_str(),
            _ => false,
        }
    }
}

/// Where the next part of a queue begins; by default at its beginning. It may be kept as long as one likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    cursor: u64,
    /// Whether payloads are large there.
    few: bool,
    /// Whether a part took longer than its turn: from then on all are small, and each is done with however long it takes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    slow: bool,
}

impl Position {
    /// The same place, from where smaller parts are taken.
    #[must_use]
    pub fn slowly(self) -> Self {
        Self { slow: true, ..self }
    }

    /// Whether a part that begins here has to come to its end.
    pub fn is_slow(self) -> bool {
        self.slow
    }
}

/// What a part of a queue came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where the next part begins; `None` after the last.
    pub next: Option<Position>,
    /// Jobs that were made to forget.
    pub jobs: u64,
    /// Originals that jobs of the owner named, wherever they are staged.
    pub originals: Vec<StagedKey>,
}

impl Scrubber {
    /// Of one namespace.
    pub fn new(redis: Connection, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Says of all waiting jobs of the owner's kind that nobody has seen yet that they were there now. What a stock producer
    /// pushed before a deletion is older than a tombstone that is written afterwards. Begins at `from`, 0 or where an earlier
    /// call came to before `is_over` said to stop, and says where it stopped; `None`: all are stamped.
    ///
    /// # Errors
    ///
    /// Redis': then some are stamped.
    pub async fn stamp(
        &self,
        owner: &Owner,
        from: u64,
        is_over: impl Fn() -> bool,
    ) -> RedisResult<Option<u64>> {
        let queue = self.keys.queue(owner.kind);
        let (mut cursor, mut stamped) = (from, 0);
        loop {
            let (next, some): (u64, u64) = connection::repeated(&self.redis, "jobs_stamp", |mut redis| {
                let mut call = scripts::JOBS_STAMP.key(queue.data());
                call.key(queue.meta_prefix()).arg(cursor).arg(COUNT);
                async move { call.invoke_async(&mut redis).await }
            })
            .await?;
            stamped += some;
            cursor = next;
            if cursor == 0 || is_over() {
                debug!(owner = %owner.prefix, stamped, "waiting jobs stamped");
                return Ok((cursor > 0).then_some(cursor));
            }
        }
    }

    /// Removes URLs, pictures and contexts from the payloads and receipts of the owner's jobs that were enqueued by then,
    /// in the next part of a queue; those of a user who came back stay. When `is_over` says so it stops on the way, and the
    /// next part begins at the same place.
    ///
    /// # Errors
    ///
    /// Redis': then some are scrubbed.
    pub async fn scrub(
        &self,
        owner: &Owner,
        deleted_at: Timestamp,
        from: Position,
        is_over: impl Fn() -> bool,
    ) -> RedisResult<Scrubbed> {
        let (next, bytes, ids) = self.find(owner, from).await?;
        let (mut scrubbed, few) = (Scrubbed::default(), bytes > MANY_BYTES);
        scrubbed.next = (next > 0).then_some(Position { cursor: next, few, ..from });
        for (number, some) in ids.chunks(READ).enumerate() {
            if number > 0 && !from.slow && is_over() {
                scrubbed.next = Some(from.slowly());
                break;
            }
            self.scrub_some(owner, deleted_at, some, &mut scrubbed).await?;
        }
        scrubbed.originals.sort();
        scrubbed.originals.dedup();
        Ok(scrubbed)
    }

    /// Cursor of the next call, bytes that were looked through, jobs.
    async fn find(&self, owner: &Owner, from: Position) -> RedisResult<(u64, u64, Vec<Vec<u8>>)> {
        let queue = self.keys.queue(owner.kind);
        let count = if from.few || from.slow { FEW } else { COUNT };
        let mut answer: Vec<Vec<u8>> = connection::repeated(&self.redis, "jobs_of_owner", |mut redis| {
            let mut call = scripts::JOBS_OF_OWNER.key(queue.data());
            call.key(queue.meta_prefix()).arg(from.cursor).arg(count);
            call.arg(owner.field).arg(owner.id.as_str()).arg(owner.prefix.as_str());
            async move { call.invoke_async(&mut redis).await }
        })
        .await?;
        let ids = answer.split_off(2.min(answer.len()));
        let number = |at: usize| str::from_utf8(answer.get(at)?).ok()?.parse().ok();
        let (Some(next), Some(bytes)) = (number(0), number(1)) else {
            return Err((redis::ErrorKind::UnexpectedReturnType, "jobs_of_owner gave no cursor").into());
        };
        Ok((next, bytes, ids))
    }

    async fn scrub_some(
        &self,
        owner: &Owner,
        deleted_at: Timestamp,
        ids: &[Vec<u8>],
        scrubbed: &mut Scrubbed,
    ) -> RedisResult<()> {
        let mut orders = Vec::new();
        for (id, job) in ids.iter().zip(self.read(owner, ids).await?) {
            let is_older = job.enqueued_ms.is_some_and(|ms| ms <= deleted_at.unix_ms());
            // What nobody has seen came after the stamp, and so after the deletion.
            let is_seen = job.seen.as_ref() == Some(id);
            let Some(clean) = job.clean(owner).filter(|_| is_older && is_seen) else { continue };
            scrubbed.originals.extend(clean.original);
            if clean.texts.iter().any(Option::is_some) {
                orders.push((id, clean.texts));
            }
        }
        if orders.is_empty() {
            return Ok(());
        }
        let queue = self.keys.queue(owner.kind);
        scrubbed.jobs += connection::repeated(&self.redis, "jobs_scrub", |mut redis| {
            let mut call = scripts::JOBS_SCRUB.key(queue.data());
            call.key(queue.stats()).key(queue.meta_prefix());
            for (id, texts) in &orders {
                call.arg(*id);
                for text in texts {
                    let (old, new) = text.as_ref().map_or((&b""[..], &b""[..]), |(old, new)| (old, new));
                    call.arg(old).arg(new);
                }
            }
            async move { call.invoke_async::<u64>(&mut redis).await }
        })
        .await?;
        Ok(())
    }

    async fn read(&self, owner: &Owner, ids: &[Vec<u8>]) -> RedisResult<Vec<Job>> {
        let queue = self.keys.queue(owner.kind);
        let mut questions = redis::pipe();
        for id in ids {
            let meta = [queue.meta_prefix().as_bytes(), id].concat();
            questions.hget(queue.data(), id);
            questions.cmd("HMGET").arg(meta).arg(&["result", "dr_last", "dr_enqueued_at", "dr_seen"]);
        }
        let values: Vec<redis::Value> = connection::repeated(&self.redis, "jobs_read", |mut redis| {
            let questions = &questions;
            async move { questions.query_async(&mut redis).await }
        })
        .await?;
        let job = |pair: &[redis::Value]| -> RedisResult<Job> {
            let payload: Option<Vec<u8>> = redis::from_redis_value(pair[0].clone())?;
            let (result, last, enqueued_ms, seen) = redis::from_redis_value(pair[1].clone())?;
            Ok(Job { payload: payload.unwrap_or_default(), result, last, enqueued_ms, seen })
        };
        values.chunks_exact(2).map(job).collect()
    }
}

/// What Redis keeps of a job that tells of its picture.
struct Job {
    /// Empty once the job is done.
    payload: Vec<u8>,
    result: Option<String>,
    last: Option<String>,
    enqueued_ms: Option<u64>,
    /// The id under which it was seen.
    seen: Option<Vec<u8>>,
}

/// What is left of a job.
struct Clean {
    /// Payload, receipt and last receipt: what was, and what takes its place.
    texts: [Option<(Vec<u8>, Vec<u8>)>; 3],
    original: Option<StagedKey>,
}

impl Job {
    /// `None` when it is another owner's.
    fn clean(self, owner: &Owner) -> Option<Clean> {
        let (mut payload, mut original) = (None, None);
        if !self.payload.is_empty() {
            let (new, named) = clean_payload(owner, &self.payload)?;
            original = named;
            payload = Some((self.payload, new)).filter(|(old, new)| old != new);
        }
        let result = self.result.and_then(|old| replaced(&old, clean_result));
        let last = self.last.and_then(|old| replaced(&old, clean_receipt));
        Some(Clean { texts: [payload, result, last], original })
    }
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What was, and what takes its place; `None` when that is the same, or nobody can tell.
fn replaced(old: &str, clean: impl Fn(&str) -> Option<String>) -> Option<(Vec<u8>, Vec<u8>)> {
    let new = clean(old).filter(|new| new != old)?;
    Some((old.as_bytes().to_vec(), new.into_bytes()))
}

/// A payload without URL, picture and context, which still says what it was about, and the original that it names. `None`
/// when it is another owner's. A text that is no JSON can be nobody's job: nothing of it stays.
fn clean_payload(owner: &Owner, raw: &[u8]) -> Option<(Vec<u8>, Option<StagedKey>)> {
    let Ok(Value::Object(mut payload)) = serde_json::from_slice(raw) else {
        return Some((b"{}".to_vec(), None));
    };
    if !owner.is_named_by(&payload) {
        return None;
    }
    for field in ["context", "batch", "traceparent"] {
        payload.remove(field);
    }
    let mut original = None;
    if let Some(Value::Object(source)) = payload.get_mut("source") {
        for field in ["url", "base64"] {
            if let Some(text) = source.get_mut(field) {
                *text = Value::from("");
            }
        }
        original = source.get("key").and_then(Value::as_str).and_then(|key| key.parse().ok());
    }
    Some((Value::Object(payload).to_string().into_bytes(), original))
}

/// `{"Ok":<receipt>}`, as the settlement writes it.
fn clean_result(result: &str) -> Option<String> {
    let receipt = result.strip_prefix("{\"Ok\":")?.strip_suffix('}')?;
    clean_receipt(receipt).map(|receipt| format!("{{\"Ok\":{receipt}}}"))
}

/// A receipt that still says what became of the job, and nothing of the picture: no URL, no context, no thumbnail.
fn clean_receipt(receipt: &str) -> Option<String> {
    let mut receipt: Value = serde_json::from_str(receipt).ok()?;
    let fields = receipt.as_object_mut()?;
    for field in ["context", "source", "visual"] {
        fields.insert(field.into(), Value::Null);
    }
    fields.insert("warnings".into(), Value::Array(Vec::new()));
    if let Some(object) = fields.get_mut("object").and_then(Value::as_object_mut) {
        object.insert("url".into(), Value::Null);
    }
    if let Some(error) = fields.get_mut("error").and_then(Value::as_object_mut) {
        error.insert("message".into(), SCRUBBED.into());
        error.insert("detail".into(), Value::Null);
    }
    Some(receipt.to_string())
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
