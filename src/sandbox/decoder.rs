//! The parent's hold on one decoder: a process that makes a picture at a time, and may die of any.

use std::{
    ffi::OsString,
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Error, Photo,
    answer::{Lie, printable},
    child::SUBCOMMAND,
    held::HeldBy,
    place::Work,
    shared::Shared,
    sys::{self, Resource},
    wire::{self, Answer, Hello, Request},
};

/// Until a decoder is ready; it takes some ms.
const START_TIME: Duration = Duration::from_secs(10);

/// What a decoder may have beside the memory that was set aside for its picture, bytes: its stack, and what the
/// allocator keeps of earlier pictures and does not find a use for.
const SLACK: u64 = 256 << 20;

/// What it may have of the processor beside the deadline: the deadline comes first, unless the parent stands still.
const CPU_SLACK: Duration = Duration::from_secs(10);

/// After so many pictures, or so much time with them, a decoder is replaced: whatever it has gathered goes with it.
const MAX_SERVED: u32 = 1_000;
const MAX_BUSY: Duration = Duration::from_secs(60);

/// Last words that are kept, bytes.
const MAX_WORDS: u64 = 4 << 10;

/// What std says when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// The program that decoders run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable of darkroom.
    pub path: PathBuf,
    /// What its command line says behind the parent's number; for tests.
    pub words: Vec<OsString>,
}

impl Program {
    /// The executable that runs now, though its file may have been replaced.
    pub fn this() -> Self {
        Self::at("/proc/self/exe")
    }

    /// Another one of the same version.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), words: Vec::new() }
    }
}

