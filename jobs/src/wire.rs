//! How a connection to Redis behaves when the other side is gone, or is not the primary any more.

mod connection;
mod subscription;

use std::time::Duration;

use redis::{
    Client, FromRedisValue, Pipeline, RedisError, RedisResult,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

pub use connection::{Connection, is_replica};
pub use subscription::Subscription;

/// How long a peer may leave what was sent unacknowledged, or say nothing at all.
const SILENCE: Duration = Duration::from_secs(10);

/// A client whose connections break when the peer has vanished without a word, instead of waiting for it for a quarter
/// of an hour. Nothing is connected yet.
///
/// # Errors
///
/// When `url` is not a URL of Redis.
pub fn client(url: &str) -> RedisResult<Client> {
    use redis::IntoConnectionInfo as _;
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE);
    Client::open(url.into_connection_info()?.set_tcp_settings(settings))
}

/// Whether Redis refused with this word, in a pipeline or by itself.
pub fn refused_with(error: &RedisError, word: &str) -> bool {
    let refusals = error.clone().into_server_errors();
    error.code() == Some(word) || refusals.is_some_and(|all| all.iter().any(|(_, one)| one.code() == word))
}

/// Reads everything at one moment. Redis 7.0 takes no transaction once it has reached `maxmemory`: then one after the other,
/// so that what it holds can still be read.
///
/// # Errors
///
/// Redis', or those of the connection.
pub async fn read_at_once<T: FromRedisValue>(redis: &mut Connection, reads: &Pipeline) -> RedisResult<T> {
    match reads.clone().atomic().query_async(redis).await {
        Err(error) if refused_with(&error, "OOM") || refused_with(&error, "EXECABORT") => {
            reads.query_async(redis).await
        }
        answer => answer,
    }
}
