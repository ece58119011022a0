//! A subscription that notices when nobody is there any more.

use std::io;

use futures_util::StreamExt as _;
use redis::{
    Client, Msg, RedisError, RedisResult, Value,
    aio::{PubSubSink, PubSubStream},
};
use tokio::time::timeout;

use super::SILENCE;
use crate::producer::RESPONSE_TIMEOUT;

/// Hears what is told on one channel.
pub struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
}

impl Subscription {
    /// Begins to hear.
    ///
    /// # Errors
    ///
    /// When Redis refuses, or does not answer within 5 s.
    pub async fn to(client: &Client, channel: &str) -> RedisResult<Self> {
        answered(async {
            let (mut sink, messages) = client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            Ok(Self { sink, messages })
        })
        .await
    }

    /// Waits for the next message. After 10 s without one it asks whether Redis is still there.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or Redis does not answer within 5 s: subscribe anew.
    pub async fn next(&mut self) -> RedisResult<Msg> {
        loop {
            match timeout(SILENCE, self.messages.next()).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(_) => answered(self.sink.ping::<Value>()).await.map(drop)?,
            }
        }
    }
}

/// A server that takes what is sent and says nothing would be waited for until the end.
async fn answered<T>(asking: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let silent = |_| Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut)));
    timeout(RESPONSE_TIMEOUT, asking).await.unwrap_or_else(silent)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_redis_that_takes_connections_and_says_nothing_is_not_waited_for() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = silent.local_addr().expect("it is bound");
        let client = Client::open(format!("redis://{address}")).expect("it is a url");

        let most = RESPONSE_TIMEOUT + Duration::from_secs(5);
        let answer = timeout(most, Subscription::to(&client, "wake")).await.expect("it gives up");

        assert!(answer.is_err_and(|error| error.is_timeout()));
    }
}
