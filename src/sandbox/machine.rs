//! What the machine has.

use std::fs;

use crate::config::Memory;

/// Taken when neither a cgroup nor the machine tells, bytes.
const UNKNOWN: u64 = 1 << 30;

/// Bytes that a setting means here.
pub(super) fn bytes(memory: Memory) -> u64 {
    match memory {
        Memory::Bytes(bytes) => bytes,
        Memory::Percent(percent) => available() / 100 * u64::from(percent),
    }
}

/// The least of what the cgroup (v2 or v1) and the machine have.
fn available() -> u64 {
    let cgroups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = cgroups.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    limits.chain(machine()).min().unwrap_or(UNKNOWN)
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
