//! What comes out looks like what went in, made smaller in floating point.

use std::{f64::consts::PI, io::Cursor};

use darkroom_jpeg::{Plan, Scratch, normalize};
use mozjpeg_rs::{Encoder, Preset, QuantTableIdx, Subsampling};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{colorspace::ColorSpace, options::DecoderOptions},
};

use super::scenes::{KINDS, LIMITS, noise, photo, plan};

/// How much more a result may differ from the original made smaller than when another encoder stores just that.
const SHARE: f64 = 1.03;

#[test]
fn a_smaller_photo_is_the_photo_made_smaller() {
    for kind in KINDS {
        for (sides, max_side) in [((301, 200), 301), ((301, 200), 220), ((400, 301), 150), ((800, 600), 200)]
        {
            let (jpeg, _) = photo(kind, sides);
            let plan = plan(max_side, 1, true);

            let made = normalize(&jpeg, &plan, &LIMITS, &mut Scratch::default()).expect("a photo");

            let channels = if kind.subsampling == Subsampling::Gray { 1 } else { 3 };
            let (original, ..) = decoded(&jpeg, channels);
            let (result, width, height) = decoded(&made.jpeg, channels);
            assert_eq!((width, height), (made.width, made.height), "{kind:?}");
            let from = (sides.0 as usize, sides.1 as usize);
            let wanted = smaller(&original, channels, from, (width, height));
            let stored = stored(&wanted, channels, (width, height), plan.quality);
            let (ours, theirs) = (mean_difference(&wanted, &result), mean_difference(&wanted, &stored));
            assert!(ours <= theirs * SHARE + 0.1, "{kind:?} {sides:?} to {max_side}: {ours:.2}, {theirs:.2}");
            let bias =
                wanted.iter().zip(&result).map(|(a, b)| a - f64::from(*b)).sum::<f64>() / result.len() as f64;
            assert!(bias.abs() <= 0.3, "{kind:?} {sides:?} to {max_side}: bias {bias:.2}");
        }
    }
}

#[test]
fn a_preview_has_the_mean_colors() {
    for kind in KINDS {
        for full_chroma in [false, true] {
            let (jpeg, _) = photo(kind, (401, 299));
            let made = normalize(&jpeg, &plan(401, 6, full_chroma), &LIMITS, &mut Scratch::default())
                .expect("a photo");

            let (result, width, height) = decoded(&made.jpeg, 3);
            let preview = made.preview;

            assert_eq!((preview.width, preview.height), (width.div_ceil(8), height.div_ceil(8)));
            for (y, x) in (0..height / 8).flat_map(|y| (0..width / 8).map(move |x| (y, x))) {
                let pixels = (0..64).map(|at| ((8 * y + at / 8) * width + 8 * x + at % 8) * 3);
                let mean = pixels.map(|at| luma(&result[at..])).sum::<f64>() / 64.0;
                let told = luma(&preview.rgb[(y * preview.width + x) * 3..]);
                // Colors that do not exist are clamped, in pixels and in means.
                assert!((mean - told).abs() <= 8.0, "{kind:?} {x}, {y}: {mean:.1} and {told:.1}");
            }
        }
    }
}

fn luma(rgb: &[u8]) -> f64 {
    0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2])
}

/// The codes of a result with more tokens than may wait are made before all of it was seen.
#[test]
fn noise_that_is_written_ahead_is_the_same_noise() {
    let kind = KINDS[7];
    let jpeg = noise(kind, (1200, 1000));
    for orientation in [1, 3] {
        let plan = Plan { quality: 100, ..plan(1200, orientation, true) };
        let made = normalize(&jpeg, &plan, &LIMITS, &mut Scratch::default()).expect("a photo");
        let (mut original, ..) = decoded(&jpeg, 1);
        if orientation == 3 {
            original.reverse();
        }
        let (result, ..) = decoded(&made.jpeg, 1);
        let difference = original.iter().zip(&result).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        assert!(difference / result.len() as f64 <= 1.0, "{:.2}", difference / result.len() as f64);
    }
}

