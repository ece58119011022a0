//! A machine that lacks something, for a test: what an old kernel or a container refuses.
//!
//! Compiled with the cargo feature `test-hooks` alone.

use std::thread;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Does something in a thread whose `calls` of the kernel are answered with `ENOSYS`, also in all processes that it starts.
///
/// # Panics
///
/// Where the kernel has no seccomp.
pub fn without<T: Send>(calls: &[i64], work: impl FnOnce() -> T + Send) -> T {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().expect("a machine that has filters");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, machine).expect("calls that exist");
    let filter: BpfProgram = filter.try_into().expect("a small filter");
    let thread = move || {
        seccompiler::apply_filter(&filter).expect("a kernel that has filters");
        work()
    };
    thread::scope(|scope| scope.spawn(thread).join()).expect("its panic was told")
}

/// Without Landlock.
pub const LANDLOCK: i64 = libc::SYS_landlock_create_ruleset;
/// Without filters of system calls.
pub const SECCOMP: i64 = libc::SYS_seccomp;
/// Without memory that processes can share.
pub const SHARED_MEMORY: i64 = libc::SYS_memfd_create;
