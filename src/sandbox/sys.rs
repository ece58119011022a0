//! The system calls that the standard library has no word for: the only unsafe code, a proof for each block.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _},
};

use libc::{c_int, c_ulong, rlimit};

/// A resource of a process that the kernel bounds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    /// Addresses, bytes.
    AddressSpace,
    /// Of the processor, since the process began, s.
    CpuSeconds,
    /// Size of a core dump, bytes.
    CoreDump,
    /// Offset that may be written in a file, bytes.
    FileSize,
    /// Memory that cannot be swapped, bytes.
    LockedMemory,
    /// Numbers of descriptors that may still be given.
    OpenFiles,
    /// Processes and threads of the same user.
    Processes,
}

/// An anonymous file of `len` bytes, as sparse as it is new, that nobody can make longer or shorter any more.
///
/// Whoever shares it with a stranger needs the seal: a mapping of a file that was cut short kills who reads it.
pub(super) fn shared_memory(len: u64) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag that forbids to execute it.
    let file = memfd(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| memfd(flags))?;
    file.set_len(len)?;
    let seals = libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: no memory is passed, and the descriptor is open as long as `file`.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

fn memfd(flags: libc::c_uint) -> io::Result<File> {
    // SAFETY: the name is a string that ends with a zero and lives for ever.
    let fd = checked(unsafe { libc::memfd_create(c"darkroom-picture".as_ptr(), flags) })?;
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Gives the memory behind a part of a file back; the part is zeros then. Offsets in bytes.
pub(super) fn punch(file: &File, from: u64, len: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let (from, len) = (offset(from)?, offset(len)?);
    // SAFETY: no memory is passed, and the descriptor is open as long as `file`.
    checked(unsafe { libc::fallocate(file.as_raw_fd(), mode, from, len) }).map(drop)
}

fn offset(bytes: u64) -> io::Result<libc::off_t> {
    bytes.try_into().map_err(io::Error::other)
}

/// Bounds what this process (`None`) or another of the same user may have, never above what it may have already. A process
/// can raise its own limit again unless it is `for_good`; then nobody without privileges can.
pub(super) fn limit(process: Option<u32>, resource: Resource, most: u64, for_good: bool) -> io::Result<()> {
    let which = match resource {
        Resource::AddressSpace => libc::RLIMIT_AS,
        Resource::CpuSeconds => libc::RLIMIT_CPU,
        Resource::CoreDump => libc::RLIMIT_CORE,
        Resource::FileSize => libc::RLIMIT_FSIZE,
        Resource::LockedMemory => libc::RLIMIT_MEMLOCK,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
    };
    let process = process.map_or(Ok(0), libc::pid_t::try_from).map_err(io::Error::other)?;
    let mut limits = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limits` lives through the call, and no new ones are given.
    checked(unsafe { libc::prlimit(process, which, std::ptr::null(), &raw mut limits) })?;
    limits.rlim_cur = most.min(limits.rlim_max);
    if for_good {
        limits.rlim_max = limits.rlim_cur;
    }
    // SAFETY: `limits` lives through the call, and the old ones are not asked for.
    checked(unsafe { libc::prlimit(process, which, &raw const limits, std::ptr::null_mut()) }).map(drop)
}

/// Has the kernel kill this process as soon as the thread that started it ends.
pub(super) fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong)
}

/// Forbids others of the same user to look into this process, and core dumps.
pub(super) fn hide_memory() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Forbids to gain rights by executing a file that has them.
pub(super) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// The name of this process for `ps` and `top`.
pub(super) fn name_decoder() -> io::Result<()> {
    // SAFETY: the name is a string of at most 15 bytes that ends with a zero and lives for ever.
    checked(unsafe { libc::prctl(libc::PR_SET_NAME, c"darkroom-decode".as_ptr()) }).map(drop)
}

fn prctl(option: c_int, value: c_ulong) -> io::Result<()> {
    const NONE: c_ulong = 0;
    // SAFETY: the options that are used here take numbers, no memory.
    checked(unsafe { libc::prctl(option, value, NONE, NONE, NONE) }).map(drop)
}

/// Ignores a signal of this process.
pub(super) fn ignore(signal: c_int) -> io::Result<()> {
    // SAFETY: no handler of ours is installed.
    if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor from `first` on, whoever left it open. To be called before any was opened here.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    /// As many as a process usually may have; for kernels before 5.9, which cannot close all at once.
    const USUAL: c_int = 1024;
    // SAFETY: no memory is passed; at the start of a process nothing of ours owns these descriptors.
    let all = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if all == 0 {
        return Ok(());
    }
    let first = c_int::try_from(first).map_err(io::Error::other)?;
    for fd in first..USUAL {
        // SAFETY: as above; most of them are not open, which is no harm.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// A part of shared memory that this process reads.
#[derive(Debug)]
pub(super) struct Mapping {
    at: *const u8,
    len: usize,
}

impl Mapping {
    /// The first `len` bytes of a file whose size is sealed.
    pub fn new(file: &File, len: usize) -> io::Result<Self> {
        let (any, read, shared) = (std::ptr::null_mut(), libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: the kernel chooses a place where nothing is, so that nothing of ours is replaced.
        let at = unsafe { libc::mmap(any, len, read, shared, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { at: at.cast(), len })
    }

    /// The first `len` bytes as they are now, if there are so many. The other process must not write while they are
    /// looked at: it does not before it has our answer.
    pub fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        if len > self.len {
            return None;
        }
        // SAFETY: `self.len` bytes are mapped until the process ends, and readable, as the file cannot be cut short.
        // The parent writes them only between our answer and its next request, when no such borrow is alive.
        Some(unsafe { std::slice::from_raw_parts(self.at, len) })
    }
}

/// Has the allocator keep up to `bytes` that were freed, instead of giving every large piece back at once: the kernel
/// clears each page of a new one, which costs a photo of 12 MP a sixth of its time.
pub(super) fn keep_memory(bytes: c_int) {
    #[cfg(target_env = "gnu")]
    // SAFETY: two figures of the allocator change, at a time when this process has one thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, c_int::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Gives back what the allocator has kept.
pub(super) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no memory of ours, only unused pages of the allocator.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn checked(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
