//! The latest rows of one component, in tiles of 64 columns.
//!
//! `ring[tile * capacity + row % capacity]`: the rows of a tile are neighbours, and so are the blocks of an MCU.

use crate::{dct::Steps, resample::Resampler};

/// Columns of a tile.
pub const TILE: usize = 64;

/// Samples (pixels × 64) of one row of a tile.
pub type Row = [i16; TILE];

/// One component on its way from source rows to rows of the output.
#[derive(Debug)]
pub struct Plane {
    /// Samples of a block in each direction: 8, or 4 at half size.
    pub side: usize,
    /// Tiles that a row takes.
    pub tiles: usize,
    /// Rows that an MCU row brings.
    pub band: usize,
    /// Source rows there are, without padding.
    pub source_rows: usize,
    /// Rows that the ring holds, whole MCU rows.
    pub capacity: usize,
    /// The rows.
    pub ring: Vec<Row>,
    /// Source rows that came, padding included.
    pub have: usize,
    /// Next output row.
    pub next: usize,
    /// Output rows of a strip.
    pub strip_rows: usize,
    /// Output rows that the first strip lacks: in a picture that is turned over it becomes the last one.
    pub lead: usize,
    /// Output columns.
    pub width: usize,
    /// How output samples are made.
    pub resampler: Resampler,
    /// Output rows after the vertical step, `stride` apart.
    pub columns: Vec<i16>,
    /// Samples of a row in `columns`.
    pub stride: usize,
    /// One strip of output pixels, `strip_stride` apart.
    pub strip: Vec<u8>,
    /// Pixels of a row in `strip`, a multiple of what an MCU takes.
    pub strip_stride: usize,
    /// How its coefficients were quantized.
    pub steps: Steps,
}

impl Plane {
    /// The first output row of a strip.
    pub fn start(&self, strip: usize) -> usize {
        (strip * self.strip_rows).saturating_sub(self.lead)
    }

    /// Where in the ring the next MCU row goes.
    pub fn place(&self) -> usize {
        self.have % self.capacity
    }
}
