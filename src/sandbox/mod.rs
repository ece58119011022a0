//! Where decoding runs: at most one picture a core, within a memory budget and a deadline.
//!
//! The one way to call imaging. Never knows jobs, buckets or queues.

mod budget;
mod machine;
pub mod metrics;
mod thread;

use std::{
    num::NonZero,
    time::{Duration, Instant},
};

use bytes::Bytes;
use darkroom_jobs::ErrorCode;
use serde_json::Value;

use crate::{
    config, digest,
    imaging::{self, Limits, Normalized, Preset, PresetName, Stage, header::Header},
};
use budget::{Budget, Reservation};
use metrics::Metrics;
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
    /// The decoder panicked.
    #[error("the decoder crashed")]
    Crashed,
}

impl Error {
    /// The word for receipts and metrics.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Imaging(error) => error.code(),
            Self::NeverFits(_) => ErrorCode::ImageTooComplex,
            Self::NoMemory => ErrorCode::DecodeOutOfMemory,
            Self::Timeout(_) => ErrorCode::DecodeTimeout,
            Self::Crashed => ErrorCode::DecodeCrashed,
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

/// What one picture will need.
struct Needs {
    bytes: u64,
    pixels: u64,
}

/// Makes pictures. Cloning shares the memory budget and the cores.
#[derive(Clone, Debug)]
pub struct Sandbox {
    user_photo: Preset,
    product: Preset,
    limits: Limits,
    deadline: Duration,
    memory_wait: Duration,
    budget: Budget,
    threads: Threads,
    metrics: Metrics,
}

impl Sandbox {
    /// A sandbox with as many places as there are cores.
    pub fn new(settings: &config::Imaging) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let memory = machine::bytes(settings.image_memory);
        Self {
            user_photo: settings.preset_user_photo,
            product: settings.preset_product,
            limits: settings.limits(),
            deadline: settings.decode_timeout,
            memory_wait: settings.memory_wait,
            budget: Budget::new(memory, cores),
            threads: Threads::new(settings.decode_timeout),
            metrics: Metrics::new(memory),
        }
    }

    /// Makes a clean JPEG of an original. `on_wait` hears `true` when the picture starts to wait for its turn and `false`
    /// when it has it: a job's clock stands still meanwhile. Dropping the future gives up; memory and core are free
    /// again when the decoder has really ended.
    ///
    /// # Errors
    ///
    /// [`Error::Imaging`] and [`Error::NeverFits`]: asking again will not help. [`Error::NoMemory`]: ask later.
    /// [`Error::Timeout`] and [`Error::Crashed`]: may help once.
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
        let needs = self.within_deadline((), self.needs(&original, preset)).await?;
        let reservation = self.reserve(needs.bytes, priority, on_wait).await?;
        let in_work = self.metrics.begin(needs.pixels, needs.bytes);

        let limits = self.limits.clone();
        let photo =
            self.within_deadline((reservation, in_work), move || photo(&original, &preset, &limits)).await?;
        self.metrics.made(&photo.normalized);
        Ok(photo)
    }

    /// What the picture will need; finding the markers of 32 MiB is work for a thread, too.
    fn needs(&self, original: &Bytes, preset: Preset) -> impl FnOnce() -> Result<Needs, Error> + use<> {
        let (original, limits) = (original.clone(), self.limits.clone());
        move || {
            let header = Header::read(&original, &limits)?;
            let pixels = u64::from(header.width) * u64::from(header.height);
            Ok(Needs { bytes: header.peak_bytes(&preset), pixels })
        }
    }

    /// What this sandbox measures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn within_deadline<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let made = tokio::time::timeout(self.deadline, self.threads.run(held, work)).await;
        made.map_err(|_| Error::Timeout(self.deadline))?
    }

    /// How long the slowest decoder has overrun its deadline, if one has. A thread cannot be stopped: a process that has
    /// lost some for good is better started anew.
    pub fn stuck(&self) -> Option<Duration> {
        self.threads.stuck()
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

fn photo(original: &[u8], preset: &Preset, limits: &Limits) -> Result<Photo, Error> {
    let (mut timings, mut since) = (Timings::default(), Instant::now());
    let normalized = imaging::normalize(original, preset, limits, &mut |stage| {
        let spent = match stage {
            Stage::Decoded => &mut timings.decode,
            Stage::Processed => &mut timings.process,
            Stage::Encoded => &mut timings.encode,
        };
        *spent = since.elapsed();
        since = Instant::now();
    })?;
    let sha256 = digest::sha256(&normalized.jpeg);
    Ok(Photo { normalized, sha256, timings })
}
