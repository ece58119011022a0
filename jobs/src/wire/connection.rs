//! A connection that is never kept for longer than it is good for.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use tokio::runtime::Handle;
use tracing::debug;

use super::refused_with;

/// What a replica says to whoever wants to write.
const REPLICA: &str = "READONLY";

/// A connection that is made anew when it breaks, and also when it stands but is good for nothing: when an answer stays out
/// for longer than the response time-out, and when a replica refuses, since after a fail-over the same address leads to the
/// new primary. The call that meets this fails; the next one goes to whoever has the address then.
///
/// Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Arc<Line>>,
}

/// It comes back by itself when it breaks, and by itself for nothing else.
struct Line {
    manager: ConnectionManager,
    /// Whether somebody asks just now if it still answers.
    is_doubted: AtomicBool,
}

impl Line {
    fn new(manager: ConnectionManager) -> Arc<Self> {
        Arc::new(Self { manager, is_doubted: AtomicBool::new(false) })
    }
}

impl Connection {
    /// Connects when it is first used.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used at all; an absent Redis is no error here.
    pub fn lazy(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self::over(client, config, manager))
    }

    /// Connects now.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used, or Redis does not answer.
    pub async fn connect(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let manager = ConnectionManager::new_with_config(client.clone(), config.clone()).await?;
        Ok(Self::over(client, config, manager))
    }

    fn over(client: Client, config: ConnectionManagerConfig, manager: ConnectionManager) -> Self {
        Self(Arc::new(Shared { client, config, current: Mutex::new(Line::new(manager)) }))
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.0.current.lock().expect("nobody panics with it"))
    }

    /// Calls that wait on the line keep it until their own time is over.
    fn leave(&self, line: &Arc<Line>) {
        let mut current = self.0.current.lock().expect("nobody panics with it");
        // Else another call has left it already.
        if Arc::ptr_eq(&current, line) {
            let next = ConnectionManager::new_lazy_with_config(self.0.client.clone(), self.0.config.clone());
            *current = Line::new(next.expect("these settings were taken before"));
            debug!("a connection to redis that stands was left");
        }
    }

    /// Leaves the line when the answer, or its lack, says that it is good for nothing.
    fn judge<T>(&self, line: &Arc<Line>, answer: &RedisResult<T>, values: fn(&T) -> &[Value]) {
        let is_useless = match answer {
            Ok(answer) => values(answer).iter().any(is_replicas),
            Err(error) => error.is_timeout() || is_replica(error),
        };
        if is_useless {
            self.leave(line);
        }
    }
}

/// Whether a replica refused: nothing was done by then, and the next call goes to whoever has the address.
pub fn is_replica(error: &RedisError) -> bool {
    refused_with(error, REPLICA)
}

fn is_replicas(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == REPLICA)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let call = Call::begin(self);
            let answer = call.line.manager.clone().send_packed_command(cmd).await;
            self.judge(&call.line, &answer, std::slice::from_ref);
            call.end(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let call = Call::begin(self);
            let answer = call.line.manager.clone().send_packed_commands(pipeline, offset, count).await;
            self.judge(&call.line, &answer, Vec::as_slice);
            call.end(answer)
        })
    }

    fn get_db(&self) -> i64 {
        self.line().manager.get_db()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A call whose caller may give up before the response time-out: then nobody would ever learn that no answer comes.
struct Call<'a> {
    connection: &'a Connection,
    line: Arc<Line>,
    has_ended: bool,
}

impl<'a> Call<'a> {
    fn begin(connection: &'a Connection) -> Self {
        Self { connection, line: connection.line(), has_ended: false }
    }

    fn end<T>(mut self, answer: T) -> T {
        self.has_ended = true;
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.has_ended || self.line.is_doubted.swap(true, Relaxed) {
            return;
        }
        let (connection, line) = (self.connection.clone(), Arc::clone(&self.line));
        runtime.spawn(async move {
            let answer = line.manager.clone().send_packed_command(&redis::cmd("PING")).await;
            connection.judge(&line, &answer, std::slice::from_ref);
            line.is_doubted.store(false, Relaxed);
        });
    }
}
