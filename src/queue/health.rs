//! The last health report of the bucket, for all processes. What it says is the storage room's affair.

use darkroom_jobs::{Event, Timestamp, redis_keys::Keys, wire::Connection};
use redis::RedisResult;
use serde::{Serialize, de::DeserializeOwned};
use tracing::debug;

use super::scripts;

/// Keeps the last report, and tells it.
#[derive(Clone)]
pub struct HealthBoard {
    redis: Connection,
    keys: Keys,
}

/// What a look at the board found.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    /// What was kept; `None` before the first report, and for one of a release that writes otherwise.
    pub record: Option<T>,
    /// Now, by Redis' clock.
    pub now: Timestamp,
}

/// The word of the last report, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// `ok`, `degraded` or `down`.
    pub status: String,
    /// By Redis' clock.
    pub at: Timestamp,
}

impl HealthBoard {
    /// The board of one namespace.
    pub fn new(redis: Connection, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Reads what was kept.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn read<T: DeserializeOwned>(&self) -> RedisResult<Seen<T>> {
        let (record, (seconds, micros)): (Option<Vec<u8>>, (u64, u64)) = redis::pipe()
            .hget(self.keys.health(), "record")
            .cmd("TIME")
            .query_async(&mut self.redis.clone())
            .await?;
        let record = record.and_then(|json| {
            serde_json::from_slice(&json)
                .inspect_err(|error| debug!(%error, "health report of another release ignored"))
                .ok()
        });
        Ok(Seen { record, now: Timestamp::from_unix_ms(seconds * 1_000 + micros / 1_000) })
    }

    /// Reads the word of the last report alone.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn word(&self) -> RedisResult<Option<Word>> {
        let (status, at): (Option<String>, Option<u64>) = redis::cmd("HMGET")
            .arg(self.keys.health())
            .arg(&["status", "at"])
            .query_async(&mut self.redis.clone())
            .await?;
        Ok(status.zip(at).map(|(status, at)| Word { status, at: Timestamp::from_unix_ms(at) }))
    }

    /// Keeps a report. When its status is another than that of the one before, `event` is announced, and the status
    /// before is returned; the first report follows an `ok`.
    ///
    /// # Errors
    ///
    /// Redis': then the report may be kept or not.
    pub async fn write<T: Serialize>(
        &self,
        status: &str,
        record: &T,
        event: &Event,
    ) -> RedisResult<Option<String>> {
        let json = |json: serde_json::Result<String>| json.expect("reports and events are plain JSON");
        let before: String = scripts::HEALTH_WRITE
            .key(self.keys.health())
            .key(self.keys.events())
            .arg(status)
            .arg(json(serde_json::to_string(record)))
            .arg(json(serde_json::to_string(event)))
            .invoke_async(&mut self.redis.clone())
            .await?;
        Ok(Some(before).filter(|before| !before.is_empty()))
    }
}

impl std::fmt::Debug for HealthBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthBoard").field("keys", &self.keys).finish_non_exhaustive()
    }
}
