//! The size of the result.

use fast_image_resize as fir;
use fir::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image};

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
    let pixel_type = match (&raster.samples, raster.channels) {
        (Samples::U8(_), 1) => PixelType::U8,
        (Samples::U8(_), 3) => PixelType::U8x3,
        (Samples::U8(_), _) => PixelType::U8x4,
        (Samples::U16(_), 1) => PixelType::U16,
        (Samples::U16(_), 3) => PixelType::U16x3,
        (Samples::U16(_), _) => PixelType::U16x4,
    };
    let (deep, bytes) = match raster.samples {
        Samples::U8(samples) => (false, samples),
        Samples::U16(samples) => (true, samples.into_iter().flat_map(u16::to_ne_bytes).collect()),
    };
    let failed = |error: &dyn std::fmt::Display| Error::corrupt(error);
    let source =
        Image::from_vec_u8(raster.width, raster.height, bytes, pixel_type).map_err(|e| failed(&e))?;
    let mut target = Image::new(width, height, pixel_type);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    let bytes = target.into_vec();
    let samples = if deep {
        Samples::U16(bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect())
    } else {
        Samples::U8(bytes)
    };
    Ok(Raster { width, height, samples, ..raster })
}
