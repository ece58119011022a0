//! From a stranger's bytes to a clean JPEG: pure, blocking, no files, no network, no clock, no environment.
//!
//! [`normalize`] = sniff · header · limits · decode · fit · color · flatten · orient · encode. The picture is turned and
//! its colors are converted after it was made small: the same result for a tenth of the work.
//!
//! Most JPEGs take the lane instead: all of that in one pass, a few rows at a time.

pub mod clean;
pub mod error;
pub mod sniff;

mod coefficients;
mod color;
mod decode;
mod encode;
pub mod facts;
mod fit;
mod flatten;
pub mod header;
mod lane;
mod limits;
mod markers;
pub mod orient;
mod profile;
mod raster;

use darkroom_jobs::{Encoding, Warning, WarningCode};
use serde::{Deserialize, Serialize};

use error::Error;
use facts::Facts;
use header::Header;

/// Libraries that write JPEGs: baseline, and progressive.
pub const ENCODERS: [&str; 2] = encode::LIBRARIES;

/// The library that reads lossy WebP.
pub const LOSSY_WEBP_DECODER: &str = decode::vp8::LIBRARY;

/// Libraries that read what is in a HEIC and in an AVIF.
pub const HEIF_DECODERS: [&str; 2] = [decode::heif::HEVC_LIBRARY, decode::heif::AV1_LIBRARY];

/// The instructions that the lane uses on this machine.
pub fn lane_kernels() -> &'static str {
    lane::kernels()
}

/// Gives back the memory that one picture leaves to the next, for when none follows.
pub fn rest() {
    lane::rest();
    color::rest();
}

/// What an original may be; checked on its header, before memory is allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most pixels.
    pub max_pixels: u64,
    /// Longest side, px.
    pub max_side: u32,
    /// Longest side as a multiple of the other, unless both are at most 4,096 px.
    pub max_aspect_ratio: u32,
    /// Most scans of a progressive JPEG.
    pub max_jpeg_scans: u32,
    /// Most pixels times scans.
    pub max_decode_work: u64,
    /// Largest color profile, inflated, bytes.
    pub max_icc_bytes: u64,
    /// Most metadata, bytes.
    pub max_metadata_bytes: u64,
    /// Most metadata segments or chunks.
    pub max_metadata_chunks: u32,
    /// Share of the rows that a truncated picture must have, 0 to 1.
    pub min_decoded_fraction: f32,
    /// Whether JPEGs may take the lane; the general way takes all of them too.
    pub jpeg_lane: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_side: 20_000,
            max_aspect_ratio: 50,
            max_jpeg_scans: 64,
            max_decode_work: 1_500_000_000,
            max_icc_bytes: 4 << 20,
            max_metadata_bytes: 16 << 20,
            max_metadata_chunks: 4_096,
            min_decoded_fraction: 0.98,
            jpeg_lane: true,
        }
    }
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    /// Longest side, px; a smaller picture is not enlarged.
    pub max_side: u32,
    /// JPEG quality, 1 to 100; never above the original's own.
    pub quality: u8,
    /// Progressive instead of baseline JPEG.
    pub progressive: bool,
}

impl Preset {
    /// For `upload`.
    pub const USER_PHOTO: Self = Self { max_side: 2048, quality: 82, progressive: false };
    /// For `ingest`.
    pub const PRODUCT: Self = Self { max_side: 4096, quality: 85, progressive: false };

    /// This preset with what `max=PX,quality=1-100,progressive=BOOL` says; a key left out stays as it is.
    ///
    /// # Errors
    ///
    /// A sentence that names the key.
    pub fn overridden(mut self, text: &str) -> Result<Self, String> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("expected key=value, got {part:?}"))?;
            match (key.trim(), value.trim()) {
                ("max", px) => match px.parse() {
                    Ok(px @ 1..=20_000) => self.max_side = px,
                    _ => return Err("max is 1 to 20000 px".into()),
                },
                ("quality", quality) => match quality.parse() {
                    Ok(quality @ 1..=100) => self.quality = quality,
                    _ => return Err("quality is 1 to 100".into()),
                },
                ("progressive", word) => {
                    self.progressive = word.parse().map_err(|_| "progressive is true or false")?;
                }
                (other, _) => {
                    return Err(format!("unknown key {other:?}, expected max, quality or progressive"));
                }
            }
        }
        Ok(self)
    }
}

/// Which preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresetName {
    /// [`Preset::USER_PHOTO`], or its setting.
    UserPhoto,
    /// [`Preset::PRODUCT`], or its setting.
    Product,
}

/// A clean JPEG, and what was learned on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Its width, px.
    pub width: u32,
    /// Its height, px.
    pub height: u32,
    /// What was known of the original.
    pub facts: Facts,
    /// What was odd about the original, though it was accepted.
    pub warnings: Vec<Warning>,
    /// Which way it went.
    pub encoding: Encoding,
}

/// A part of [`normalize`] that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The original is pixels.
    Decoded,
    /// There are as many pixels as there will be.
    Resized,
    /// The pixels have their final color and orientation too, without alpha, and what is told of the picture is known.
    Processed,
    /// The pixels are a JPEG.
    Encoded,
}

/// Makes a clean JPEG of an original. The same bytes, preset and limits give the same JPEG.
///
/// `on_stage` hears when each [`Stage`] ends, so that the caller, who has a clock, can time it.
///
/// # Errors
///
/// [`Error`] says which of the codes it is; each is about the file, and trying again will not help.
pub fn normalize(
    original: &[u8],
    preset: &Preset,
    limits: &Limits,
    on_stage: &mut dyn FnMut(Stage),
) -> Result<Normalized, Error> {
    let header = Header::read(original, limits)?;
    if let Some(made) = lane::normalize(original, &header, preset, limits) {
        for stage in [Stage::Decoded, Stage::Resized, Stage::Processed, Stage::Encoded] {
            on_stage(stage);
        }
        return Ok(made);
    }
    let mut warnings = header.warnings.clone();

    let decoded = decode::decode(original, &header, limits)?;
    if decoded.missing_rows {
        warnings.push(warning(WarningCode::Truncated, "the last rows of the picture are missing"));
    }
    on_stage(Stage::Decoded);

    let (width, height) = fit::fitted(header.oriented(), preset.max_side);
    let small = fit::resize(decoded.raster, header.orientation.of_size(width, height))?;
    on_stage(Stage::Resized);
    let colors = decoded.colors.as_ref().unwrap_or(&header.colors);
    let (colored, icc) = color::to_srgb(small, colors, header.inks, &mut warnings);
    let flat = flatten::on_white(colored.into_8_bit());
    let upright = orient::upright(flat, header.orientation);
    let facts = Facts::new(&header, icc, &upright);
    on_stage(Stage::Processed);

    let jpeg = encode::jpeg(&upright, preset, header.jpeg_quality)?;
    on_stage(Stage::Encoded);

    let (width, height) = (upright.width, upright.height);
    Ok(Normalized { jpeg, width, height, facts, warnings, encoding: Encoding::Reencoded })
}

fn warning(code: WarningCode, message: &str) -> Warning {
    Warning { code, message: message.to_owned() }
}

#[cfg(all(test, feature = "dev"))]
mod tests;
