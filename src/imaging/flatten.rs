//! Alpha on white.

use super::raster::Raster8;

/// Puts a picture with alpha on white; one without stays as it is. Grey stays grey.
pub(super) fn on_white(raster: Raster8) -> Raster8 {
    if raster.channels != 4 {
        return raster;
    }
    let mut samples = Vec::with_capacity(raster.samples.len() / 4 * 3);
    for pixel in raster.samples.chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        for sample in &pixel[..3] {
            let mixed = (u32::from(*sample) * alpha + 255 * (255 - alpha) + 127) / 255;
            samples.push(u8::try_from(mixed).expect("a mean of two samples is a sample"));
        }
    }
    Raster8 { channels: 3, samples, ..raster }
}
