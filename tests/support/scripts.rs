//! The scripts on a real server, each called by a user who may touch nothing but what its KEYS name.

use std::{collections::HashMap, time::Duration};

use darkroom::{
    dev::redis::EmbeddedRedis,
    queue::{connection, scripts},
};
use darkroom_jobs::{
    Kind,
    redis_keys::{Keys, QueueKeys},
    wire::Connection,
};
use redis::{
    AsyncCommands, AsyncConnectionConfig, FromRedisValue, RedisResult, Script, aio::MultiplexedConnection,
    from_redis_value,
};
use tempfile::TempDir;

/// How long an answer may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of its own, with one queue.
pub struct Scripts {
    /// May do everything.
    pub redis: MultiplexedConnection,
    pub keys: Keys,
    pub queue: QueueKeys,
    /// Length of the leases that are claimed and renewed.
    pub lease_ms: u64,
    /// Whether more jobs may be ready, as the last claim says.
    pub more: bool,
    confined: MultiplexedConnection,
    server: EmbeddedRedis,
    _folder: TempDir,
}

/// What a call of `jobs_settle` says of one delivery.
pub struct Settling<'a> {
    pub outcome: &'a str,
    pub event: &'a str,
    pub attempts: u32,
    pub after_ms: u64,
    pub note: &'a str,
    pub deferred: bool,
    pub excerpt: usize,
    pub next: &'a str,
    pub owner: &'a str,
}

pub const DONE: Settling<'static> = Settling {
    outcome: "done",
    event: "{}",
    attempts: 1,
    after_ms: 0,
    note: "",
    deferred: false,
    excerpt: 0,
    next: "",
    owner: "",
};

impl Settling<'_> {
    fn args(&self, job: &str, token: &str) -> [String; 9] {
        let status = if self.outcome == "dead" { "failed" } else { self.outcome };
        let mut more = serde_json::json!({});
        let receipt = r#"{"status":"it"}"#;
        let receipt = match self.outcome {
            "again" => {
                more = serde_json::json!({ "after_ms": self.after_ms, "deferred": self.deferred });
                receipt.to_owned()
            }
            _ => format!(r#"{{"Ok":{receipt}}}"#),
        };
        if !self.note.is_empty() {
            more["note"] = self.note.into();
        }
        if self.excerpt > 0 {
            more["excerpt"] = self.excerpt.into();
        }
        if !self.next.is_empty() {
            more["next"] =
                serde_json::json!({ "id": self.next, "after_ms": 60_000, "note": "note of the next" });
        }
        let more = if more == serde_json::json!({}) { String::new() } else { more.to_string() };
        let words = [job, token, self.outcome, status, &receipt, self.event];
        let [job, token, outcome, status, receipt, event] = words.map(str::to_owned);
        [job, token, outcome, status, receipt, event, self.attempts.to_string(), more, self.owner.to_owned()]
    }
}

/// What a call of `queues_tick` says.
#[derive(Clone, Copy)]
pub struct Tick {
    pub batch: u64,
    pub lease_ms: u64,
    pub reap_ms: u64,
    pub outage_ms: u64,
    pub done_s: u64,
    pub done_max: u64,
    pub dead_s: u64,
    pub dead_max: u64,
    pub dead_bytes: u64,
    pub crashes: u64,
    pub within_ms: u64,
}

/// Reaps at every call, and keeps everything.
pub const TICK: Tick = Tick {
    batch: 200,
    lease_ms: 30_000,
    reap_ms: 0,
    outage_ms: 600_000,
    done_s: 604_800,
    done_max: 1_000_000,
    dead_s: 604_800,
    dead_max: 1_000_000,
    dead_bytes: 1 << 40,
    crashes: 8,
    within_ms: 72 * 3_600_000,
};

/// One claimed job.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub id: String,
    pub payload: String,
    pub payload_bytes: usize,
    pub attempts: u32,
    pub max_attempts: i64,
    pub deliveries: u32,
    pub crashes: u32,
    /// Redis ms of the first delivery.
    pub first_ms: u64,
    pub note: String,
    pub reason: String,
}

