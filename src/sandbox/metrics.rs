//! What the sandbox measures; who renders it is not known here.

use darkroom_jobs::{Encoding, ErrorCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::held::{HeldBy, Landlock};
use crate::imaging::Normalized;

/// What the sandbox measures. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pixels: Gauge,
    memory_used: Gauge,
    memory: Gauge,
    made: Family<Made, Counter>,
    decoders: Gauge,
    deaths: Family<Death, Counter>,
    held: Family<Held, Gauge>,
}

/// Which way a picture of which format went.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Made {
    format: &'static str,
    encoding: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Death {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Held {
    by: &'static str,
}

/// A decoder that is ready or at work; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Ready(Gauge);

/// A picture in work; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct InWork {
    metrics: Metrics,
    pixels: i64,
    bytes: i64,
}

impl Metrics {
    pub(super) fn new(memory: u64) -> Self {
        let metrics = Self::default();
        metrics.memory.set(signed(memory));
        metrics
    }

    /// Lets a registry render them.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("darkroom_work_pixels", "Pixels of the originals that are in work", &self.pixels),
            ("darkroom_image_memory_used_bytes", "Memory set aside for pictures in work", &self.memory_used),
            ("darkroom_image_memory_bytes", "Memory that pictures in work may have", &self.memory),
            ("darkroom_decoders", "Decoders that are ready or at work", &self.decoders),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "Pictures that were made, by the media type of the original and the way that it went";
        registry.register("darkroom_pictures", help, self.made.clone());
        let deaths = "Decoders that died of a picture, by what the picture is blamed for";
        registry.register("darkroom_decoder_deaths", deaths, self.deaths.clone());
        let held = "Whether seccomp and landlock hold the decoders, besides their limits";
        registry.register("darkroom_decoder_held", held, self.held.clone());
    }

    pub(super) fn made(&self, picture: &Normalized) {
        let encoding = match picture.encoding {
            Encoding::Lane => "lane",
            Encoding::Reencoded => "reencoded",
        };
        self.made.get_or_create(&Made { format: picture.facts.detected_type, encoding }).inc();
    }

    pub(super) fn decoder(&self, held_by: HeldBy) -> Ready {
        for (by, held) in [("seccomp", held_by.seccomp), ("landlock", held_by.landlock == Landlock::Whole)] {
            self.held.get_or_create(&Held { by }).set(held.into());
        }
        self.decoders.inc();
        Ready(self.decoders.clone())
    }

    pub(super) fn died(&self, code: ErrorCode) {
        self.deaths.get_or_create(&Death { code: code.as_str() }).inc();
    }

    pub(super) fn begin(&self, pixels: u64, bytes: u64) -> InWork {
        let (pixels, bytes) = (signed(pixels), signed(bytes));
        self.pixels.inc_by(pixels);
        self.memory_used.inc_by(bytes);
        InWork { metrics: self.clone(), pixels, bytes }
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.metrics.pixels.dec_by(self.pixels);
        self.metrics.memory_used.dec_by(self.bytes);
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_counts_until_it_is_no_longer_in_work() {
        let metrics = Metrics::new(1000);

        let (one, two) = (metrics.begin(12, 100), metrics.begin(8, 50));
        let during = (metrics.pixels.get(), metrics.memory_used.get());
        drop((one, two));

        assert_eq!(during, (20, 150));
        assert_eq!((metrics.pixels.get(), metrics.memory_used.get()), (0, 0));
    }
}
