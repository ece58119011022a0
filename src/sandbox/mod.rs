//! Where decoding runs: at most one picture a core, within a memory budget and a deadline, in processes that can be killed
//! and that can do nothing else. `docs/sandbox.md` has the picture.
//!
//! The one way to call imaging. Never knows jobs, buckets or queues.

mod answer;
#[cfg(all(test, feature = "dev"))]
mod answer_tests;
mod budget;
mod call;
pub mod child;
mod decoder;
#[cfg(feature = "test-hooks")]
pub mod faults;
pub mod held;
mod jail;
#[cfg(feature = "test-hooks")]
pub mod lacking;
mod machine;
pub mod metrics;
mod place;
mod shared;
mod sys;
mod thread;
#[cfg(feature = "test-hooks")]
mod tries;
mod wire;

use std::{num::NonZero, sync::Arc, time::Duration};

use bytes::Bytes;
use darkroom_jobs::ErrorCode;
use serde_json::Value;

use crate::{
    config,
    imaging::{self, Limits, Normalized, Preset, PresetName, header::Header},
};
use budget::{Budget, Reservation};
pub use decoder::{Program, StartError};
use held::HeldBy;
use metrics::Metrics;
use place::{Places, Work};
use thread::Threads;

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is to blame.
    #[error("the picture was refused")]
    Imaging(#[from] imaging::error::Error),
    /// Even the whole budget would not do.
    #[error("decoding would take {0} bytes of memory, more than there is")]
    NeverFits(u64),
    /// There was no memory in time: nobody's fault, the job is put off.
    #[error("no memory was free in time")]
    NoMemory,
    /// The decoder was not done in time.
    #[error("decoding took longer than {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The decoder took more memory than was set aside for the picture, by far, or than the machine has.
    #[error("decoding took too much memory")]
    OutOfMemory,
    /// The decoder died, or answered what no decoder answers.
    #[error("the decoder crashed")]
    Crashed,
    /// There is no decoder and none can be started, or the machine refused what it needs for a picture: nobody's fault,
    /// the job is put off.
    #[error("no decoder was to be had")]
    NoDecoder,
}

impl Error {
    /// The word for receipts and metrics.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Imaging(error) => error.code(),
            Self::NeverFits(_) => ErrorCode::ImageTooComplex,
            Self::NoMemory | Self::OutOfMemory => ErrorCode::DecodeOutOfMemory,
            Self::Timeout(_) => ErrorCode::DecodeTimeout,
            Self::Crashed => ErrorCode::DecodeCrashed,
            Self::NoDecoder => ErrorCode::Internal,
        }
    }

    /// Facts for the receipt.
    pub fn detail(&self) -> Option<Value> {
        match self {
            Self::Imaging(error) => error.detail(),
            _ => None,
        }
    }
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A person waits.
    Upload,
    /// Nobody waits; every fourth permit all the same.
    Ingest,
}

impl Priority {
    const fn other(self) -> Self {
        match self {
            Self::Upload => Self::Ingest,
            Self::Ingest => Self::Upload,
        }
    }
}

/// A picture that was made, and the time it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// The picture.
    pub normalized: Normalized,
    /// SHA-256 of its JPEG, in hex.
    pub sha256: String,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time of one picture went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Bytes to pixels.
    pub decode: Duration,
    /// Size, color, orientation.
    pub process: Duration,
    /// Pixels to JPEG.
    pub encode: Duration,
}

/// Makes pictures. Cloning shares the memory budget, the cores and the decoders.
#[derive(Clone, Debug)]
pub struct Sandbox {
    user_photo: Preset,
    product: Preset,
    limits: Limits,
    deadline: Duration,
    memory_wait: Duration,
    budget: Budget,
    headers: Threads,
    places: Arc<Places>,
    metrics: Metrics,
}

impl Sandbox {
    /// A sandbox with as many places as there are cores; a decoder is started when there is work for it. Decoders are
    /// this program: for another one, a test for example, see [`Sandbox::with_program`].
    pub fn new(settings: &config::Imaging) -> Self {
        Self::with_program(settings, Program::this())
    }