#[test]
fn all_orientations_are_turned() {
    let kind = KINDS[0];
    let sides = (161, 97);
    let (jpeg, _) = photo(kind, sides);
    let plan = |orientation| Plan { quality: 100, ..plan(161, orientation, true) };
    let made = |plan: &Plan| normalize(&jpeg, plan, &LIMITS, &mut Scratch::default()).expect("a photo");
    let (upright, width, height) = decoded(&made(&plan(1)).jpeg, 3);
    for orientation in 2..=8 {
        let (turned, turned_width, _) = decoded(&made(&plan(orientation)).jpeg, 3);
        let mut difference = 0.0;
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (to_x, to_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (height - 1 - y, x),
                7 => (height - 1 - y, width - 1 - x),
                _ => (y, width - 1 - x),
            };
            for channel in 0..3 {
                let a = upright[(y * width + x) * 3 + channel];
                let b = turned[(to_y * turned_width + to_x) * 3 + channel];
                difference += f64::from(a.abs_diff(b));
            }
        }
        let mean = difference / (3 * width * height) as f64;
        assert!(mean <= 1.5, "{orientation}: {mean:.2}");
    }
}

pub fn mean_difference(wanted: &[f64], samples: &[u8]) -> f64 {
    wanted.iter().zip(samples).map(|(a, b)| (a - f64::from(*b)).abs()).sum::<f64>() / wanted.len() as f64
}

/// What another encoder makes of the same pixels.
fn stored(wanted: &[f64], channels: usize, (width, height): (usize, usize), quality: u8) -> Vec<u8> {
    let pixels: Vec<u8> = wanted.iter().map(|value| value.round() as u8).collect();
    let encoder = Encoder::new(Preset::BaselineFastest)
        .quality(quality)
        .subsampling(Subsampling::S444)
        .quant_tables(QuantTableIdx::JpegAnnexK);
    let jpeg = match channels {
        1 => encoder.encode_gray(&pixels, width as u32, height as u32),
        _ => encoder.encode_rgb(&pixels, width as u32, height as u32),
    };
    decoded(&jpeg.expect("pixels can be written"), channels).0
}

/// Samples, width and height.
pub fn decoded(jpeg: &[u8], channels: usize) -> (Vec<u8>, usize, usize) {
    let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(jpeg), options);
    let samples = decoder.decode().expect("another decoder reads it");
    let (width, height) = decoder.dimensions().expect("known when decoded");
    (samples, width, height)
}

/// Lanczos with three lobes, in floating point.
fn smaller(samples: &[u8], channels: usize, from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let samples: Vec<f64> = samples.iter().map(|&sample| sample.into()).collect();
    let wide = resampled(&samples, from.1, channels, from.0, to.0);
    // Columns: the same on the transposed picture.
    let mut transposed = vec![0.0; wide.len()];
    let transpose = |from: &[f64], out: &mut [f64], width: usize, height: usize| {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (a, b) = ((y * width + x) * channels, (x * height + y) * channels);
            out[b..b + channels].copy_from_slice(&from[a..a + channels]);
        }
    };
    transpose(&wide, &mut transposed, to.0, from.1);
    let small = resampled(&transposed, to.0, channels, from.1, to.1);
    let mut out = vec![0.0; small.len()];
    transpose(&small, &mut out, to.1, to.0);
    out.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
    out
}

fn resampled(samples: &[f64], rows: usize, channels: usize, from: usize, to: usize) -> Vec<f64> {
    let scale = from as f64 / to as f64;
    let spread = scale.max(1.0);
    let kernel = |x: f64| match x.abs() {
        0.0 => 1.0,
        x if x < 3.0 => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x).powi(2),
        _ => 0.0,
    };
    let columns: Vec<(usize, Vec<f64>)> = (0..to)
        .map(|at| {
            let center = (at as f64 + 0.5) * scale;
            let first = (center - 3.0 * spread).max(0.0) as usize;
            let end = ((center + 3.0 * spread).ceil() as usize).min(from);
            let weights: Vec<f64> =
                (first..end).map(|x| kernel((x as f64 + 0.5 - center) / spread)).collect();
            let sum: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / sum).collect())
        })
        .collect();
    let mut out = Vec::with_capacity(rows * to * channels);
    for row in samples.chunks_exact(from * channels) {
        for (first, weights) in &columns {
            for channel in 0..channels {
                let taps = weights.iter().zip(row[first * channels + channel..].iter().step_by(channels));
                out.push(taps.map(|(weight, sample)| weight * sample).sum());
            }
        }
    }
    out
}
