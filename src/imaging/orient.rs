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
}

/// Turns and mirrors a picture so that it is seen as it was meant.
pub(super) fn upright(raster: Raster8, orientation: Orientation) -> Raster8 {
    if orientation == Orientation::UPRIGHT {
        return raster;
    }
    let (width, height) = orientation.of_size(raster.width, raster.height);
    let channels = usize::from(raster.channels);
    let (from_width, from_height) = (raster.width as usize, raster.height as usize);
    let mut samples = Vec::with_capacity(raster.samples.len());
    for y in 0..height as usize {
        for x in 0..width as usize {
            let (from_x, from_y) = match orientation.0 {
                2 => (from_width - 1 - x, y),
                3 => (from_width - 1 - x, from_height - 1 - y),
                4 => (x, from_height - 1 - y),
                5 => (y, x),
                6 => (y, from_height - 1 - x),
                7 => (from_width - 1 - y, from_height - 1 - x),
                _ => (from_width - 1 - y, x),
            };
            let at = (from_y * from_width + from_x) * channels;
            samples.extend_from_slice(&raster.samples[at..at + channels]);
        }
    }
    Raster8 { width, height, samples, ..raster }
}
