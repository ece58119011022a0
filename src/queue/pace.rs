//! Turns at the hosts that originals are fetched from: all workers of a deployment share them.

use std::time::Duration;

use darkroom_jobs::{redis_keys::Keys, wire::Connection};
use redis::RedisResult;

use super::{clock::milliseconds, connection, scripts};

/// How far ahead turns are given out. Whoever comes later asks again: nobody reserves a host for days.
pub const HORIZON: Duration = Duration::from_secs(60 * 60);

/// The turns of one deployment.
#[derive(Clone)]
pub struct Pace {
    redis: Connection,
    keys: Keys,
    gap: Duration,
}

/// What came of asking for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is ours after this time.
    In(Duration),
    /// There is none up to [`HORIZON`]; ask again after this time.
    Later(Duration),
}

impl Pace {
    /// `starts_per_second`: at one host, of all workers together.
    pub fn new(redis: Connection, keys: Keys, starts_per_second: u32) -> Self {
        Self { redis, keys, gap: Duration::from_secs(1) / starts_per_second.max(1) }
    }

    /// Takes the next turn at a host.
    ///
    /// # Errors
    ///
    /// Redis': then nobody may begin.
    pub async fn take(&self, host: &str) -> RedisResult<Turn> {
        let (key, gap_ms) = (self.keys.pace(host), self.gap.as_secs_f64() * 1_000.0);
        let (wait_ms, ours): (u64, bool) = connection::repeated(&self.redis, "pace_take", |mut redis| {
            let mut call = scripts::PACE_TAKE.key(&key);
            call.arg(gap_ms).arg(milliseconds(HORIZON));
            async move { call.invoke_async(&mut redis).await }
        })
        .await?;
        let wait = Duration::from_millis(wait_ms);
        Ok(if ours { Turn::In(wait) } else { Turn::Later(wait) })
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").field("keys", &self.keys).field("gap", &self.gap).finish_non_exhaustive()
    }
}
