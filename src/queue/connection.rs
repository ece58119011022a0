//! Connections that come back by themselves.

use std::time::Duration;

use darkroom_jobs::wire;
use redis::{
    Client, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use crate::config;

/// How long Redis may take to answer before a call counts as lost.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(6);

/// Longest pause between two attempts to reach Redis.
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// # Errors
///
/// When `DARKROOM_REDIS_URL` is not a URL of Redis. Nothing is connected yet.
pub fn client(settings: &config::Redis) -> RedisResult<Client> {
    wire::client(settings.redis_url.reveal())
}

/// A connection that is made when it is first used, shared by its clones and made anew whenever it breaks.
///
/// # Errors
///
/// When the client's settings cannot be used at all; an absent Redis is no error here.
pub fn managed(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_min_delay(Duration::from_millis(100))
        .set_max_delay(RECONNECT_MAX);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Asks again, twice at most, when the connection breaks or leads to a replica: for what can be repeated. A Redis that is
/// away is not waited for.
///
/// # Errors
///
/// Redis', or those of the last connection.
pub async fn repeated<T, F>(redis: &ConnectionManager, ask: impl Fn(ConnectionManager) -> F) -> RedisResult<T>
where
    F: Future<Output = RedisResult<T>>,
{
    let mut tries = 1;
    loop {
        let error = match ask(redis.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let mended = error.is_connection_dropped() || wire::leave_replica(&mut redis.clone(), &error).await;
        if !mended || tries == 3 {
            return Err(error);
        }
        tries += 1;
    }
}

/// Asks again, once, when a replica has refused: nothing was done by then. For what tells another answer when it is repeated.
///
/// # Errors
///
/// Redis', or those of the connection.
pub async fn at_the_primary<T, F>(
    redis: &ConnectionManager,
    ask: impl Fn(ConnectionManager) -> F,
) -> RedisResult<T>
where
    F: Future<Output = RedisResult<T>>,
{
    match ask(redis.clone()).await {
        Err(error) if wire::leave_replica(&mut redis.clone(), &error).await => ask(redis.clone()).await,
        answer => answer,
    }
}

/// As [`managed`], for a command that a person waits for: a Redis that is away is told within some seconds.
///
/// # Errors
///
/// As [`managed`].
pub fn impatient(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_number_of_retries(2)
        .set_max_delay(Duration::from_secs(1));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Full jitter: a random pause of at most 100 ms · 2^n, and at most [`RECONNECT_MAX`].
pub fn backoff(failures: u32) -> Duration {
    let most = Duration::from_millis(100).saturating_mul(1 << failures.min(10)).min(RECONNECT_MAX);
    most.mul_f64(fastrand::f64())
}
