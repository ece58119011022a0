//! What the machine has.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// The least of what the cgroups around this process and the machine have.
fn available() -> u64 {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&cgroups).into_iter();
    let limits = limits.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    limits.chain(machine()).min().unwrap_or(UNKNOWN)
}

/// Where the limits of a process are written, given its `/proc/self/cgroup`: in its own cgroup and in all around it. A
/// container sees its own as the root; a unit of systemd does not.
fn limit_files(cgroups: &str) -> Vec<PathBuf> {
    cgroups.lines().chain(["0::/", "0:memory:/"]).filter_map(memory_cgroup).flatten().collect()
}

/// `0::/path` is version 2, `4:cpu,memory:/path` version 1.
fn memory_cgroup(line: &str) -> Option<impl Iterator<Item = PathBuf>> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let around = Path::new(path).ancestors();
    Some(
        around.map(move |cgroup| Path::new(root).join(cgroup.strip_prefix("/").unwrap_or(cgroup)).join(file)),
    )
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(cgroups: &str) -> Vec<String> {
        limit_files(cgroups).into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_unit_of_systemd_is_limited_by_its_own_cgroup_and_those_around_it() {
        let files = files("0::/system.slice/darkroom.service\n");

        assert_eq!(
            files[..3],
            [
                "/sys/fs/cgroup/system.slice/darkroom.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn the_first_version_of_cgroups_is_read_where_memory_is_named() {
        let files = files("5:cpu,cpuacct:/a\n4:hugetlb,memory:/docker/42\n");

        assert_eq!(files[0], "/sys/fs/cgroup/memory/docker/42/memory.limit_in_bytes");
        assert!(!files.iter().any(|file| file.contains("/a/")), "{files:?}");
    }

    #[test]
    fn a_container_is_limited_by_the_root_that_it_sees() {
        assert!(files("").contains(&"/sys/fs/cgroup/memory.max".to_owned()));
    }
}
