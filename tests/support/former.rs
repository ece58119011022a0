//! The scripts of the former release that this one has changed: in a rolling deploy both work on the same queues.
//!
//! When a script changes, its last text goes to `tests/former`, in the place of an older one.

use std::sync::LazyLock;

use redis::{RedisResult, Script};

use super::scripts::{Row, Scripts, Settling};

static JOBS_CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../former/jobs_claim.lua")));
static JOB_SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../former/job_settle.lua")));
static ENQUEUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../former/enqueue.lua")));

impl Scripts {
    /// As a worker of the former release claims.
    pub async fn former_claim(&mut self, tokens: &[&str]) -> Vec<Row> {
        self.claim_with(&JOBS_CLAIM, tokens).await
    }

    /// As a producer of the former release enqueues.
    pub async fn former_enqueue(&mut self, job: &str) {
        self.enqueue_with(&ENQUEUE, job).await;
    }

    /// As a worker of the former release settles.
    pub async fn former_settle(&mut self, job: &str, token: &str, says: &Settling<'_>) -> RedisResult<u8> {
        let q = &self.queue;
        let meta = format!("{}{job}", q.meta_prefix());
        let sets = [q.leases(), q.data(), meta.clone(), q.scheduled(), q.done(), q.dead(), q.stats()];
        let keys = [&sets[..], &[self.keys.events(), self.keys.settled(), meta]].concat();
        let status = if says.outcome == "dead" { "failed" } else { says.outcome };
        let (attempts, after_ms) = (says.attempts.to_string(), says.after_ms.to_string());
        let receipt = r#"{"status":"it"}"#;
        let first = [job, token, says.outcome, status, receipt, says.event, &attempts, &after_ms, says.note];
        let args = [&first[..], &["0", "0", "", "0", ""]].concat();
        let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
        self.call(&JOB_SETTLE, &keys, &args).await
    }
}
