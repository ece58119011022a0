//! Decoders, and readers of headers, that go wrong, as a test asks: by the last line of an original, after the end of its picture.
//!
//! Compiled with the cargo feature `test-hooks` alone; a released binary makes a picture of such a file.

use std::{io::Write as _, os::unix::net::UnixStream};

use darkroom_jobs::Encoding;

use super::{
    tries,
    wire::{Answer, Made, Refusal},
};

/// What the last line begins with.
pub const MARK: &str = "darkroom-fault:";

/// Holds the thread that reads the header of an original whose last line asks for it, for good.
pub(super) fn hold(original: &[u8]) {
    while fault(original) == Some("never-read") {
        std::thread::park();
    }
}

/// Does what the last line of the original asks for, if it does.
pub(super) fn commit(original: &[u8], control: &UnixStream) -> Option<Answer> {
    match fault(original)? {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "panic" => panic!("a fault that a test asked for"),
        "overflow" => Some(refused(overflow(1).to_string())),
        "loop" => loop {
            std::hint::spin_loop();
        },
        "allocate" => allocate(),
        "scribble" => scribble(),
        "try" => Some(refused([tries::for_itself(), tries::on_others()].concat().join(", "))),
        "try-for-itself" => Some(refused(tries::for_itself().join(", "))),
        "try-execve" => Some(refused(tries::execve())),
        "oversized" => Some(Answer::Made(lie(usize::MAX))),
        "unclean" => Some(Answer::Made(lie(4))),
        "babble" => {
            let said = { control }.write_all(&[0xff; 1 << 10]);
            Some(refused(format!("{said:?}")))
        }
        other => Some(refused(format!("no fault is called {other}"))),
    }
}

fn fault(original: &[u8]) -> Option<&str> {
    /// Longest last line that is looked at, bytes.
    const LONGEST: usize = 64;
    let end = &original[original.len().saturating_sub(LONGEST)..];
    let line = end.rsplit(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix(MARK)
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
