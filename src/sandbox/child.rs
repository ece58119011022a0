//! The other side of the wall: a process that makes one picture after another, and can do nothing else.
//!
//! It is this program again, with an empty environment: standard input is a socket to the parent, standard output the
//! shared memory, standard error takes last words.

use std::{
    error::Error as StdError,
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream},
    },
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    jail, shared, sys,
    wire::{self, Answer, Hello, Made, Refusal, Request},
};
use crate::imaging::{self, Stage};

/// The word of the command line that makes a process a decoder; it is for darkroom itself and in no help.
pub const SUBCOMMAND: &str = "decoder";

/// For a test: the words that leave a part of the wall out, to see what the rest holds by itself.
pub const WITHOUT_LIMITS: &str = "without-limits";
/// See [`WITHOUT_LIMITS`].
pub const WITHOUT_LANDLOCK: &str = "without-landlock";
/// See [`WITHOUT_LIMITS`].
pub const WITHOUT_SECCOMP: &str = "without-seccomp";

/// What is kept of one picture for the next, bytes, and for how long. A photo of 12 MP needs some 75 MB; what is kept is in
/// nobody's budget, so that it goes before a large picture elsewhere has filled its own.
const KEPT: i32 = 128 << 20;
const KEPT_FOR: Duration = Duration::from_millis(500);

/// Makes pictures until the parent closes its end, or ends. `words` follow [`SUBCOMMAND`] on the command line.
pub fn run(words: &[OsString]) -> ExitCode {
    let Err(error) = serve(words) else { return ExitCode::SUCCESS };
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    eprintln!("{text}");
    ExitCode::from(70)
}

fn serve(words: &[OsString]) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let parent = words.first().and_then(|word| word.to_str()?.parse().ok());
    jail::bind_to_parent(parent.ok_or("a decoder is started by darkroom itself")?)?;
    let control = UnixStream::from(own(io::stdin().as_fd())?);
    control.set_read_timeout(Some(KEPT_FOR))?;
    let memory = File::from(own(io::stdout().as_fd())?);
    sys::keep_memory(KEPT);
    let mut mapping = sys::Mapping::new(&memory, shared::ORIGINAL)?;
    let address_space = jail::address_space()?;
    let held_by = jail::lock(shared::SIZE, parts(words))?;
    wire::send(&control, &Hello { version: env!("CARGO_PKG_VERSION").into(), address_space, held_by })?;

    let mut has_kept = false;
    loop {
        let request: Request = match wire::receive(&control, None) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if std::mem::take(&mut has_kept) {
                    imaging::rest();
                    sys::give_memory_back();
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        has_kept = true;
        let original = mapping.bytes(request.original).ok_or("the original is longer than its room")?;
        #[cfg(feature = "test-hooks")]
        if let Some(answer) = super::faults::commit(original, &control) {
            wire::send(&control, &answer)?;
            continue;
        }
        wire::send(&control, &answer(original, &request, &memory)?)?;
    }
}

fn parts(words: &[OsString]) -> jail::Parts {
    let is_up = |without: &str| !(cfg!(feature = "test-hooks") && words.iter().any(|word| word == without));
    jail::Parts {
        limits: is_up(WITHOUT_LIMITS),
        landlock: is_up(WITHOUT_LANDLOCK),
        seccomp: is_up(WITHOUT_SECCOMP),
    }
}

fn own(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// Makes the picture and leaves its JPEG in the shared memory. A panic ends the process: the parent starts another.
fn answer(original: &[u8], request: &Request, memory: &File) -> io::Result<Answer> {
    let (mut timings, mut since) = ([Duration::ZERO; 3], Instant::now());
    let made = imaging::normalize(original, &request.preset, &request.limits, &mut |stage| {
        let at = match stage {
            Stage::Decoded => 0,
            Stage::Resized => return,
            Stage::Processed => 1,
            Stage::Encoded => 2,
        };
        timings[at] = since.elapsed();
        since = Instant::now();
    });
    match made {
        Ok(made) if made.jpeg.len() <= shared::RESULT => {
            memory.write_all_at(&made.jpeg, shared::ORIGINAL as u64)?;
            Ok(Answer::Made(Made::new(&made, timings)))
        }
        Ok(made) => {
            let (bytes, most) = (made.jpeg.len(), shared::RESULT);
            Ok(Answer::Refused(Refusal::Encode(format!("{bytes} bytes, at most {most}"))))
        }
        Err(error) => Ok(Answer::Refused(error.into())),
    }
}
