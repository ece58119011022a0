//! `darkroom queue workers`: the processes that work, and what each runs.

use anyhow::Context as _;

use super::age;
use crate::{
    cli::{connect, out},
    queue::inspect::{Inspector, Seen},
};

/// Prints them, one JSON object a line or for a person.
///
/// # Errors
///
/// When Redis cannot be reached.
pub async fn run(inspector: &Inspector, json: bool) -> anyhow::Result<()> {
    let workers = inspector.workers().await.context(connect::AWAY)?;
    if workers.is_empty() && !json {
        eprintln!(
            "no worker has told that it works: none runs in this namespace, or Redis has just come back"
        );
    }
    for worker in &workers {
        if json {
            out::line(serde_json::to_string(worker)?)?;
        } else {
            out::line(text(worker))?;
        }
    }
    Ok(())
}

/// A line about the process, and one about each job that it names.
fn text(seen: &Seen) -> String {
    let worker = &seen.presence;
    let slots = worker.slots.iter().map(|(kind, slots)| format!("{kind} {slots}"));
    let mut lines = vec![format!(
        "{} pid {}  {}  up {}  heard {} ago  slots: {}  running: {}",
        if worker.host.is_empty() { &worker.id } else { &worker.host },
        worker.pid,
        worker.version,
        age(worker.uptime_ms),
        age(seen.silent_ms),
        slots.collect::<Vec<_>>().join(", "),
        worker.running_jobs,
    )];
    let job = |run: &crate::queue::lease::Run| {
        format!("  {:<26}  {:<13}  {:>8}", run.job_id, run.kind, age(run.running_ms))
    };
    lines.extend(worker.running.iter().map(job));
    let unnamed = worker.running_jobs.saturating_sub(worker.running.len());
    if unnamed > 0 {
        lines.push(format!("  and {unnamed} more"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_one_line_and_each_job_that_it_runs_another() {
        let told = r#"{"beat_at_ms":9,"silent_at_ms":10,"host":"web-1","pid":7,"version":"1.2.0","uptime_ms":240000,
            "slots":{"upload":4},"running":[{"job_id":"a","kind":"upload","running_ms":640}],"running_jobs":3,"new":1}"#;
        let presence = serde_json::from_str(told).expect("words of a newer release are ignored");

        let text = text(&Seen { presence, silent_ms: 1_500 });

        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "web-1 pid 7  1.2.0  up 4 min  heard 1.5 s ago  slots: upload 4  running: 3");
        assert!(lines[1].starts_with('a') && lines[1].ends_with("640 ms"), "{lines:?}");
        assert_eq!(lines[2], "and 2 more");
    }
}
