//! Colors of a wide gamut to sRGB, on strips of the small picture: curves to light, a matrix, the curve of sRGB.

use crate::encode::Layout;

/// Light of 1, in the sum of the three tables: 14 bits, and 4 for their rounding.
const LIGHT: f32 = ((LEVELS - 1) << 4) as f32;

/// Levels of light that the last table tells apart.
const LEVELS: i32 = 1 << 14;

/// For one channel and each of its values, what it adds to red, green and blue light; the fourth is not used.
type Column = [[i32; 4]; 256];

/// Pixels of luma that are converted at once.
const LANES: usize = 16;

/// Some pixels of one channel.
type Row = [u8; LANES];

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

    /// Converts one pixel.
    pub fn srgb(&self, rgb: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = std::array::from_fn(|channel| &self.columns[channel][usize::from(rgb[channel])]);
        self.pixel([r, g, b])
    }

    fn pixel(&self, [r, g, b]: [&[i32; 4]; 3]) -> [u8; 3] {
        let light = [0, 1, 2].map(|channel| (r[channel] + g[channel] + b[channel]) >> 4);
        light.map(|light| self.to_srgb[light.clamp(0, LEVELS - 1) as usize])
    }

    /// Converts a strip in place, for every processor. `planes`: luma and both of chroma, each with how far apart its rows are, a multiple of 16.
    pub(crate) fn portable(&self, planes: [(&mut [u8], usize); 3], layout: Layout) {
        self.convert(planes, layout, |adds| self.pixel(adds));
    }

    /// As [`Color::portable`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    pub(crate) fn avx2(&self, planes: [(&mut [u8], usize); 3], layout: Layout) {
        use std::arch::x86_64::{
            _mm_add_epi32, _mm_cvtsi128_si64, _mm_extract_epi32, _mm_max_epi32, _mm_min_epi32,
            _mm_set1_epi32, _mm_setzero_si128, _mm_srai_epi32,
        };

        use safe_unaligned_simd::x86_64::_mm_loadu_si128;

        self.convert(planes, layout, |[r, g, b]| {
            let sum =
                _mm_add_epi32(_mm_add_epi32(_mm_loadu_si128(r), _mm_loadu_si128(g)), _mm_loadu_si128(b));
            let light = _mm_max_epi32(_mm_srai_epi32(sum, 4), _mm_setzero_si128());
            let light = _mm_min_epi32(light, _mm_set1_epi32(LEVELS - 1));
            let (two, third) = (_mm_cvtsi128_si64(light) as u64, _mm_extract_epi32(light, 2) as usize);
            // All are levels already: the masks only spare checks.
            [two as usize, (two >> 32) as usize, third]
                .map(|level| self.to_srgb[level & (LEVELS as usize - 1)])
        });
    }

    /// `pixel` makes a pixel of sRGB from what its three channels add to the light.
    #[inline(always)]
    fn convert(
        &self,
        planes: [(&mut [u8], usize); 3],
        layout: Layout,
        pixel: impl Fn([&[i32; 4]; 3]) -> [u8; 3],
    ) {
        let [(luma, stride), (blue, blue_stride), (red, red_stride)] = planes;
        if layout == Layout::Half {
            let rows = luma.chunks_exact_mut(2 * stride);
            let chroma = blue.chunks_exact_mut(blue_stride).zip(red.chunks_exact_mut(red_stride));
            for (luma, (blue, red)) in rows.zip(chroma) {
                let (upper, lower) = luma.split_at_mut(stride);
                let luma = upper.as_chunks_mut().0.iter_mut().zip(lower.as_chunks_mut().0);
                let chroma = blue.as_chunks_mut().0.iter_mut().zip(red.as_chunks_mut().0);
                for ((upper, lower), chroma) in luma.zip(chroma) {
                    self.half([upper, lower], chroma, &pixel);
                }
            }
        } else {
            let chroma = blue.as_chunks_mut().0.iter_mut().zip(red.as_chunks_mut().0);
            for (luma, (blue, red)) in luma.as_chunks_mut().0.iter_mut().zip(chroma) {
                let rgb = self.row(luma, &offsets(blue, red), &pixel);
                *luma = luma_of(&rgb);
                (*blue, *red) = chroma_of(&rgb.map(|channel| channel.map(|value| 4 * u16::from(value))));
            }
        }
    }

    /// Two rows of luma and one of each chroma.
    #[inline(always)]
    fn half(
        &self,
        luma: [&mut Row; 2],
        (blue, red): (&mut [u8; LANES / 2], &mut [u8; LANES / 2]),
        pixel: &impl Fn([&[i32; 4]; 3]) -> [u8; 3],
    ) {
        let mut doubled = [[0; LANES]; 3];
        for (doubled, offsets) in doubled.iter_mut().zip(&offsets(blue, red)) {
            for (two, &offset) in doubled.as_chunks_mut().0.iter_mut().zip(offsets) {
                *two = [offset; 2];
            }
        }
        let mut sums = [[0_u16; LANES / 2]; 3];
        for luma in luma {
            let rgb = self.row(luma, &doubled, pixel);
            *luma = luma_of(&rgb);
            for (sums, channel) in sums.iter_mut().zip(&rgb) {
                for (sum, [left, right]) in sums.iter_mut().zip(channel.as_chunks().0) {
                    *sum += u16::from(*left) + u16::from(*right);
                }
            }
        }
        (*blue, *red) = chroma_of(&sums);
    }

    /// Red, green and blue of sRGB.
    #[inline(always)]
    #[expect(clippy::manual_clamp, reason = "a clamp may panic, and is not made a vector")]
    fn row(
        &self,
        luma: &Row,
        offsets: &[[i16; LANES]; 3],
        pixel: &impl Fn([&[i32; 4]; 3]) -> [u8; 3],
    ) -> [Row; 3] {
        let (mut values, mut srgb) = ([[0; LANES]; 3], [[0; LANES]; 3]);
        for (values, offsets) in values.iter_mut().zip(offsets) {
            for at in 0..LANES {
                values[at] = (i16::from(luma[at]) + offsets[at]).max(0).min(255);
            }
        }
        let ([r, g, b], [red, green, blue]) = (values, &*self.columns);
        for at in 0..LANES {
            let [r, g, b] = pixel([
                &red[usize::from(r[at] as u8)],
                &green[usize::from(g[at] as u8)],
                &blue[usize::from(b[at] as u8)],
            ]);
            (srgb[0][at], srgb[1][at], srgb[2][at]) = (r, g, b);
        }
        srgb
    }
}