impl Scripts {
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let program = std::env::var_os("DARKROOM_TEST_REDIS_SERVER").map(std::path::PathBuf::from);
        let server = EmbeddedRedis::start(program.as_deref(), folder.path()).await.expect("redis starts");
        let connect = async |url: String| {
            let client = redis::Client::open(url).expect("it is a url");
            let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
            client.get_multiplexed_async_connection_with_config(&patient).await.expect("redis answers")
        };
        let mut redis = connect(server.url()).await;
        let () = redis::cmd("ACL")
            .arg(&["SETUSER", "confined", "on", ">secret", "+@all"])
            .query_async(&mut redis)
            .await
            .expect("the user is made");
        let confined = connect(server.url().replace("redis://", "redis://confined:secret@")).await;
        let keys = Keys::new("darkroom").expect("it is a namespace");
        let queue = keys.queue(Kind::Upload);
        Self { redis, keys, queue, lease_ms: 30_000, more: false, confined, server, _folder: folder }
    }

    /// Calls a script as the confined user.
    pub async fn call<T: FromRedisValue>(
        &mut self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> RedisResult<T> {
        let mut acl = redis::cmd("ACL");
        acl.arg(&["SETUSER", "confined", "resetkeys", "resetchannels"]);
        for key in keys {
            let rest = if key.ends_with(':') { "*" } else { "" };
            acl.arg(format!("~{key}{rest}")).arg(format!("&{key}"));
        }
        let () = acl.query_async(&mut self.redis).await?;
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for arg in args {
            call.arg(arg);
        }
        call.invoke_async(&mut self.confined).await
    }

    pub async fn claim(&mut self, tokens: &[&str]) -> Vec<Row> {
        self.claim_with(&scripts::JOBS_CLAIM, tokens).await
    }

    pub async fn claim_with(&mut self, script: &Script, tokens: &[&str]) -> Vec<Row> {
        let q = &self.queue;
        let sets = [q.active(), q.leases(), q.data(), q.done(), q.dead(), q.paused()];
        let keys = [&sets[..], &[q.meta_prefix(), q.scheduled()]].concat();
        let lease_ms = self.lease_ms.to_string();
        let args = [&[&*lease_ms, "2097152", "4096"], tokens].concat();
        let answer: Vec<redis::Value> =
            self.call(script, &keys, &texts(&args)).await.expect("the claim is answered");
        self.more = from_redis_value(answer[1].clone()).expect("it is a number");
        let now_ms = from_redis_value(answer[0].clone()).expect("it is a time");
        answer.into_iter().skip(2).map(|row| Row::read(row, now_ms)).collect()
    }

    pub async fn settle(&mut self, job: &str, token: &str, says: &Settling<'_>) -> RedisResult<u8> {
        Ok(self.settle_all(&[(job, token, says)]).await?[0])
    }

    pub async fn settle_all(&mut self, ended: &[(&str, &str, &Settling<'_>)]) -> RedisResult<Vec<u8>> {
        let q = &self.queue;
        let sets = [q.leases(), q.data(), q.meta_prefix(), q.scheduled(), q.done(), q.dead(), q.stats()];
        let keys = [&sets[..], &[self.keys.events(), self.keys.settled()]].concat();
        let args: Vec<_> = ended.iter().flat_map(|(job, token, says)| says.args(job, token)).collect();
        self.call(&scripts::JOBS_SETTLE, &keys, &args).await
    }

    pub async fn give_back(&mut self, job: &str, token: &str) -> u8 {
        let q = &self.queue;
        let keys = [q.leases(), format!("{}{job}", q.meta_prefix()), q.active(), self.keys.wake()];
        let args = texts(&[job, token, "upload"]);
        self.call(&scripts::LEASE_RETURN, &keys, &args).await.expect("the hand-back is answered")
    }

    /// Numbers of the jobs that are lost.
    pub async fn extend(&mut self, held: &[(&str, &str)]) -> RedisResult<Vec<usize>> {
        let keys = [self.queue.leases(), self.queue.meta_prefix()];
        let lease_ms = self.lease_ms.to_string();
        let jobs = held.iter().flat_map(|(job, token)| ["1", *job, *token]);
        let args: Vec<_> = [&*lease_ms].into_iter().chain(jobs).collect();
        self.call(&scripts::LEASES_EXTEND, &keys, &texts(&args)).await
    }

    /// Ready jobs, whether to call again, promoted, returned.
    pub async fn tick(&mut self, says: Tick) -> (u64, bool, u64, u64) {
        let q = &self.queue;
        let keys =
            [q.scheduled(), q.active(), q.leases(), q.reaped(), q.data(), q.done(), q.dead(), q.stats()];
        let keys = [&keys[..], &[q.meta_prefix()]].concat();
        let times = [says.batch, says.lease_ms, says.reap_ms, says.outage_ms, 2_592_000];
        let kept = [says.done_s, says.done_max, says.dead_s, says.dead_max, says.dead_bytes];
        let args = [&times[..], &kept, &[says.crashes, says.within_ms]].concat();
        let args: Vec<_> = args.iter().map(u64::to_string).collect();
        let answer: Vec<u64> =
            self.call(&scripts::QUEUES_TICK, &keys, &args).await.expect("the tick is answered");
        (answer[1], answer[2] == 1, answer[3], answer[4])
    }

    pub async fn enqueue_with(&mut self, script: &Script, job: &str) {
        let q = &self.queue;
        let keys = [q.data(), q.meta_prefix(), q.active(), q.scheduled(), self.keys.wake()];
        let args = texts(&["{darkroom}:upload", "60000", "1000", job, "payload", "18", "", ""]);
        let answers: Vec<(u8, String)> = self.call(script, &keys, &args).await.expect("the push is answered");
        assert_eq!(answers, [(1, job.to_owned())]);
    }

    /// Pushes as anybody could, straight into the list of ready jobs.
    pub async fn ready(&mut self, job: &str, payload: &str) {
        let () = redis::pipe()
            .hset(self.queue.data(), job, payload)
            .rpush(self.queue.active(), job)
            .query_async(&mut self.redis)
            .await
            .expect("redis answers");
    }

    /// A job that is leased under the token `t-<job>`.
    pub async fn leased(&mut self, job: &str) -> String {
        self.ready(job, "payload").await;
        let token = format!("t-{job}");
        let rows = self.claim(&[&token]).await;
        assert_eq!(rows[0].id, job);
        token
    }

    /// A connection as a worker has it.
    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(self.server.url()).expect("it is a url");
        connection::managed(&client).expect("nothing is connected yet")
    }

    /// Messages of all channels from now on.
    pub async fn messages(&self) -> redis::aio::PubSubStream {
        let client = redis::Client::open(self.server.url()).expect("it is a url");
        let mut subscription = client.get_async_pubsub().await.expect("redis answers");
        subscription.psubscribe("*").await.expect("redis answers");
        subscription.into_on_message()
    }

    pub async fn meta(&mut self, job: &str) -> HashMap<String, String> {
        let meta = format!("{}{job}", self.queue.meta_prefix());
        self.redis.hgetall(meta).await.expect("redis answers")
    }

    pub async fn set_meta(&mut self, job: &str, field: &str, value: &str) {
        let meta = format!("{}{job}", self.queue.meta_prefix());
        let () = self.redis.hset(meta, field, value).await.expect("redis answers");
    }

    pub async fn active(&mut self) -> Vec<String> {
        self.redis.lrange(self.queue.active(), 0, -1).await.expect("redis answers")
    }

    /// Members of a sorted set, with their scores.
    pub async fn zset(&mut self, key: String) -> Vec<(String, f64)> {
        self.redis.zrange_withscores(key, 0, -1).await.expect("redis answers")
    }

    /// Sets the end of a lease, or when a job was settled or is due.
    pub async fn score(&mut self, key: String, job: &str, score: f64) {
        let () = self.redis.zadd(key, job, score).await.expect("redis answers");
    }

    pub async fn now_ms(&mut self) -> f64 {
        let (s, us): (f64, f64) =
            redis::cmd("TIME").query_async(&mut self.redis).await.expect("redis answers");
        s * 1000.0 + (us / 1000.0).floor()
    }
}

impl Row {
    /// A job that was never delivered or put off has a short one: its first delivery is now.
    fn read(value: redis::Value, now_ms: u64) -> Self {
        let row: Vec<String> = from_redis_value(value).expect("a row is a list");
        let number = |at: usize| row[at].parse::<i64>().expect("it is a number");
        let count = |at: usize| u32::try_from(number(at)).expect("it counts");
        Self {
            id: row[0].clone(),
            payload: row[2].clone(),
            payload_bytes: row[3].parse().expect("it is a size"),
            attempts: count(4),
            max_attempts: number(5),
            deliveries: count(6),
            crashes: count(7),
            first_ms: row.get(10).map_or(now_ms, |ms| ms.parse().expect("it is a time")),
            note: row.get(12).cloned().unwrap_or_default(),
            reason: row.get(13).cloned().unwrap_or_default(),
        }
    }
}

pub fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