/// Why no decoder began.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are no more descriptors, or no memory for one.
    #[error("could not make a socket to a decoder")]
    Socket(#[source] io::Error),
    /// `memfd_create` was refused, or its seals.
    #[error("could not make memory to share with a decoder")]
    SharedMemory(#[source] io::Error),
    /// The program is gone, or there are too many processes.
    #[error("could not start {}", .0.display())]
    Spawn(PathBuf, #[source] io::Error),
    /// The process is no decoder of this version, or was refused what it needs.
    #[error("the decoder did not become ready: {words}")]
    NotReady {
        /// What it wrote last.
        words: String,
        /// What was heard of it instead.
        #[source]
        cause: io::Error,
    },
}

/// Why there was no answer; the decoder is of no more use.
#[derive(Debug)]
pub(super) enum Failure {
    /// The machine refused what a picture needs before the decoder saw it, or afterwards: nobody's fault.
    Machine(io::Error),
    Late,
    Lied(Lie),
    Lost(io::Error),
}

/// How a decoder ended.
#[derive(Debug)]
pub(super) struct Death {
    /// What the picture is to blame for.
    pub error: Error,
    /// Signal or exit code, or what it said wrong.
    pub how: String,
    /// The end of what it wrote to standard error, printable.
    pub words: String,
}

/// A decoder that is ready. Dropping it kills the process and waits until it is gone.
#[derive(Debug)]
pub(super) struct Decoder {
    process: Child,
    control: Arc<UnixStream>,
    words: UnixStream,
    shared: Shared,
    address_space: u64,
    held_by: HeldBy,
    served: u32,
    busy: Duration,
}

impl Decoder {
    /// Starts a process and waits until it is ready. It dies with the thread that calls this.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, is another version, or was refused what it needs.
    pub fn start(program: &Program) -> Result<Self, StartError> {
        let mut decoder = Self::spawn(program)?;
        match decoder.hello() {
            Ok(hello) => {
                decoder.address_space = hello.address_space;
                decoder.held_by = hello.held_by;
                Ok(decoder)
            }
            Err(cause) => {
                decoder.kill();
                Err(StartError::NotReady { words: decoder.last_words(), cause })
            }
        }
    }

    /// Without an environment, with nothing open but its three descriptors. What it may is its own first business.
    fn spawn(program: &Program) -> Result<Self, StartError> {
        let (control, theirs) = UnixStream::pair().map_err(StartError::Socket)?;
        let (words, their_words) = UnixStream::pair().map_err(StartError::Socket)?;
        let (shared, memory) = Shared::new().map_err(StartError::SharedMemory)?;
        control.set_write_timeout(Some(START_TIME)).map_err(StartError::Socket)?;
        words.set_nonblocking(true).map_err(StartError::Socket)?;
        #[expect(clippy::disallowed_methods, reason = "the sandbox starts decoders")]
        let process = Command::new(&program.path)
            .arg0("darkroom")
            .args([SUBCOMMAND, &std::process::id().to_string()])
            .args(&program.words)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(memory)
            .stderr(OwnedFd::from(their_words))
            .spawn()
            .map_err(|error| StartError::Spawn(program.path.clone(), error))?;
        let (control, held_by) = (Arc::new(control), HeldBy::default());
        Ok(Self {
            process,
            control,
            words,
            shared,
            address_space: 0,
            held_by,
            served: 0,
            busy: Duration::ZERO,
        })
    }

    fn hello(&self) -> io::Result<Hello> {
        let hello: Option<Hello> = wire::receive(&self.control, Some(Instant::now() + START_TIME))?;
        let hello = hello.ok_or(io::ErrorKind::UnexpectedEof)?;
        if hello.version != env!("CARGO_PKG_VERSION") {
            return Err(io::Error::other("it is another version"));
        }
        Ok(hello)
    }

    /// What holds it besides its limits.
    pub fn held_by(&self) -> HeldBy {
        self.held_by
    }

    /// Its end of the conversation; shutting it down ends a picture early.
    pub fn control(&self) -> &Arc<UnixStream> {
        &self.control
    }

    /// Whether it has done enough.
    pub fn is_spent(&self) -> bool {
        self.served >= MAX_SERVED || self.busy >= MAX_BUSY
    }

    /// Whether it has died since its last picture, as one that the kernel takes when memory is short.
    pub fn is_gone(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    /// Has a picture made, or refused, within the deadline.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the decoder has to be [ended](Self::end).
    pub fn make(&mut self, work: &Work, deadline: Duration) -> Result<Result<Photo, Error>, Failure> {
        let started = Instant::now();
        let made = self.converse(work, started, deadline);
        self.served += 1;
        self.busy += started.elapsed();
        made
    }

    fn converse(
        &self,
        work: &Work,
        started: Instant,
        deadline: Duration,
    ) -> Result<Result<Photo, Error>, Failure> {
        self.prepare(work, deadline).map_err(Failure::Machine)?;
        let (preset, limits) = (work.preset, work.limits.clone());
        wire::send(&self.control, &Request { original: work.original.len(), preset, limits })?;

        let answer: Option<Answer> = wire::receive(&self.control, Some(started + deadline))?;
        let (answer, jpeg_bytes) = match answer.ok_or(io::ErrorKind::UnexpectedEof)? {
            Answer::Refused(refusal) => (Err(refusal.into_error(&work.header)), 0),
            Answer::Made(made) => {
                let bytes = made.jpeg_bytes()?;
                let jpeg = self.shared.take_result(bytes).map_err(Failure::Machine)?;
                (Ok(made.into_photo(jpeg, &work.header, &work.preset, started.elapsed())?), bytes)
            }
        };
        self.shared.trim(work.original.len(), jpeg_bytes).map_err(Failure::Machine)?;
        Ok(answer)
    }

    /// Sets its limits for a picture, and lays the picture down.
    fn prepare(&self, work: &Work, deadline: Duration) -> io::Result<()> {
        let addresses = self.address_space + SLACK + work.memory;
        let seconds = (self.busy + deadline + CPU_SLACK).as_secs();
        for (resource, most) in [(Resource::AddressSpace, addresses), (Resource::CpuSeconds, seconds)] {
            sys::limit(Some(self.process.id()), resource, most, false)?;
        }
        self.shared.put_original(&work.original)
    }

    /// Kills it, if it has not ended, and tells what the picture is to blame for.
    pub fn end(mut self, failure: &Failure, deadline: Duration) -> Death {
        let ended = if matches!(failure, Failure::Lost(_)) { self.ended_by_itself() } else { None };
        self.kill();
        let words = self.last_words();
        let error = match (failure, ended.and_then(|status| status.signal())) {
            (Failure::Machine(_), _) => Error::NoDecoder,
            (Failure::Late, _) | (Failure::Lost(_), Some(libc::SIGXCPU)) => Error::Timeout(deadline),
            // Nobody else kills like this than a kernel whose memory is short.
            (Failure::Lost(_), Some(libc::SIGKILL)) => Error::OutOfMemory,
            (Failure::Lost(_), _) if words.contains(OUT_OF_MEMORY) => Error::OutOfMemory,
            (Failure::Lost(_) | Failure::Lied(_), _) => Error::Crashed,
        };
        let how = match (failure, ended) {
            (Failure::Late, _) => "too late".to_owned(),
            (Failure::Lied(lie), _) => lie.to_string(),
            (Failure::Lost(_), Some(status)) => status.to_string(),
            (Failure::Lost(error), None) | (Failure::Machine(error), _) => error.to_string(),
        };
        Death { error, how, words }
    }

    /// Its status, if it ends without us: it closes its socket a moment before.
    fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        const MOMENT: Duration = Duration::from_millis(200);
        let until = Instant::now() + MOMENT;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                status => return status.ok().flatten(),
            }
        }
    }

    /// It is gone then, and its memory free. Harmless for one that has ended.
    fn kill(&mut self) {
        // Both fail only when it was waited for before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The end of what it wrote to standard error, printable.
    pub fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        // What was read until an error is what there is.
        let _ = { &self.words }.take(MAX_WORDS).read_to_end(&mut words);
        let text = String::from_utf8_lossy(&words);
        printable(&text.trim().replace('\n', " | "), 300)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.kill();
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Late } else { Self::Lost(error) }
    }
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Lost(kind.into())
    }
}

impl From<Lie> for Failure {
    fn from(lie: Lie) -> Self {
        Self::Lied(lie)
    }
}

#[cfg(all(test, feature = "dev", feature = "test-hooks"))]
#[path = "decoder_tests.rs"]
mod tests;
