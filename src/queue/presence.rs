//! What processes tell about themselves while they work: who they are, and what they run.
//!
//! Told with every beat of the [heartbeat](super::heartbeat), and forgotten by the others once it falls silent.

use std::{collections::BTreeMap, fs, process, time::Duration};

use darkroom_jobs::{
    Kind,
    redis_keys::{Keys, LAYOUT_VERSION},
};
use redis::{Connection, RedisResult};
use serde::{Deserialize, Serialize};

use super::{
    clock::milliseconds,
    lease::{Leases, Run},
    scripts,
};

/// Beats in a row that a process may miss before it counts as gone.
const MISSED: u32 = 5;

/// It counts as gone no earlier than that: a fail-over of Redis takes longer than some beats.
const SILENCE: Duration = Duration::from_secs(60);

/// Jobs that one process names, the longest first.
const NAMED: usize = 100;

/// Who a process is, told the same in every beat.
#[derive(Clone, Debug)]
pub struct Identity {
    id: String,
    host: String,
    slots: BTreeMap<Kind, usize>,
    silent: Duration,
    started: std::time::Instant,
}

/// What one process last told. Of a newer release's words only those that this one knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Chosen when it started.
    #[serde(default)]
    pub id: String,
    /// When it told so, Redis ms.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub beat_at_ms: u64,
    /// From when on it counts as gone, Redis ms.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub silent_at_ms: u64,
    /// Name of its machine or container; empty where the system tells none.
    #[serde(default)]
    pub host: String,
    /// Number of the process there.
    #[serde(default)]
    pub pid: u32,
    /// Its release.
    #[serde(default)]
    pub version: String,
    /// The layout of the keys that it knows.
    #[serde(default)]
    pub layout: u32,
    /// How long it has been running, in milliseconds.
    #[serde(default)]
    pub uptime_ms: u64,
    /// Jobs that it may run at once, by queue.
    #[serde(default)]
    pub slots: BTreeMap<String, usize>,
    /// Jobs that it runs, at most 100, the longest first.
    #[serde(default)]
    pub running: Vec<Run>,
    /// How many it runs in all.
    #[serde(default)]
    pub running_jobs: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_unset(ms: &u64) -> bool {
    *ms == 0
}

impl Identity {
    /// Of this process; `slots`: the jobs of each queue that it may run at once, `every`: the pause between two beats.
    pub fn new(slots: &[(Kind, usize)], every: Duration) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            id: ulid::Ulid::generate().to_string(),
            host: host.trim().to_owned(),
            slots: slots.iter().copied().collect(),
            silent: SILENCE.max(every * MISSED),
            started: std::time::Instant::now(),
        }
    }

    /// The script says when.
    fn record(&self, leases: &Leases) -> Presence {
        let mut running = leases.runs();
        let running_jobs = running.len();
        running.sort_by_key(|run| std::cmp::Reverse(run.running_ms));
        running.truncate(NAMED);
        Presence {
            id: self.id.clone(),
            beat_at_ms: 0,
            silent_at_ms: 0,
            host: self.host.clone(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            layout: LAYOUT_VERSION,
            uptime_ms: milliseconds(self.started.elapsed()),
            slots: self.slots.iter().map(|(kind, slots)| (kind.as_str().to_owned(), *slots)).collect(),
            running,
            running_jobs,
        }
    }

    /// Tells what the process does; `None`: it ends.
    pub(super) fn tell(
        &self,
        redis: &mut Connection,
        keys: &Keys,
        leases: Option<&Leases>,
    ) -> RedisResult<()> {
        let record =
            leases.map(|leases| serde_json::to_string(&self.record(leases)).expect("a record is plain JSON"));
        let mut call = scripts::WORKER_BEAT.key(keys.workers());
        call.arg(&self.id).arg(record.unwrap_or_default()).arg(milliseconds(self.silent));
        call.invoke(redis)
    }
}
