//! What a picture looks like from afar: a by-product of encoding it.

use crate::encode::{Encoder, Layout};

/// The mean color of each 8 × 8 pixels of a picture; of the last ones in a row or column, with the last pixels repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// An eighth of the picture's, rounded up.
    pub width: usize,
    /// An eighth of the picture's, rounded up.
    pub height: usize,
    /// Red, green and blue, rows from above.
    pub rgb: Vec<u8>,
}

impl Preview {
    /// Of what was encoded, for a picture of `width` × `height` px. A mean is off by at most half of the DC's quantization step over 8.
    pub(crate) fn new(encoder: &Encoder, layout: Layout, width: usize, height: usize) -> Self {
        let per_mcu = if layout == Layout::Half { 2 } else { 1 };
        let mcus = width.div_ceil(8 * per_mcu);
        let (width, height) = (width.div_ceil(8), height.div_ceil(8));
        let mean = |component: usize, at: usize| {
            let step = i32::from(encoder.quants[component.min(1)].steps[0]);
            i32::from(encoder.tokens.means[component][at]) * step / 8
        };
        let mut rgb = Vec::with_capacity(3 * width * height);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let mcu = y / per_mcu * mcus + x / per_mcu;
            let luma = 128 + mean(0, mcu * per_mcu * per_mcu + y % per_mcu * per_mcu + x % per_mcu);
            let (u, v) = if layout == Layout::Grey { (0, 0) } else { (mean(1, mcu), mean(2, mcu)) };
            // JFIF 1.02.
            let channels = [(359 * v + 128) >> 8, (-88 * u - 183 * v + 128) >> 8, (454 * u + 128) >> 8];
            rgb.extend(channels.map(|offset| (luma + offset).clamp(0, 255) as u8));
        }
        Self { width, height, rgb }
    }
}
