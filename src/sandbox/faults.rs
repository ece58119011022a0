//! Decoders that go wrong, as a test asks: by the last line of an original, after the end of its picture.
//!
//! Compiled with the cargo feature `test-hooks` alone; a released binary makes a picture of such a file.

use std::{
    fs::File,
    io::{self, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use darkroom_jobs::Encoding;

use super::wire::{Answer, Made, Refusal};

/// What the last line begins with.
pub const MARK: &str = "darkroom-fault:";

/// Does what the last line of the original asks for, if it does.
pub(super) fn commit(original: &[u8], control: &UnixStream) -> Option<Answer> {
    /// Longest last line that is looked at, bytes.
    const LONGEST: usize = 64;
    let end = &original[original.len().saturating_sub(LONGEST)..];
    let line = end.rsplit(|byte| *byte == b'\n').next()?;
    let fault = std::str::from_utf8(line).ok()?.strip_prefix(MARK)?;
    match fault {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "panic" => panic!("a fault that a test asked for"),
        "overflow" => Some(refused(overflow(1).to_string())),
        "loop" => loop {
            std::hint::spin_loop();
        },
        "allocate" => allocate(),
        "scribble" => scribble(),
        "try" => Some(refused(tries().join(", "))),
        "oversized" => Some(Answer::Made(lie(usize::MAX))),
        "unclean" => Some(Answer::Made(lie(4))),
        "babble" => {
            let said = { control }.write_all(&[0xff; 1 << 10]);
            Some(refused(format!("{said:?}")))
        }
        other => Some(refused(format!("no fault is called {other}"))),
    }
}

fn refused(text: String) -> Answer {
    Answer::Refused(Refusal::Corrupt(text))
}

fn lie(jpeg: usize) -> Made {
    let (thumbhash, dominant) = ("AAAA".into(), "#000000".into());
    let encoding = Encoding::Reencoded;
    Made {
        jpeg,
        width: 1,
        height: 1,
        icc: None,
        thumbhash,
        dominant,
        encoding,
        warnings: Vec::new(),
        timings: [0; 3],
    }
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn overflow(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 512]);
    overflow(depth + 1) + kept[0]
}

fn allocate() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

fn scribble() -> ! {
    let mut at = std::hint::black_box(Box::new(0_u8)).as_mut() as *mut u8;
    loop {
        // SAFETY: none; it writes where nothing is, until the kernel ends it.
        unsafe {
            at.write_volatile(1);
            at = at.wrapping_add(4096);
        }
    }
}

/// What a decoder that was taken over would try, each with what became of it.
fn tries() -> Vec<String> {
    let parent = std::os::unix::process::parent_id();
    let told = |what: &str, result: io::Result<()>| match result {
        Ok(()) => format!("{what} succeeded"),
        Err(error) => format!("{what} {}", error.raw_os_error().unwrap_or_default()),
    };
    vec![
        told("file", File::open("/etc/passwd").map(drop)),
        told("create", File::create("/tmp/darkroom-fault").map(drop)),
        told("socket", TcpStream::connect("127.0.0.1:1").map(drop)),
        told("memory", File::open(format!("/proc/{parent}/mem")).map(drop)),
        told("read", read_parent(parent)),
        told("trace", trace(parent)),
        told("signal", signal(parent)),
        told("fork", fork()),
        told("thread", std::thread::Builder::new().spawn(|| {}).map(drop)),
        told("limit", super::sys::limit(None, super::sys::Resource::CoreDump, 0, true)),
        told("execute", execute()),
    ]
}

fn checked(answer: i64) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn read_parent(parent: u32) -> io::Result<()> {
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
