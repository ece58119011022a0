//! What processes there are, as `/proc` tells.

use std::{
    fs,
    time::{Duration, Instant},
};

/// The processes that were started by this one and are still there.
pub fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|process| status(*process, "PPid:") == Some(parent.to_string())).collect()
}

/// Whether a process is there, and is more than a status that nobody has asked for.
pub fn is_alive(process: u32) -> bool {
    status(process, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A line of `/proc/<process>/status`.
pub fn status(process: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

/// Waits, at most 10 s, for what must become true.
pub async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_true() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
