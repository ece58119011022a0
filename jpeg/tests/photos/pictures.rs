//! Pixels to a file: as another encoder would, whatever the processor.

use darkroom_jpeg::{Kernels, Picture, Style, encode};
use mozjpeg_rs::{Encoder, Preset, QuantTableIdx, Subsampling};

use super::{
    pixels::{decoded, mean_difference},
    scenes::{KINDS, Kind, SIDES, photo},
};

const COLOR: Kind = KINDS[0];
const GREY: Kind = KINDS[9];

fn pixels(kind: Kind, (width, height): (u32, u32)) -> (Vec<u8>, usize, usize) {
    (photo(kind, (width, height)).1, width as usize, height as usize)
}

fn made(pixels: &(Vec<u8>, usize, usize), quality: u8, full_chroma: bool, kernels: Kernels) -> Vec<u8> {
    let (samples, width, height) = pixels;
    let style = Style { quality, full_chroma, segments: b"\xff\xfe\0\x04hi" };
    encode(&Picture { samples, width: *width, height: *height }, &style, kernels).expect("a picture")
}

fn by_another(pixels: &(Vec<u8>, usize, usize), quality: u8, full_chroma: bool) -> Vec<u8> {
    let (samples, width, height) = pixels;
    let encoder = Encoder::new(Preset::BaselineFastest)
        .quality(quality)
        .subsampling(if full_chroma { Subsampling::S444 } else { Subsampling::S420 })
        .quant_tables(QuantTableIdx::JpegAnnexK)
        .force_baseline(true)
        .optimize_huffman(true);
    let (width, height) = (*width as u32, *height as u32);
    let grey = samples.len() == (width * height) as usize;
    let made = if grey {
        encoder.encode_gray(samples, width, height)
    } else {
        encoder.encode_rgb(samples, width, height)
    };
    made.expect("a picture")
}

#[test]
fn a_picture_is_as_good_and_as_short_as_another_encoder_makes_it() {
    for (kind, channels) in [(COLOR, 3), (GREY, 1)] {
        let pixels = pixels(kind, (601, 403));
        let wanted: Vec<f64> = pixels.0.iter().map(|&sample| f64::from(sample)).collect();
        for (quality, full_chroma) in [(40, false), (82, false), (85, false), (92, true), (100, true)] {
            let (ours, theirs) = (
                made(&pixels, quality, full_chroma, Kernels::detect()),
                by_another(&pixels, quality, full_chroma),
            );

            let differs = |jpeg: &[u8]| mean_difference(&wanted, &decoded(jpeg, channels).0);
            let (off, theirs_off) = (differs(&ours), differs(&theirs));
            assert!(off <= theirs_off * 1.01 + 0.03, "{kind:?}, {quality}: {off:.3} and {theirs_off:.3}");
            let (long, theirs_long) = (ours.len() as f64, theirs.len() as f64);
            assert!(long <= theirs_long * 1.01, "{kind:?}, {quality}: {long} and {theirs_long} bytes");
        }
    }
}

#[test]
fn a_picture_of_any_sides_is_whole() {
    for (kind, channels) in [(COLOR, 3), (GREY, 1)] {
        for (sides, full_chroma) in SIDES.into_iter().flat_map(|sides| [(sides, false), (sides, true)]) {
            let pixels = pixels(kind, sides);
            let jpeg = made(&pixels, 95, full_chroma, Kernels::detect());

            let (samples, width, height) = decoded(&jpeg, channels);
            assert_eq!((width, height), (pixels.1, pixels.2));
            let theirs = decoded(&by_another(&pixels, 95, full_chroma), channels).0;
            let wanted: Vec<f64> = pixels.0.iter().map(|&sample| f64::from(sample)).collect();
            let (off, theirs_off) = (mean_difference(&wanted, &samples), mean_difference(&wanted, &theirs));
            assert!(off <= theirs_off * 1.1 + 0.3, "{sides:?}, {channels}: {off:.2} and {theirs_off:.2}");
        }
    }
}

#[test]
fn every_processor_writes_the_same_file() {
    for (kind, sides) in [COLOR, GREY].into_iter().flat_map(|kind| SIDES.map(|sides| (kind, sides))) {
        let pixels = pixels(kind, sides);
        for full_chroma in [false, true] {
            let fast = made(&pixels, 90, full_chroma, Kernels::detect());

            assert!(fast == made(&pixels, 90, full_chroma, Kernels::Portable), "{kind:?}, {sides:?}");
        }
    }
}

#[test]
fn what_is_no_picture_is_not_written() {
    let style = Style { quality: 82, full_chroma: false, segments: &[] };
    for (samples, width, height) in [
        (0, 0, 0),
        (3, 0, 1),
        (3, 1, 0),
        (2, 1, 1),
        (11, 2, 2),
        (13, 2, 2),
        (65_536, 65_536, 1),
        (65_536, 1, 65_536),
    ] {
        let samples = vec![0; samples];

        let made = encode(&Picture { samples: &samples, width, height }, &style, Kernels::detect());

        assert_eq!(made, None, "{width} × {height} px of {} samples", samples.len());
    }
}
