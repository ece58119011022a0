//! Compensation of the black point: what a profile calls black becomes black, and white stays.
//!
//! The usual scaling in XYZ, for a black point that is taken for neutral. It is the same factor and offset for each
//! channel of linear light then, for profiles of tables; matrix and curve profiles have black at zero, and need none.

use super::{light, sample};
use crate::imaging::raster::Samples;

/// Brightest black that is believed: L* of 50.
const MAX_BLACK: f32 = 0.184;

/// Makes one black, and what is near it, darker.
pub(super) struct Compensation {
    /// By sample.
    table: Vec<u16>,
}

impl Compensation {
    /// For a profile by which black becomes the first pixel of `black`.
    pub fn new(black: &Samples, channels: usize) -> Self {
        let Samples::U16(black) = black.deep() else { unreachable!("deep samples have 16 bits") };
        let black = luminance(&black[..channels]).min(MAX_BLACK);
        let darker = |value: u16| {
            let compensated = (light(f32::from(value) / 65_535.0) - black) / (1.0 - black);
            (sample(compensated.max(0.0)) * 65_535.0 + 0.5) as u16
        };
        Self { table: (0..=u16::MAX).map(darker).collect() }
    }

    /// Changes colors; two and four channels end with alpha.
    pub fn apply(&self, samples: &mut [u16], channels: usize) {
        let colors = channels - usize::from(channels.is_multiple_of(2));
        for pixel in samples.chunks_exact_mut(channels) {
            pixel[..colors].iter_mut().for_each(|value| *value = self.table[usize::from(*value)]);
        }
    }
}

/// Moves converted samples so that the first pixel of `black` becomes black. Two and four channels end with alpha.
pub(super) fn compensated(samples: Samples, channels: usize, black: &Samples) -> Samples {
    let Samples::U16(mut samples) = samples.deep() else { unreachable!("deep samples have 16 bits") };
    Compensation::new(black, channels).apply(&mut samples, channels);
    Samples::U16(samples)
}

fn luminance(pixel: &[u16]) -> f32 {
    let light = |value: u16| light(f32::from(value) / 65_535.0);
    match pixel {
        [red, green, blue, ..] => 0.2126 * light(*red) + 0.7152 * light(*green) + 0.0722 * light(*blue),
        [grey, ..] => light(*grey),
        [] => 0.0,
    }
}
