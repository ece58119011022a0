//! Pixels → JPEG with nothing in it but JFIF, an sRGB profile and the picture.

use std::sync::LazyLock;

use darkroom_jpeg::{Kernels, MAX_SIDE, Picture, Style};
use mozjpeg_rs::{Encoder, Preset as Settings, QuantTableIdx, Subsampling};

use super::{Preset, error::Error, profile, raster::Raster8};

/// What writes JPEGs: baseline, and progressive.
pub(super) const LIBRARIES: [&str; 2] = ["darkroom-jpeg", "mozjpeg-rs"];

/// Lowest quality that a poor original may ask for.
const QUALITY_FLOOR: u8 = 60;

/// From this quality on color has as many samples as brightness.
const FULL_COLOR_FROM: u8 = 90;

static SRGB: LazyLock<Vec<u8>> = LazyLock::new(profile::srgb);
static GREY: LazyLock<Vec<u8>> = LazyLock::new(profile::grey);

/// Writes a JPEG of the preset's quality, or of the original's if that was lower.
pub(super) fn jpeg(raster: &Raster8, preset: &Preset, original: Option<u8>) -> Result<Vec<u8>, Error> {
    let quality = quality(preset, original);
    let (width, height) = (raster.width, raster.height);
    if width.max(height) > MAX_SIDE as u32 {
        return Err(Error::Encode(format!("{width} × {height} px are too many")));
    }
    if preset.progressive {
        return progressive(raster, quality);
    }
    let segments = profile_segment(raster.channels == 1);
    let style = Style { quality, full_chroma: has_full_color(quality), segments: &segments };
    let picture = Picture { samples: &raster.samples, width: width as usize, height: height as usize };
    darkroom_jpeg::encode(&picture, &style, Kernels::detect())
        .ok_or_else(|| Error::Encode("the samples are not those of a picture".into()))
}

/// Each scan makes the picture better. Our own encoder does not write those.
fn progressive(raster: &Raster8, quality: u8) -> Result<Vec<u8>, Error> {
    let subsampling = if has_full_color(quality) { Subsampling::S444 } else { Subsampling::S420 };
    // The settings to start from have neither trellis nor deringing: they cost far more time than bytes.
    let encoder = Encoder::new(Settings::BaselineFastest)
        .quality(quality)
        .progressive(true)
        .subsampling(subsampling)
        .quant_tables(QuantTableIdx::JpegAnnexK)
        .force_baseline(true)
        .optimize_huffman(true);
    let (samples, width, height) = (&raster.samples, raster.width, raster.height);
    let written = match raster.channels {
        1 => encoder.icc_profile(GREY.clone()).encode_gray(samples, width, height),
        _ => encoder.icc_profile(SRGB.clone()).encode_rgb(samples, width, height),
    };
    written.map_err(|error| Error::Encode(error.to_string()))
}

/// The segment of a JPEG that holds the profile of a result: marker, length, and the only part of it.
pub(super) fn profile_segment(grey: bool) -> Vec<u8> {
    let profile: &[u8] = if grey { &GREY } else { &SRGB };
    let length = u16::try_from(16 + profile.len()).expect("a profile of fewer than 500 bytes");
    [&[0xff, 0xe2][..], &length.to_be_bytes(), b"ICC_PROFILE\0\x01\x01", profile].concat()
}

/// The preset's quality, or the original's if that was lower, within reason.
pub(super) fn quality(preset: &Preset, original: Option<u8>) -> u8 {
    preset.quality.min(original.unwrap_or(100).max(QUALITY_FLOOR))
}

/// Whether color has as many samples as brightness.
pub(super) const fn has_full_color(quality: u8) -> bool {
    quality >= FULL_COLOR_FROM
}
