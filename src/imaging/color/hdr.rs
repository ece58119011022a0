//! Pictures of high dynamic range → sRGB: what is up to white stays nearly as it is, what is brighter is rolled off.

use moxcms::{ColorProfile, Matrix3d};

use super::{profile, sample};
use crate::imaging::{
    header::colors::HighCurve,
    raster::{Raster, Samples},
};

/// Luminance of white in a picture of high dynamic range (ITU-R BT.2408), and of the brightest that is told apart, cd/m².
const WHITE: f32 = 203.0;
const PEAK: f32 = 1_000.0;

/// Light above this share of white is compressed.
const KNEE: f32 = 0.75;

/// H.273: the curve of sRGB.
const SRGB_TRANSFER: u8 = 13;

/// Steps of the table from light to samples, which is even in the light's root.
const STEPS: f32 = 4_095.0;

/// Converts samples, of which each has a curve of its own; none when the primaries are unknown.
pub(super) fn to_srgb(raster: &Raster, primaries: u8, curve: HighCurve) -> Option<Samples> {
    let source = profile::of_code_points(primaries, SRGB_TRANSFER, false)?;
    let matrix = source.transform_matrix(&ColorProfile::new_srgb());
    let tables = Tables::new(curve, &raster.samples);
    let channels = usize::from(raster.channels);
    Some(match &raster.samples {
        Samples::U8(samples) => {
            let mut mapped = samples.clone();
            mapped.chunks_exact_mut(channels).for_each(|pixel| tables.map(pixel, &matrix));
            Samples::U8(mapped)
        }
        Samples::U16(samples) => {
            let mut mapped = samples.clone();
            mapped.chunks_exact_mut(channels).for_each(|pixel| tables.map(pixel, &matrix));
            Samples::U16(mapped)
        }
    })
}

struct Tables {
    curve: HighCurve,
    /// Light of each sample; white is 1.
    light: Vec<f32>,
    /// Samples by the root of light.
    samples: Vec<f32>,
    full: f32,
}

impl Tables {
    fn new(curve: HighCurve, samples: &Samples) -> Self {
        let full = if matches!(samples, Samples::U8(_)) { 255_u16 } else { u16::MAX };
        let light = (0..=full).map(|value| light_of(curve, f32::from(value) / f32::from(full))).collect();
        let samples = (0..=STEPS as u16).map(|step| sample((f32::from(step) / STEPS).powi(2))).collect();
        Self { curve, light, samples, full: f32::from(full) }
    }

    fn map<T: Copy + Into<u32> + TryFrom<u32>>(&self, pixel: &mut [T], matrix: &Matrix3d) {
        let light = |value: T| self.light[value.into() as usize];
        let (mut rgb, colors) = match *pixel {
            [red, green, blue, ..] => ([light(red), light(green), light(blue)], 3),
            _ => ([light(pixel[0]); 3], 1),
        };
        if self.curve == HighCurve::Hlg {
            rgb = displayed(rgb);
        }
        if colors == 3 {
            let row = |row: [f64; 3]| (0..3).map(|i| row[i] as f32 * rgb[i]).sum::<f32>().max(0.0);
            rgb = matrix.v.map(row);
        }
        let brightest = rgb.iter().copied().fold(0.0, f32::max);
        let scale = if brightest > KNEE { rolled_off(brightest) / brightest } else { 1.0 };
        for (target, light) in pixel[..colors].iter_mut().zip(rgb) {
            let step = ((light * scale).clamp(0.0, 1.0).sqrt() * STEPS + 0.5) as usize;
            let value = (self.samples[step] * self.full + 0.5) as u32;
            *target = T::try_from(value).unwrap_or(*target);
        }
    }
}

/// Up to the knee the same, then ever flatter, so that the peak is just white.
fn rolled_off(light: f32) -> f32 {
    let above = |light: f32| (light - KNEE) / (1.0 - KNEE);
    let (here, peak) = (above(light), above(PEAK / WHITE));
    KNEE + (1.0 - KNEE) * (here / (1.0 + here) * (1.0 + peak) / peak).min(1.0)
}

/// Light of one sample: of the display for PQ, of the scene for HLG.
fn light_of(curve: HighCurve, value: f32) -> f32 {
    match curve {
        HighCurve::Pq => {
            const M1: f32 = 2_610.0 / 16_384.0;
            const M2: f32 = 2_523.0 / 32.0;
            const C1: f32 = 3_424.0 / 4_096.0;
            const C2: f32 = 2_413.0 / 128.0;
            const C3: f32 = 2_392.0 / 128.0;
            let root = value.powf(1.0 / M2);
            let share = ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1);
            share * 10_000.0 / WHITE
        }
        HighCurve::Hlg => {
            const A: f32 = 0.178_832_77;
            const B: f32 = 1.0 - 4.0 * A;
            const C: f32 = 0.559_910_7;
            if value <= 0.5 { value * value / 3.0 } else { (((value - C) / A).exp() + B) / 12.0 }
        }
    }
}

/// Light of the scene → light of a display of the peak's brightness (ITU-R BT.2100).
fn displayed(scene: [f32; 3]) -> [f32; 3] {
    let brightness = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2];
    let gain = brightness.powf(0.2) * PEAK / WHITE;
    scene.map(|light| light * gain)
}
