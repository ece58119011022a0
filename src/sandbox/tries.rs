//! What a decoder that was taken over would try, for a test: each is told with what became of it.
//!
//! Compiled with the cargo feature `test-hooks` alone.

use std::{
    fs::{self, File},
    io,
    net::{TcpListener, UdpSocket},
    os::unix::net::{UnixDatagram, UnixStream},
    thread,
};

use super::sys::{self, Resource};

/// What succeeds in any process that nothing holds; each leaves things as they were.
pub(super) fn for_itself() -> Vec<String> {
    let new = format!("/tmp/darkroom-fault-{}", std::process::id());
    vec![
        told("file", File::open("/etc/passwd").map(drop)),
        told("create", File::create(&new).and_then(|_| fs::remove_file(&new))),
        told("folder", fs::create_dir(&new).and_then(|()| fs::remove_dir(&new))),
        told("path", path()),
        told("memfd", sys::shared_memory(1).map(drop)),
        told("tcp", TcpListener::bind("127.0.0.1:0").map(drop)),
        told("udp", UdpSocket::bind("127.0.0.1:0").map(drop)),
        told("unix", UnixDatagram::unbound().map(drop)),
        told("pair", UnixStream::pair().map(drop)),
        told("fork", fork()),
        told("thread", thread::Builder::new().spawn(|| {}).map(drop)),
        told("execute", execute()),
        told("limit", sys::limit(None, Resource::CoreDump, 0, true)),
        told("io_uring", io_uring()),
    ]
}

/// What reaches for the parent.
pub(super) fn on_others() -> Vec<String> {
    let parent = std::os::unix::process::parent_id();
    vec![
        told("memory", File::open(format!("/proc/{parent}/mem")).map(drop)),
        told("read", read(parent)),
        told("trace", trace(parent)),
        told("signal", signal(parent)),
    ]
}

/// To become another program; when that succeeds nobody is left to tell.
pub(super) fn execve() -> String {
    let (program, argument) = (c"/proc/self/exe", c"--version");
    let words = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: all strings end with a zero, both lists with a null pointer, and all live through the call.
    let answer = unsafe { libc::execve(program.as_ptr(), words.as_ptr(), environment.as_ptr()) };
    told("execve", checked(answer.into()))
}

/// In few words: what a decoder says of a picture is cut after 200 characters.
fn told(what: &str, result: io::Result<()>) -> String {
    match result {
        Ok(()) => format!("{what} 0"),
        Err(error) => format!("{what} {}", error.raw_os_error().unwrap_or_default()),
    }
}

fn checked(answer: i64) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that only names a file, which asks for less rights than one that reads it.
fn path() -> io::Result<()> {
    // SAFETY: the name is a string that ends with a zero and lives for ever.
    let fd = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_PATH) };
    closed(fd.into())
}

fn io_uring() -> io::Result<()> {
    /// Room for the parameters, which the kernel fills in: 120 bytes.
    const PARAMETERS: usize = 128;
    let mut parameters = [0_u8; PARAMETERS];
    // SAFETY: the parameters are larger than the kernel's, all zero as they are to be, and live through the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    closed(fd)
}

/// Of a call that gives a descriptor.
fn closed(fd: i64) -> io::Result<()> {
    checked(fd)?;
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    checked(unsafe { libc::close(fd as i32) }.into())
}

fn read(parent: u32) -> io::Result<()> {
    let mut byte = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // Where nothing is: it is refused before anybody looks there, or else fails with another error.
    let there = libc::iovec { iov_base: std::ptr::dangling_mut::<u8>().cast(), iov_len: 1 };
    // SAFETY: `here` is one byte of ours that lives through the call.
    let read =
        unsafe { libc::process_vm_readv(parent.cast_signed(), &raw const here, 1, &raw const there, 1, 0) };
    checked(read as i64)
}

fn trace(parent: u32) -> io::Result<()> {
    // SAFETY: it takes no memory.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent.cast_signed(), 0, 0) })
}

fn signal(parent: u32) -> io::Result<()> {
    // SAFETY: the signal 0 only asks whether another could be sent.
    checked(unsafe { libc::kill(parent.cast_signed(), 0) }.into())
}

fn fork() -> io::Result<()> {
    // SAFETY: a child would end at once and touch nothing.
    match unsafe { libc::fork() } {
        0 => unsafe { libc::_exit(0) },
        process => checked(process.into()),
    }
}

/// Memory that is written first and then run.
fn execute() -> io::Result<()> {
    let (any, both) = (std::ptr::null_mut(), libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    // SAFETY: the kernel chooses a place where nothing is.
    let at = unsafe { libc::mmap(any, 4096, both, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}
