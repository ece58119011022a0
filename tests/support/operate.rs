//! The scripts by which a person, or a producer, changes a queue.

use darkroom::queue::scripts::{JOB_CANCEL, JOB_DISCARD, JOBS_RETRY, QUEUE_PAUSE, QUEUE_RESUME};
use redis::{RedisResult, Script};

use super::scripts::{Scripts, texts};

impl Scripts {
    pub async fn cancel(&mut self, job: &str, deliveries: &str) -> u8 {
        let q = &self.queue;
        let meta = format!("{}{job}", q.meta_prefix());
        let sets = [q.leases(), q.data(), meta, q.scheduled(), q.done(), q.dead(), q.stats()];
        let keys = [&sets[..], &[self.keys.events(), self.keys.settled()]].concat();
        let args = texts(&[job, deliveries, r#"{"status":"cancelled"}"#, "{}", "user_photos/1/"]);
        self.call(&JOB_CANCEL, &keys, &args).await.expect("redis answers")
    }

    pub async fn discard(&mut self, job: &str, key: &str) -> u8 {
        let q = &self.queue;
        let meta = format!("{}{job}", q.meta_prefix());
        let keys = [q.dead(), q.data(), meta, q.stats(), q.idempotency(key)];
        self.call(&JOB_DISCARD, &keys, &texts(&[job])).await.expect("redis answers")
    }

    pub async fn retry(&mut self, jobs: &[&str]) -> RedisResult<u64> {
        let q = &self.queue;
        let keys = [q.dead(), q.active(), q.stats(), q.meta_prefix(), self.keys.wake()];
        self.call(&JOBS_RETRY, &keys, &texts(&[&["upload"], jobs].concat())).await
    }

    pub async fn pause(&mut self) -> u8 {
        let keys = [self.queue.paused()];
        self.call(&QUEUE_PAUSE, &keys, &[]).await.expect("redis answers")
    }

    pub async fn resume(&mut self) -> u8 {
        let keys = [self.queue.paused(), self.keys.wake()];
        self.call(&QUEUE_RESUME, &keys, &texts(&["upload"])).await.expect("redis answers")
    }

    /// One job, due in an hour or at once. Answers the script's number, and the job that is meant.
    pub async fn enqueue(
        &mut self,
        job: &str,
        payload: &str,
        key: Option<&str>,
        later: bool,
    ) -> (u8, String) {
        const HOUR_MS: u64 = 3_600_000;
        let script = Script::new(include_str!("../../jobs/src/enqueue.lua"));
        let q = &self.queue;
        let mut keys = vec![q.data(), q.meta_prefix(), q.active(), q.scheduled(), self.keys.wake()];
        keys.extend(key.map(|key| q.idempotency(key)));
        let run_at =
            if later { format!("{:.0}", self.now_ms().await + HOUR_MS as f64) } else { String::new() };
        let args = texts(&["upload", "86400000", "86400000", job, payload, "18", &run_at, key.unwrap_or("")]);
        let mut answers: Vec<(u8, String)> =
            self.call(&script, &keys, &args).await.expect("the enqueue is answered");
        answers.pop().expect("one answer for one job")
    }
}
