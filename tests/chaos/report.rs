//! What a scenario came to: one row of a table, printed whether or not the test's output is shown.

use std::{io::Write as _, sync::Once, time::Duration};

/// One row. Nothing may be lost.
pub struct Row {
    pub scenario: &'static str,
    /// Jobs that Redis acknowledged.
    pub enqueued: usize,
    /// Jobs that are done, their object in the bucket.
    pub completed: usize,
    /// PUTs of a picture beyond its first one.
    pub duplicates: usize,
    /// Jobs without a final receipt, and done ones without an object.
    pub lost: usize,
    /// Attempts beyond the first of each job.
    pub burnt: usize,
    /// From the fault until a job that it hit ran again.
    pub recoveries: Vec<Duration>,
    pub note: String,
}

impl Row {
    /// Prints the row, and fails when something was lost. Called before a test asserts anything else: a run that fails shows
    /// what it came to.
    pub fn hold(&self) {
        static HEAD: Once = Once::new();
        HEAD.call_once(|| {
            print("| scenario | enqueued | completed | duplicates | lost | attempts burnt | recovery p50 | max | |");
            print("|---|---|---|---|---|---|---|---|---|");
        });
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let at = |index: usize| recoveries.get(index).map_or("–".into(), seconds);
        let (middle, last) = (at(recoveries.len() / 2), at(recoveries.len().wrapping_sub(1)));
        let Self { scenario, enqueued, completed, duplicates, lost, burnt, note, .. } = self;
        print(&format!(
            "| {scenario} | {enqueued} | {completed} | {duplicates} | {lost} | {burnt} | {middle} | {last} | {note} |"
        ));
        assert_eq!(*lost, 0, "{scenario}: jobs were lost");
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Not `eprintln`, which is shown for failed tests alone.
pub fn print(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr takes a line");
}