// These loop over whole arrays, which compilers turn into vectors of whatever the caller may use; `array::from_fn` keeps them from it.

/// What chroma adds to luma for red, green and blue, JFIF 1.02.
#[inline(always)]
fn offsets<const N: usize>(blue: &[u8; N], red: &[u8; N]) -> [[i16; N]; 3] {
    let mut offsets = [[0; N]; 3];
    for at in 0..N {
        let (u, v) = (i32::from(blue[at]) - 128, i32::from(red[at]) - 128);
        offsets[0][at] = ((359 * v + 128) >> 8) as i16;
        offsets[1][at] = ((-88 * u - 183 * v + 128) >> 8) as i16;
        offsets[2][at] = ((454 * u + 128) >> 8) as i16;
    }
    offsets
}

#[inline(always)]
pub(crate) fn luma_of([r, g, b]: &[Row; 3]) -> Row {
    let mut luma = [0; LANES];
    for at in 0..LANES {
        let (r, g, b) = (i32::from(r[at]), i32::from(g[at]), i32::from(b[at]));
        luma[at] = ((19_595 * r + 38_470 * g + 7_471 * b + (1 << 15)) >> 16) as u8;
    }
    luma
}

/// Of sums of four pixels.
#[inline(always)]
pub(crate) fn chroma_of<const N: usize>([r, g, b]: &[[u16; N]; 3]) -> ([u8; N], [u8; N]) {
    const CENTER: i32 = (1 << 25) + (1 << 17) - 1;
    let (mut blue, mut red) = ([0; N], [0; N]);
    for at in 0..N {
        let (r, g, b) = (i32::from(r[at]), i32::from(g[at]), i32::from(b[at]));
        blue[at] = ((-11_059 * r - 21_709 * g + 32_768 * b + CENTER) >> 18) as u8;
        red[at] = ((32_768 * r - 27_439 * g - 5_329 * b + CENTER) >> 18) as u8;
    }
    (blue, red)
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
        for (y, u, v) in
            (0..=255).step_by(5).flat_map(|y| (98..=158).step_by(10).map(move |u| (y, u, 256 - u)))
        {
            let rgb = offsets(&[u as u8], &[v as u8]).map(|[offset]| y + i32::from(offset));
            if rgb.iter().any(|value| !(0..=255).contains(value)) {
                continue;
            }
            let (mut luma, mut blue, mut red) = ([y as u8; 64], [u as u8; 16], [v as u8; 16]);
            color.portable([(&mut luma, 16), (&mut blue, 8), (&mut red, 8)], Layout::Half);
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
        let (mut luma, mut blue, mut red) = ([76_u8; 16], [85_u8; 16], [255_u8; 16]);
        color.portable([(&mut luma, 16), (&mut blue, 16), (&mut red, 16)], Layout::Full);

        assert_eq!((luma[0], blue[0], red[0]), (29, 255, 107));
    }
}
