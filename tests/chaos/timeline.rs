//! When deliveries began and ended, from the workers' logs; and how long a job that a fault hit waited for its next one.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use darkroom_jobs::Timestamp;
use serde_json::Value;

use crate::support::darkroom::Worker;

/// What makes a worker log the steps of its jobs.
pub const STEPS: (&str, &str) = ("DARKROOM_LOG", "info,darkroom::handlers::step=debug");

/// When a worker was started, killed, frozen or told to stop.
pub struct Moment {
    log: PathBuf,
    at_ms: u64,
}

impl Moment {
    /// Now.
    pub fn of(worker: &Worker) -> Self {
        Self { log: worker.log_file().to_owned(), at_ms: now_ms() }
    }
}

/// A job came to a step.
struct Reached {
    job: String,
    step: String,
    at_ms: u64,
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970");
    u64::try_from(since.as_millis()).expect("it fits for long")
}

/// How long a job that a worker held when it was hit waited until it began again anywhere.
pub struct Wait {
    pub job: String,
    pub took: Duration,
}

/// All that waited and began again.
pub fn waits(folder: &Path, hits: &[Moment]) -> Vec<Wait> {
    let logs: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .map(|path| (steps(&path), path))
        .collect();
    let waits = hits.iter().flat_map(|hit| {
        let (own, _) = logs.iter().find(|(_, path)| *path == hit.log).expect("each worker has a log");
        held(own, hit.at_ms).into_iter().filter_map(|job| {
            let others = logs.iter().filter(|(_, path)| *path != hit.log).flat_map(|(steps, _)| steps);
            let begun = others.filter(|at| at.step == "claimed" && at.job == job && at.at_ms >= hit.at_ms);
            let took = Duration::from_millis(begun.map(|at| at.at_ms).min()? - hit.at_ms);
            Some(Wait { job: job.to_owned(), took })
        })
    });
    waits.collect()
}

/// The same without the jobs.
pub fn recoveries(folder: &Path, hits: &[Moment]) -> Vec<Duration> {
    waits(folder, hits).into_iter().map(|wait| wait.took).collect()
}

/// How long a worker took at most until it served its queues, of those that came so far.
pub fn longest_start(starts: &[Moment]) -> Duration {
    let took = starts.iter().filter_map(|start| {
        let text = std::fs::read_to_string(&start.log).ok()?;
        let line = text.lines().find(|line| line.contains("queue served"))?;
        let served = at_ms(&serde_json::from_str(line).ok()?)?;
        Some(Duration::from_millis(served.saturating_sub(start.at_ms)))
    });
    took.max().expect("a worker started")
}

/// Jobs that were begun by then, and not settled.
fn held(steps: &[Reached], at_ms: u64) -> HashSet<&str> {
    let until = |step: &'static str| {
        steps.iter().filter(move |at| at.step == step && at.at_ms <= at_ms).map(|at| &*at.job)
    };
    let settled: HashSet<_> = until("settled").collect();
    until("claimed").filter(|job| !settled.contains(job)).collect()
}

fn steps(log: &Path) -> Vec<Reached> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("step reached"));
    lines.filter_map(|line| step(&serde_json::from_str(line).ok()?)).collect()
}

fn step(line: &Value) -> Option<Reached> {
    let at_ms = at_ms(line)?;
    let (job, step) = (line["span"]["job.id"].as_str()?, line["step"].as_str()?);
    Some(Reached { job: job.to_owned(), step: step.to_owned(), at_ms })
}

fn at_ms(line: &Value) -> Option<u64> {
    let at: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    Some(at.unix_ms())
}