    /// The same, with decoders that are another executable of this version of darkroom.
    pub fn with_program(settings: &config::Imaging, program: Program) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let memory = machine::bytes(settings.image_memory);
        let metrics = Metrics::new(memory);
        Self {
            user_photo: settings.preset_user_photo,
            product: settings.preset_product,
            limits: settings.limits(),
            deadline: settings.decode_timeout,
            memory_wait: settings.memory_wait,
            budget: Budget::new(memory, cores),
            headers: Threads::new(settings.decode_timeout),
            places: Arc::new(Places::new(program, cores, settings.decode_timeout, metrics.clone())),
            metrics,
        }
    }

    /// Starts all decoders, for a process that will need them, and logs what holds them.
    pub fn start_decoders(&self) {
        self.places.open_all();
    }

    /// Makes a clean JPEG of an original. `on_wait` hears `true` when the picture starts to wait for its turn and `false`
    /// when it has it: a job's clock stands still meanwhile. Dropping the future gives up; memory and core are free
    /// again when the decoder has really ended, which is killed for it.
    ///
    /// # Errors
    ///
    /// [`Error::Imaging`] and [`Error::NeverFits`]: asking again will not help. [`Error::NoMemory`] and
    /// [`Error::NoDecoder`]: ask later. [`Error::Timeout`], [`Error::OutOfMemory`] and [`Error::Crashed`]: may help once.
    pub async fn normalize(
        &self,
        original: Bytes,
        preset: PresetName,
        priority: Priority,
        on_wait: impl Fn(bool) + Send,
    ) -> Result<Photo, Error> {
        let preset = match preset {
            PresetName::UserPhoto => self.user_photo,
            PresetName::Product => self.product,
        };
        let header = self.header(&original).await?;
        // The original lies in shared memory meanwhile.
        let memory = header.peak_bytes(&preset) + original.len() as u64;
        let reservation = self.reserve(memory, priority, on_wait).await?;
        let in_work = self.metrics.begin(u64::from(header.width) * u64::from(header.height), memory);

        let limits = self.limits.clone();
        let work = Work { original, header, preset, limits, memory };
        let photo = self.places.make(work, (reservation, in_work)).await?;
        self.metrics.made(&photo.normalized);
        Ok(photo)
    }

    /// What the picture announces; finding the markers of 32 MiB is work for a thread, too. It is read here, by parsers
    /// of our own in safe code, because a picture must not take a decoder while it waits for memory.
    async fn header(&self, original: &Bytes) -> Result<Header, Error> {
        if original.len() > shared::ORIGINAL {
            let most = shared::ORIGINAL;
            return Err(imaging::error::Error::TooComplex(format!("over {most} bytes")).into());
        }
        let (original, limits) = (original.clone(), self.limits.clone());
        let read = self.headers.run(move || {
            #[cfg(feature = "test-hooks")]
            faults::hold(&original);
            Ok(Header::read(&original, &limits)?)
        });
        tokio::time::timeout(self.deadline, read).await.map_err(|_| Error::Timeout(self.deadline))?
    }

    /// What this sandbox measures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How long the slowest reader of a header has overrun its deadline, if one has. A thread cannot be stopped: a
    /// process that has lost some for good is better started anew.
    pub fn stuck(&self) -> Option<Duration> {
        self.headers.stuck()
    }

    async fn reserve(
        &self,
        bytes: u64,
        priority: Priority,
        on_wait: impl Fn(bool) + Send,
    ) -> Result<Reservation, Error> {
        if !self.budget.fits(bytes) {
            return Err(Error::NeverFits(bytes));
        }
        let mut granted = self.budget.reserve(bytes, priority);
        if let Ok(reservation) = granted.try_recv() {
            return Ok(reservation);
        }
        on_wait(true);
        let answer = tokio::time::timeout(self.memory_wait, granted).await;
        on_wait(false);
        answer.map_err(|_| Error::NoMemory)?.map_err(|_| Error::NoMemory)
    }
}

/// What holds decoders on this machine, found out by starting one.
///
/// # Errors
///
/// When none can be started: no picture could be made here.
pub fn held_by() -> Result<HeldBy, StartError> {
    decoder::Decoder::start(&Program::this()).map(|decoder| decoder.held_by())
}
