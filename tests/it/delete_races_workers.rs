//! Workers that hold jobs before something that they ask Redis or the bucket, or at a step, and what their logs tell of it.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use darkroom::config::steps::Step;
use darkroom_jobs::JobId;
use serde_json::Value;

use crate::support::{
    darkroom::{TestDarkroom, Worker},
    deleting::QUICK,
};

/// Where a job is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Step(Step),
    /// Before what it asks as the n-th, from 0.
    Call(usize),
}

impl At {
    fn word(self) -> String {
        match self {
            Self::Step(step) => step.as_str().to_owned(),
            Self::Call(number) => format!("call-{number}"),
        }
    }

    /// Every place of a job that asks so often.
    pub fn all(calls: usize) -> impl Iterator<Item = Self> {
        let before = [Self::Step(Step::Claimed)];
        let after = [Self::Step(Step::Settling), Self::Step(Step::Settled)];
        before.into_iter().chain((0..calls).map(Self::Call)).chain(after)
    }
}

pub fn release(darkroom: &TestDarkroom, queue: &str) -> PathBuf {
    darkroom.folder().join(format!("let-{queue}-go-on"))
}

/// A worker of one queue that holds each of the jobs at its place.
pub fn held<'a>(
    darkroom: &TestDarkroom,
    queue: &str,
    stops: impl Iterator<Item = (At, &'a JobId)>,
) -> Worker {
    let until = release(darkroom, queue);
    let stop = |(at, job): (At, &JobId)| format!("{},job={job},until={}", at.word(), until.display());
    // What is asked is counted, and told in the log, wherever a job is held.
    let count = |(at, job): (At, &JobId)| matches!(at, At::Step(_)).then(|| format!("call-9999,job={job}"));
    let stops: Vec<_> = stops.flat_map(|one| [Some(stop(one)), count(one)]).flatten().collect();
    worker(darkroom, queue, &stops.join(";"))
}

pub fn worker(darkroom: &TestDarkroom, queue: &str, stops: &str) -> Worker {
    let mut more = vec![
        QUICK,
        ("DARKROOM_QUEUES", queue),
        ("DARKROOM_RETRY_BASE_MS", "200"),
        ("DARKROOM_CONCURRENCY_UPLOAD", "100"),
        ("DARKROOM_CONCURRENCY_DELETE", "100"),
        // Asked once for a process, which is no part of a job.
        ("S3_CONDITIONAL_WRITES", "on"),
        // A download that is held is none that takes long.
        ("S3_OPERATION_TIMEOUT_MS", "600000"),
    ];
    if !stops.is_empty() {
        more.push(("DARKROOM_TEST_STOP_AT", stops));
    }
    darkroom.worker(&more)
}

/// Lines of the log that have these words, with the id of their job.
fn lines(worker: &Worker, words: &str) -> Vec<(String, Value)> {
    let log = worker.log();
    let lines = log.lines().filter(|line| line.contains(words));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let id = |line: &Value| Some(line.pointer("/span/job.id").or(line.get("job.id"))?.as_str()?.to_owned());
    lines.filter_map(|line| Some((id(&line)?, line))).collect()
}

/// What a job has asked.
pub fn calls(worker: &Worker, job: &JobId) -> Vec<String> {
    let lines = lines(worker, "asked, as a test counts").into_iter().filter(|(id, _)| id == job.as_str());
    let what = |line: Value| {
        line.pointer("/fields/what").or(line.get("what")).and_then(Value::as_str).map(str::to_owned)
    };
    lines.map(|(_, line)| what(line).unwrap_or_else(|| panic!("a call has no name"))).collect()
}

/// What a job that is held has asked and was told.
pub fn answered(worker: &Worker, job: &JobId, at: At) -> Vec<String> {
    let mut calls = calls(worker, job);
    if let At::Call(number) = at {
        calls.truncate(number);
    }
    calls
}

/// Returns when so many jobs are held, within a minute: some forty pictures are made for it.
pub async fn all_stopped(worker: &Worker, jobs: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stopped: BTreeSet<_> = lines(worker, "stopped at a step").into_iter().map(|(id, _)| id).collect();
        if stopped.len() == jobs {
            return;
        }
        let settled = || {
            worker.log().lines().filter(|line| line.contains("job settled")).collect::<Vec<_>>().join("\n")
        };
        assert!(Instant::now() < deadline, "{} of {jobs} jobs stopped; {}", stopped.len(), settled());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
