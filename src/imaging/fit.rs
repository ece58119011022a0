//! The size of the result.

use darkroom_resize::{lanczos3_u8, lanczos3_u16};

use super::{
    error::Error,
    raster::{Raster, Samples},
};

/// Sides with at most `max_side` px, in proportion; never enlarged, never 0.
pub(super) fn fitted((width, height): (u32, u32), max_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= max_side {
        return (width, height);
    }
    let scaled = |side: u32| {
        let (side, longest, max) = (u64::from(side), u64::from(longest), u64::from(max_side));
        u32::try_from((side * max + longest / 2) / longest).expect("smaller than it was").max(1)
    };
    (scaled(width), scaled(height))
}

/// Lanczos3. Alpha is multiplied before and divided after, so that invisible colors do not bleed into visible ones.
pub(super) fn resize(raster: Raster, (width, height): (u32, u32)) -> Result<Raster, Error> {
    let raster = raster.widened();
    if (raster.width, raster.height) == (width, height) {
        return Ok(raster);
    }
    let from = (raster.width, raster.height);
    let samples = match &raster.samples {
        Samples::U8(samples) => lanczos3_u8(samples, raster.channels, from, (width, height)).map(Samples::U8),
        Samples::U16(samples) => {
            lanczos3_u16(samples, raster.channels, from, (width, height)).map(Samples::U16)
        }
    };
    let samples = samples.map_err(Error::corrupt)?;
    Ok(Raster { width, height, samples, ..raster })
}
