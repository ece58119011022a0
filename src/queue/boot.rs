//! What is asked of a Redis before jobs are entrusted to it.

use std::time::Duration;

use darkroom_jobs::{
    redis_keys::{Keys, LAYOUT_VERSION},
    wire::Connection,
};
use redis::{ErrorKind, RedisError};
use tracing::warn;

use super::{connection, scripts};
use crate::config;

/// Oldest Redis: the scripts' flags came with it.
const MIN_REDIS: (u32, u32) = (7, 0);

/// Pause between two lines about a Redis that is away.
const REMINDER: Duration = Duration::from_secs(30);

/// A Redis that waiting does not mend.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The URL.
    #[error("DARKROOM_REDIS_URL cannot be used: {0}")]
    Url(RedisError),
    /// Wrong user or password.
    #[error("Redis refuses the user or the password of DARKROOM_REDIS_URL: {0}")]
    Login(RedisError),
    /// The version.
    #[error("Redis is {found}, but 7.0 is the oldest that works; upgrade it, or use Valkey")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// Cluster or Sentinel.
    #[error("Redis runs in {mode} mode, which is not supported; point DARKROOM_REDIS_URL to one primary")]
    Mode {
        /// Its mode.
        mode: String,
    },
    /// It may throw jobs away.
    #[error(
        "Redis' maxmemory-policy is {policy}: it may throw jobs away; set it to noeviction, or \
         DARKROOM_ALLOW_EVICTION=true to go on regardless"
    )]
    Evicts {
        /// The policy.
        policy: String,
    },
    /// A newer darkroom has been here.
    #[error("this namespace has layout {found}, this release knows {LAYOUT_VERSION}; upgrade this worker")]
    Layout {
        /// The layout.
        found: u32,
    },
}

/// Waits until Redis can be asked, with one line every 30 s, and says whether jobs can be entrusted to it.
///
/// # Errors
///
/// What waiting cannot mend.
pub async fn ready(settings: &config::Redis) -> Result<(), Refusal> {
    let client = connection::client(settings).map_err(Refusal::Url)?;
    let mut redis = connection::impatient(&client).map_err(Refusal::Url)?;
    let mut told: Option<tokio::time::Instant> = None;
    let mut failures = 0;
    loop {
        let error = match examine(&mut redis, settings).await {
            Ok(verdict) => return verdict,
            Err(error) => error,
        };
        if is_login(&error) {
            return Err(Refusal::Login(error));
        }
        if told.is_none_or(|told| told.elapsed() >= REMINDER) {
            warn!(error = %error, "redis is away; waiting for it (DARKROOM_REDIS_URL)");
            told = Some(tokio::time::Instant::now());
        }
        failures += 1;
        tokio::time::sleep(connection::backoff(failures)).await;
    }
}

/// Whether Redis refuses the user, the password, or what the user may do: waiting does not mend that.
pub fn is_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}

async fn examine(
    redis: &mut Connection,
    settings: &config::Redis,
) -> Result<Result<(), Refusal>, RedisError> {
    let info: String = redis::cmd("INFO").query_async(redis).await?;
    if let Err(refusal) = judge(&info, settings.allow_eviction) {
        return Ok(Err(refusal));
    }
    layout(redis, &settings.namespace).await
}

fn judge(info: &str, allow_eviction: bool) -> Result<(), Refusal> {
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    // A Valkey calls itself Redis 7.2.4 for compatibility, whatever its own version.
    let found = field("redis_version").unwrap_or_default();
    let mut parts = found.split('.').map(|part| part.parse().unwrap_or(0));
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < MIN_REDIS {
        return Err(Refusal::TooOld { found: found.to_owned() });
    }
    match field("redis_mode").unwrap_or("standalone") {
        "standalone" => {}
        mode => return Err(Refusal::Mode { mode: mode.to_owned() }),
    }
    match field("maxmemory_policy").unwrap_or("noeviction") {
        "noeviction" => Ok(()),
        policy if allow_eviction => {
            warn!(policy, "redis may evict keys, and with them jobs (DARKROOM_ALLOW_EVICTION)");
            Ok(())
        }
        policy => Err(Refusal::Evicts { policy: policy.to_owned() }),
    }
}

async fn layout(redis: &mut Connection, keys: &Keys) -> Result<Result<(), Refusal>, RedisError> {
    let found: u32 = scripts::LAYOUT_RAISE.key(keys.layout()).arg(LAYOUT_VERSION).invoke_async(redis).await?;
    Ok(if found > LAYOUT_VERSION { Err(Refusal::Layout { found }) } else { Ok(()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "redis_version:7.0.15\r\nredis_mode:standalone\r\nmaxmemory_policy:noeviction\r\n";

    #[test]
    fn a_redis_that_keeps_every_key_is_good() {
        assert!(judge(GOOD, false).is_ok());
    }

    #[test]
    fn an_old_redis_a_cluster_and_an_evicting_one_are_refused_by_name() {
        let old = judge(&GOOD.replace("7.0.15", "6.2.14"), false);
        let cluster = judge(&GOOD.replace("standalone", "cluster"), false);
        let evicting = judge(&GOOD.replace("noeviction", "allkeys-lru"), false);

        assert!(matches!(old, Err(Refusal::TooOld { .. })));
        assert!(matches!(cluster, Err(Refusal::Mode { .. })));
        assert!(matches!(evicting, Err(Refusal::Evicts { .. })));
    }

    #[test]
    fn eviction_can_be_accepted_by_hand() {
        assert!(judge(&GOOD.replace("noeviction", "allkeys-lru"), true).is_ok());
    }
}
