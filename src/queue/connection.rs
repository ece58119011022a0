//! Connections that come back by themselves.

use std::time::{Duration, Instant};

use darkroom_jobs::wire::{self, Connection};
use redis::{Client, ErrorKind, RedisError, RedisResult, aio::ConnectionManagerConfig};

use crate::config;

/// How long Redis may take to answer before a call counts as lost.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a call that can be repeated is.
const REPEAT: Duration = Duration::from_secs(10);

/// Longest pause between two attempts to reach Redis.
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// # Errors
///
/// When `DARKROOM_REDIS_URL` is not a URL of Redis. Nothing is connected yet.
pub fn client(settings: &config::Redis) -> RedisResult<Client> {
    wire::client(settings.redis_url.reveal())
}

/// A connection that is made when it is first used, shared by its clones and made anew whenever it breaks or is no good.
///
/// # Errors
///
/// When the client's settings cannot be used at all; an absent Redis is no error here.
pub fn managed(client: &Client) -> RedisResult<Connection> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_min_delay(Duration::from_millis(100))
        .set_max_delay(RECONNECT_MAX);
    Connection::lazy(client.clone(), config)
}

/// Asks again, for 10 s at most, when the connection breaks, in the middle of an answer too, when Redis is loading or busy
/// with a script, or a replica by now: for what can be repeated. `what` names it where a test stops a job.
///
/// # Errors
///
/// Redis', or those of the last connection.
pub async fn repeated<T, F>(
    redis: &Connection,
    what: &'static str,
    ask: impl Fn(Connection) -> F,
) -> RedisResult<T>
where
    F: Future<Output = RedisResult<T>>,
{
    #[cfg(feature = "test-hooks")]
    crate::stops::asks(what).await;
    #[cfg(not(feature = "test-hooks"))]
    let _ = what;
    let (since, mut failures) = (Instant::now(), 0);
    loop {
        let error = match ask(redis.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !passes(&error) || since.elapsed() >= REPEAT {
            return Err(error);
        }
        failures += 1;
        tokio::time::sleep(backoff(failures)).await;
    }
}

/// Asks again, once, when a replica has refused: nothing was done by then. For what tells another answer when it is repeated.
///
/// # Errors
///
/// Redis', or those of the connection.
pub async fn at_the_primary<T, F>(redis: &Connection, ask: impl Fn(Connection) -> F) -> RedisResult<T>
where
    F: Future<Output = RedisResult<T>>,
{
    match ask(redis.clone()).await {
        Err(error) if wire::is_replica(&error) => ask(redis.clone()).await,
        answer => answer,
    }
}

/// Whether it is a matter of the connection or of the moment. An answer that is torn does not parse.
fn passes(error: &RedisError) -> bool {
    let torn = matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType);
    let refused = |word| wire::refused_with(error, word);
    let moment = wire::is_replica(error) || refused("BUSY") || refused("LOADING");
    torn || error.is_connection_dropped() || error.is_timeout() || moment
}

/// As [`managed`], for a command that a person waits for: a Redis that is away is told within some seconds.
///
/// # Errors
///
/// As [`managed`].
pub fn impatient(client: &Client) -> RedisResult<Connection> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_number_of_retries(2)
        .set_max_delay(Duration::from_secs(1));
    Connection::lazy(client.clone(), config)
}

/// Full jitter: a random pause of at most 100 ms after the first failure, twice as much after each that follows, and at
/// most [`RECONNECT_MAX`].
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let most = Duration::from_millis(100).saturating_mul(1 << doublings).min(RECONNECT_MAX);
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_from_nothing_to_a_tenth_of_a_second_and_in_the_end_to_five() {
        for (failures, most) in [(1, 0.1), (2, 0.2), (4, 0.8), (7, 5.0), (u32::MAX, 5.0)] {
            let pauses = std::iter::repeat_with(|| backoff(failures).as_secs_f64() / most);
            let pauses: Vec<_> = pauses.take(200).collect();

            assert!(pauses.iter().all(|pause| *pause <= 1.0), "{failures}: {pauses:?}");
            // That none of 200 is in the lower eighth, or in the upper, happens 3 times in 10^12.
            assert!(pauses.iter().any(|pause| *pause < 0.125), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause > 0.875), "{failures}: {pauses:?}");
        }
    }
}
