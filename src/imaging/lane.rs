//! The way of most photos: JPEG to JPEG in one pass, a few rows in memory. See `jpeg/`.
//!
//! Takes what is a plain photo by its header alone. When it turns out to be damaged, the general way begins anew: that one alone refuses a file.

use std::cell::RefCell;

use darkroom_jobs::Encoding;
use darkroom_jpeg::{Kernels, Orientation, Output, Plan, Preview, Scratch};

use super::{
    Limits, Normalized, Preset, color, encode, facts::Facts, fit, header::Header, raster::Raster8,
    sniff::Format,
};

/// Results whose longest side is shorter, px, go the general way: an eighth of them tells too little for a ThumbHash, and they cost little.
const SHORTEST: u32 = 800;

thread_local! {
    /// What one photo leaves to the next.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Makes the picture if it is one of those; nothing when it has to go the general way, which then has all the memory.
pub(super) fn normalize(
    original: &[u8],
    header: &Header,
    preset: &Preset,
    limits: &Limits,
) -> Option<Normalized> {
    let made = made(original, header, preset, limits);
    if made.is_none() {
        rest();
    }
    made
}

fn made(original: &[u8], header: &Header, preset: &Preset, limits: &Limits) -> Option<Normalized> {
    let (width, height) = fit::fitted(header.oriented(), preset.max_side);
    let plain = limits.jpeg_lane && header.format == Format::Jpeg && !header.rewritten && !preset.progressive;
    if !plain || width.max(height) < SHORTEST {
        return None;
    }
    let grey = header.pixel.channels == 1;
    let conversion = color::conversion(&header.colors, grey)?;
    let quality = encode::quality(preset, header.jpeg_quality);
    let plan = Plan {
        max_side: preset.max_side,
        quality,
        full_chroma: encode::has_full_color(quality),
        orientation: Orientation::from_exif(header.orientation.get()),
        color: conversion.color,
        segments: encode::profile_segment(grey),
    };
    // A file may show another frame to another reader: memory was set aside for the header's.
    let limits = darkroom_jpeg::Limits {
        max_pixels: u64::from(header.width) * u64::from(header.height),
        max_side: header.width.max(header.height),
        max_scans: limits.max_jpeg_scans as usize,
        max_work: limits.max_decode_work,
    };
    let made = SCRATCH.with_borrow_mut(|scratch| darkroom_jpeg::normalize(original, &plan, &limits, scratch));
    let announced = (header.width as usize, header.height as usize, grey);
    let made = made.ok().filter(|made| (made.source_width, made.source_height, made.grey) == announced)?;
    let Output { jpeg, width, height, preview, .. } = made;
    let facts = Facts::new(header, conversion.description, &raster(preview));
    Some(Normalized {
        jpeg,
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        facts,
        warnings: header.warnings.clone(),
        encoding: Encoding::Lane,
    })
}

/// Gives up what photos left to the next.
pub(super) fn rest() {
    SCRATCH.with_borrow_mut(|scratch| *scratch = Scratch::default());
}

/// What the kernels of this machine are made of.
pub(super) fn kernels() -> &'static str {
    Kernels::detect().name()
}

fn raster(preview: Preview) -> Raster8 {
    let side = |side: usize| u32::try_from(side).expect("an eighth of 16 bits");
    Raster8 { width: side(preview.width), height: side(preview.height), channels: 3, samples: preview.rgb }
}
