//! Colors of a wide gamut to sRGB, on strips of the small picture: curves to light, a matrix, the curve of sRGB.

use crate::encode::Layout;

/// Light of 1, in the sum of the three tables: 14 bits, and 4 for their rounding.
const LIGHT: f32 = ((LEVELS - 1) << 4) as f32;

/// Levels of light that the last table tells apart.
const LEVELS: i32 = 1 << 14;

/// For one channel and each of its values, what it adds to red, green and blue light; the fourth is not used.
type Column = [[i32; 4]; 256];

/// What turns colors of one profile into those of sRGB. Costs 29 KB and some 20,000 powers; keep it for pictures with the same profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Color {
    columns: Box<[Column; 3]>,
    to_srgb: Box<[u8; LEVELS as usize]>,
}

impl Color {
    /// `curves` tell for each channel and value how much light it means, 0 to 1; `matrix` makes of that light the light of sRGB, rows first.
    pub fn new(curves: &[[f32; 256]; 3], matrix: &[[f32; 3]; 3]) -> Self {
        let mut columns = Box::new([[[0; 4]; 256]; 3]);
        for ((channel, column), curve) in columns.iter_mut().enumerate().zip(curves) {
            for (adds, light) in column.iter_mut().zip(curve) {
                for (add, row) in adds.iter_mut().zip(matrix) {
                    *add = (row[channel] * light * LIGHT).round() as i32;
                }
            }
        }
        let mut to_srgb = Box::new([0; LEVELS as usize]);
        for (level, out) in (0_i32..).zip(&mut *to_srgb) {
            *out = (encoded(level as f32 / (LEVELS - 1) as f32) * 255.0).round() as u8;
        }
        Self { columns, to_srgb }
    }

    /// Converts a strip in place. `planes`: luma and both of chroma, each with how far apart its rows are.
    pub fn convert(&self, planes: [(&mut [u8], usize); 3], layout: Layout) {
        let [(luma, stride), (blue, blue_stride), (red, red_stride)] = planes;
        if layout == Layout::Half {
            let rows = luma.chunks_exact_mut(2 * stride);
            let chroma = blue.chunks_exact_mut(blue_stride).zip(red.chunks_exact_mut(red_stride));
            for (luma, (blue, red)) in rows.zip(chroma) {
                let (upper, lower) = luma.split_at_mut(stride);
                self.half(upper, lower, blue, red);
            }
        } else {
            for ((luma, blue), red) in luma.iter_mut().zip(blue).zip(red) {
                let rgb = self.pixel(*luma, offsets(*blue, *red));
                *luma = luma_of(rgb);
                (*blue, *red) = chroma_of(rgb.map(|value| 4 * value));
            }
        }
    }

    /// Two rows of luma and one of each chroma.
    fn half(&self, upper: &mut [u8], lower: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
        let luma = upper.as_chunks_mut::<2>().0.iter_mut().zip(lower.as_chunks_mut::<2>().0);
        for ((upper, lower), (blue, red)) in luma.zip(blue.iter_mut().zip(red)) {
            let offsets = offsets(*blue, *red);
            let mut sum = [0; 3];
            for luma in upper.iter_mut().chain(lower) {
                let rgb = self.pixel(*luma, offsets);
                *luma = luma_of(rgb);
                for (sum, value) in sum.iter_mut().zip(rgb) {
                    *sum += value;
                }
            }
            (*blue, *red) = chroma_of(sum);
        }
    }

    /// One pixel in sRGB.
    #[inline(always)]
    fn pixel(&self, luma: u8, offsets: [i32; 3]) -> [i32; 3] {
        let value = |channel: usize| (i32::from(luma) + offsets[channel]).clamp(0, 255) as usize;
        let [r, g, b] = [0, 1, 2].map(|channel| self.columns[channel][value(channel)]);
        [0, 1, 2].map(|channel| {
            let light = (r[channel] + g[channel] + b[channel]) >> 4;
            self.to_srgb[light.clamp(0, LEVELS - 1) as usize].into()
        })
    }
}

/// What chroma adds to luma for red, green and blue, JFIF 1.02.
#[inline(always)]
fn offsets(blue: u8, red: u8) -> [i32; 3] {
    let (u, v) = (i32::from(blue) - 128, i32::from(red) - 128);
    [(359 * v + 128) >> 8, (-88 * u - 183 * v + 128) >> 8, (454 * u + 128) >> 8]
}

#[inline(always)]
fn luma_of([r, g, b]: [i32; 3]) -> u8 {
    ((19_595 * r + 38_470 * g + 7_471 * b + (1 << 15)) >> 16) as u8
}

/// Of the sum of four pixels.
#[inline(always)]
fn chroma_of([r, g, b]: [i32; 3]) -> (u8, u8) {
    const CENTER: i32 = (1 << 25) + (1 << 17) - 1;
    let blue = (-11_059 * r - 21_709 * g + 32_768 * b + CENTER) >> 18;
    let red = (32_768 * r - 27_439 * g - 5_329 * b + CENTER) >> 18;
    (blue as u8, red as u8)
}

/// The sample of sRGB for so much light, IEC 61966-2-1.
fn encoded(light: f32) -> f32 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn light(value: usize) -> f32 {
        let sample = value as f32 / 255.0;
        if sample <= 0.040_45 { sample / 12.92 } else { ((sample + 0.055) / 1.055).powf(2.4) }
    }

    #[test]
    fn srgb_stays_as_it_is() {
        let curve = std::array::from_fn(light);
        let color = Color::new(&[curve; 3], &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        for (y, u, v) in (0..=255).step_by(5).flat_map(|y| (98..=158).step_by(10).map(move |u| (y, u, 256 - u))) {
            let rgb = offsets(u as u8, v as u8).map(|offset| y + offset);
            if rgb.iter().any(|value| !(0..=255).contains(value)) {
                continue;
            }
            let (mut luma, mut blue, mut red) = ([y as u8; 64], [u as u8; 16], [v as u8; 16]);
            color.convert([(&mut luma, 8), (&mut blue, 4), (&mut red, 4)], Layout::Half);
            assert!(luma.iter().all(|&out| (i32::from(out) - y).abs() <= 1), "{y} {u} {v}: {luma:?}");
            assert!(blue.iter().all(|&out| (i32::from(out) - u).abs() <= 1), "{y} {u} {v}: {blue:?}");
            assert!(red.iter().all(|&out| (i32::from(out) - v).abs() <= 1), "{y} {u} {v}: {red:?}");
        }
    }

    #[test]
    fn the_matrix_is_applied_to_light() {
        let curve = std::array::from_fn(light);
        let swapped = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        let color = Color::new(&[curve; 3], &swapped);

        // Red becomes blue.
        let (mut luma, mut blue, mut red) = ([76_u8], [85_u8], [255_u8]);
        color.convert([(&mut luma, 1), (&mut blue, 1), (&mut red, 1)], Layout::Full);

        assert_eq!((luma[0], blue[0], red[0]), (29, 255, 107));
    }
}
