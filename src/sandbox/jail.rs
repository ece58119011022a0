//! What a decoder takes from itself before it sees a stranger's byte: files, network, processes, most system calls.
//!
//! Each part stands by itself, so that a kernel or a container without one of them leaves the others.

use std::{collections::BTreeMap, fs, io};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::{
    held::{HeldBy, Landlock},
    sys::{self, Resource},
};

/// The newest rights of Landlock that we know; the kernel takes those that it knows as well.
const LANDLOCK: ABI = ABI::V6;

/// Memory that a process may give to the kernel for itself is no file: `mmap` and `mprotect` are asked for this bit.
const EXECUTABLE: u64 = libc::PROT_EXEC as u64;

/// Which parts of the wall go up: all of them, but for a test that looks at what each holds by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub limits: bool,
    pub landlock: bool,
    pub seccomp: bool,
}

/// Why a decoder did not begin.
#[derive(Debug, thiserror::Error)]
#[error("could not {0}")]
pub(super) struct Error(&'static str, #[source] io::Error);

/// Goes down with the parent, deaf for the signals that a terminal sends to all: the parent decides. Called first.
///
/// # Errors
///
/// When the parent is gone already, or the kernel refuses one of it.
pub(super) fn bind_to_parent(parent: u32) -> Result<(), Error> {
    sys::close_from(3).map_err(|error| Error("close what was left open", error))?;
    sys::die_with_parent().map_err(|error| Error("ask to die with the parent", error))?;
    if std::os::unix::process::parent_id() != parent {
        return Err(Error("find the parent", io::ErrorKind::NotFound.into()));
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        sys::ignore(signal).map_err(|error| Error("ignore a signal", error))?;
    }
    // Nothing depends on the name and on being the first to go when memory is short; a container may refuse.
    let _ = sys::name_decoder();
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// Addresses that this process has, bytes.
///
/// # Errors
///
/// When `/proc` is not there.
pub(super) fn address_space() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let kib: u64 = size.ok_or(io::ErrorKind::InvalidData)?.parse().map_err(io::Error::other)?;
    Ok(kib << 10)
}

/// Gives everything up, for good.
///
/// # Errors
///
/// When a limit cannot be set. A kernel without Landlock or seccomp is none: the answer tells.
pub(super) fn lock(writable: u64, parts: Parts) -> Result<HeldBy, Error> {
    sys::hide_memory().map_err(|error| Error("hide the memory", error))?;
    sys::no_new_privileges().map_err(|error| Error("give up new privileges", error))?;
    let landlock = if parts.landlock { landlock() } else { Landlock::Missing };
    if parts.limits {
        limit(writable)?;
    }
    Ok(HeldBy { landlock, seccomp: parts.seccomp && seccomp() })
}

fn limit(writable: u64) -> Result<(), Error> {
    for (resource, most) in [
        (Resource::CoreDump, 0),
        (Resource::FileSize, writable),
        (Resource::LockedMemory, 0),
        (Resource::OpenFiles, 0),
        (Resource::Processes, 0),
    ] {
        sys::limit(None, resource, most, true).map_err(|error| Error("set a limit", error))?;
    }
    Ok(())
}

/// Whether no file, no port and no process outside can be reached any more.
fn landlock() -> Landlock {
    let restricted = || -> Result<RestrictionStatus, landlock::RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .restrict_self()
    };
    restricted().map_or(Landlock::Missing, |status| how_much(status.ruleset))
}

fn how_much(status: RulesetStatus) -> Landlock {
    match status {
        RulesetStatus::FullyEnforced => Landlock::Whole,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::Missing,
    }
}

/// Whether system calls that no picture needs fail from now on.
fn seccomp() -> bool {
    filter().is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok())
}

/// What may be called. Everything else is answered with `EPERM` and not with death: a new version of libc that tries
/// something of no importance must not end every picture.
fn filter() -> Option<BpfProgram> {
    let mut rules = BTreeMap::new();
    for call in ALLOWED {
        rules.insert(*call, Vec::new());
    }
    let not_executable = SeccompCmpOp::MaskedEq(EXECUTABLE);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![only(2, not_executable.clone(), 0)?]);
    }
    // `abort` sends itself a signal; nobody else gets one.
    rules.insert(libc::SYS_tgkill, vec![only(0, SeccompCmpOp::Eq, std::process::id().into())?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, machine).ok()?.try_into().ok()
}

fn only(argument: u8, is: SeccompCmpOp, value: u64) -> Option<SeccompRule> {
    SeccompRule::new(vec![SeccompCondition::new(argument, Dword, is, value).ok()?]).ok()
}

/// Descriptors are 0 to 2 and stay so: a socket to the parent, the shared memory, a pipe for last words.
const ALLOWED: &[i64] = &[
    // Messages and JPEGs.
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_write,
    libc::SYS_sendto,
    libc::SYS_pwrite64,
    libc::SYS_close,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Locks, seeds of hash tables, time, what std asks of itself.
    libc::SYS_clock_gettime,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Panics, aborts, the end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_knows_some_rights_alone_is_not_taken_for_one_that_knows_all() {
        assert_eq!(how_much(RulesetStatus::FullyEnforced), Landlock::Whole);
        assert_eq!(how_much(RulesetStatus::PartiallyEnforced), Landlock::Partial);
        assert_eq!(how_much(RulesetStatus::NotEnforced), Landlock::Missing);
    }

    #[test]
    fn the_filter_is_one_that_the_kernel_can_take_on_the_machines_that_we_build_for() {
        let program = filter().expect("it can be compiled");

        // The kernel's own limit for a program.
        assert!(program.len() < 4096, "{}", program.len());
    }
}
