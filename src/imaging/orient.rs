//! The eight ways a camera may be held.

use super::raster::Raster8;

/// EXIF orientation, 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    /// As stored.
    pub const UPRIGHT: Self = Self(1);

    /// The orientation that a number means, if it means one.
    pub const fn new(value: u32) -> Option<Self> {
        if value >= 1 && value <= 8 { Some(Self(value as u8)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Sides after (or before: it is its own inverse) turning.
    pub const fn of_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.0 >= 5 { (height, width) } else { (width, height) }
    }

    /// Where a pixel that is seen at `(x, y)` is stored, in a picture of these sides as stored.
    pub(super) const fn stored(self, (x, y): (u32, u32), (width, height): (u32, u32)) -> (u32, u32) {
        match self.0 {
            1 => (x, y),
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (y, height - 1 - x),
            7 => (width - 1 - y, height - 1 - x),
            _ => (width - 1 - y, x),
        }
    }
}

/// Turns and mirrors a picture so that it is seen as it was meant.
pub(super) fn upright(raster: Raster8, orientation: Orientation) -> Raster8 {
    if orientation == Orientation::UPRIGHT {
        return raster;
    }
    let (width, height) = orientation.of_size(raster.width, raster.height);
    let channels = usize::from(raster.channels);
    let mut samples = Vec::with_capacity(raster.samples.len());
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = orientation.stored((x, y), (raster.width, raster.height));
            let at = (from_y as usize * raster.width as usize + from_x as usize) * channels;
            samples.extend_from_slice(&raster.samples[at..at + channels]);
        }
    }
    Raster8 { width, height, samples, ..raster }
}
