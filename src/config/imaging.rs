//! Settings of pictures.

use std::{str::FromStr, time::Duration};

use clap::{Args, builder::BoolishValueParser};

use super::{bytes, milliseconds};
use crate::imaging;

/// What pictures may be, and become.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pictures")]
pub struct Imaging {
    /// Most pixels of an original.
    #[arg(long, env = "DARKROOM_MAX_PIXELS", default_value_t = imaging::Limits::default().max_pixels)]
    pub max_pixels: u64,
    /// Longest side of an original, in px.
    #[arg(long, env = "DARKROOM_MAX_SIDE", default_value_t = imaging::Limits::default().max_side)]
    pub max_side: u32,
    /// Longest side of an original as a multiple of the other, unless both are at most 4,096 px.
    #[arg(long, env = "DARKROOM_MAX_ASPECT_RATIO", default_value_t = imaging::Limits::default().max_aspect_ratio)]
    pub max_aspect_ratio: u32,
    /// Most scans of a progressive JPEG.
    #[arg(long, env = "DARKROOM_MAX_JPEG_SCANS", default_value_t = imaging::Limits::default().max_jpeg_scans)]
    pub max_jpeg_scans: u32,
    /// Most pixels times scans.
    #[arg(long, env = "DARKROOM_MAX_DECODE_WORK", default_value_t = imaging::Limits::default().max_decode_work)]
    pub max_decode_work: u64,
    /// Largest color profile, inflated.
    #[arg(long, env = "DARKROOM_MAX_ICC_BYTES", default_value = "4MiB", value_parser = bytes)]
    pub max_icc_bytes: u64,
    /// Most metadata of an original.
    #[arg(long, env = "DARKROOM_MAX_METADATA_BYTES", default_value = "16MiB", value_parser = bytes)]
    pub max_metadata_bytes: u64,
    /// Most metadata segments or chunks of an original.
    #[arg(long, env = "DARKROOM_MAX_METADATA_CHUNKS", default_value_t = imaging::Limits::default().max_metadata_chunks)]
    pub max_metadata_chunks: u32,
    /// Share of the rows that a truncated picture must have.
    #[arg(long, env = "DARKROOM_MIN_DECODED_FRACTION", default_value_t = imaging::Limits::default().min_decoded_fraction)]
    pub min_decoded_fraction: f32,
    /// Makes most JPEGs in one pass of a few rows; `off` sends all of them the general way.
    #[arg(long, env = "DARKROOM_JPEG_LANE", default_value = "on", action = clap::ArgAction::Set)]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub jpeg_lane: bool,
    /// Milliseconds that decoding and encoding one picture may take.
    #[arg(long, env = "DARKROOM_DECODE_TIMEOUT_MS", default_value = "20000", value_parser = milliseconds)]
    pub decode_timeout: Duration,
    /// Memory shared by all pictures in work: bytes, KiB, MiB, GiB or a share of the cgroup or machine.
    #[arg(long, env = "DARKROOM_IMAGE_MEMORY", default_value = "60%")]
    pub image_memory: Memory,
    /// Milliseconds that a picture waits for memory before its job is put off.
    #[arg(long, env = "DARKROOM_MEMORY_WAIT_MS", default_value = "300000", value_parser = milliseconds)]
    pub memory_wait: Duration,
    /// What becomes of users' photos: max=PX,quality=1-100,progressive=BOOL; a key left out keeps its default.
    #[arg(long, env = "DARKROOM_PRESET_USER_PHOTO", default_value = "", value_parser = |s: &str| imaging::Preset::USER_PHOTO.overridden(s))]
    pub preset_user_photo: imaging::Preset,
    /// What becomes of product images.
    #[arg(long, env = "DARKROOM_PRESET_PRODUCT", default_value = "", value_parser = |s: &str| imaging::Preset::PRODUCT.overridden(s))]
    pub preset_product: imaging::Preset,
}

impl Imaging {
    /// What an original may be.
    pub fn limits(&self) -> imaging::Limits {
        imaging::Limits {
            max_pixels: self.max_pixels,
            max_side: self.max_side,
            max_aspect_ratio: self.max_aspect_ratio,
            max_jpeg_scans: self.max_jpeg_scans,
            max_decode_work: self.max_decode_work,
            max_icc_bytes: self.max_icc_bytes,
            max_metadata_bytes: self.max_metadata_bytes,
            max_metadata_chunks: self.max_metadata_chunks,
            min_decoded_fraction: self.min_decoded_fraction,
            jpeg_lane: self.jpeg_lane,
        }
    }

    /// What becomes of a picture.
    pub fn preset(&self, name: imaging::PresetName) -> imaging::Preset {
        match name {
            imaging::PresetName::UserPhoto => self.preset_user_photo,
            imaging::PresetName::Product => self.preset_product,
        }
    }
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// So many bytes.
    Bytes(u64),
    /// A share of what the cgroup or the machine has, 1 to 100.
    Percent(u8),
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            Some(share) => match share.parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err("a share is 1% to 100%".into()),
            },
            None => bytes(text).map(Self::Bytes).map_err(|error| format!("{error}, or a share like 60%")),
        }
    }
}
