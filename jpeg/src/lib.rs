//! Photos to smaller photos: one streamed pass from JPEG to JPEG, a few rows in memory, never a picture in RGB.
//!
//! Takes what nine photos in ten are: 8-bit Huffman-coded JPEGs, baseline or progressive, grey or YCbCr, with chroma at full or half size in
//! either direction. Whatever else a file is, [`Error`] says so before a pixel is made, or as soon as damage is seen: the caller then goes the
//! way that takes every JPEG.
//!
//! [`encode`] is its last part, for pictures that come another way.
//!
//! What profiles and orientations a file has is the caller's to read; [`Plan`] says what to make of them.

#![deny(unsafe_code)]

mod arch;
mod baseline;
mod batch;
mod color;
mod dct;
mod encode;
mod error;
mod header;
mod huffman;
mod limits;
mod orient;
mod picture;
mod pipeline;
mod plan;
mod preview;
mod progressive;
mod resample;
mod ring;
mod scratch;
mod source;

pub use arch::Kernels;
pub use color::Color;
pub use error::Error;
pub use limits::Limits;
pub use orient::Orientation;
pub use picture::{MAX_SIDE, Picture, Style, encode};
pub use plan::Plan;
pub use preview::Preview;
pub use scratch::Scratch;

use header::Reader;
use pipeline::Pipeline;

/// A photo that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The file.
    pub jpeg: Vec<u8>,
    /// Of the result, turned, px.
    pub width: usize,
    /// Of the result, turned, px.
    pub height: usize,
    /// Of the original as stored, px.
    pub source_width: usize,
    /// Of the original as stored, px.
    pub source_height: usize,
    /// Whether there is luma alone.
    pub grey: bool,
    /// The mean colors of the result's 8 × 8 pixels.
    pub preview: Preview,
}

/// Makes a smaller photo. Pure: the same arguments give the same bytes, whatever the processor and whatever `scratch` was used for.
///
/// # Errors
///
/// [`Error`]: the general way has to look at the file.
pub fn normalize(jpeg: &[u8], plan: &Plan, limits: &Limits, scratch: &mut Scratch) -> Result<Output, Error> {
    let mut reader = Reader::new(jpeg)?;
    let (frame, scan) = reader.frame(limits)?;
    let mut pipeline;
    if frame.progressive {
        let store = progressive::read(jpeg, &mut reader, &frame, scan, limits, scratch)?;
        pipeline = Pipeline::new(&frame, store.quants(), plan, scratch)?;
        store.pour(&frame, &mut pipeline, scratch);
    } else {
        if scan.components.len() != frame.components.len() {
            return Err(Error::Unsupported("a baseline picture in several scans"));
        }
        if scan.band != (0, 63) || scan.approximation != (0, 0) {
            return Err(Error::Corrupt("a scan header"));
        }
        let quants = progressive::quants(&frame, &reader.tables)?;
        pipeline = Pipeline::new(&frame, &quants, plan, scratch)?;
        baseline::read(jpeg, reader.at, (&frame, &scan, &reader.tables), &mut pipeline, scratch)?;
    }
    Ok(pipeline.finish(scratch))
}

/// The example of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
