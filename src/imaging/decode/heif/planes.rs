//! Planes of brightness and color → rows of pixels (ITU-T H.273).

use crate::imaging::{error::Error, header::heif::picture::CodePoints};

/// Samples of a plane, row by row.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a, T> {
    pub samples: &'a [T],
    /// Samples from one row to the next.
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

/// A decoded tile.
pub(super) struct Planes<'a, T> {
    pub luma: Plane<'a, T>,
    pub chroma: Option<[Plane<'a, T>; 2]>,
    pub coding: Coding,
}

/// How samples are coded.
#[derive(Clone, Copy)]
pub(super) struct Coding {
    pub luma_bits: u8,
    pub chroma_bits: u8,
    /// Colors are there for every other column.
    pub half_width: bool,
    /// Colors are there for every other row.
    pub half_height: bool,
}

/// A sample of a painted pixel.
pub(super) trait Depth: Copy + Default {
    /// White.
    const FULL: f32;

    /// The nearest sample.
    fn of(level: f32) -> Self;

    /// One channel in other sides.
    fn resized(samples: &[Self], from: (u32, u32), to: (u32, u32)) -> Result<Vec<Self>, Error>;
}

/// What a number from 0 to 65,535 is nearest to, in the low bits: the processor rounds when the last bit is worth one. Casts
/// would do the same, but not for several numbers at once.
pub(super) fn nearest(level: f32, full: f32) -> u32 {
    const LAST_BIT_IS_ONE: f32 = 8_388_608.0;
    (level.max(0.0).min(full) + LAST_BIT_IS_ONE).to_bits()
}

/// A part of a picture, px.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Window {
    /// What two parts have in common.
    pub fn common(&self, other: &Self) -> Option<Self> {
        let (left, top) = (self.left.max(other.left), self.top.max(other.top));
        let right = (self.left + self.width).min(other.left + other.width);
        let bottom = (self.top + self.height).min(other.top + other.height);
        (left < right && top < bottom).then(|| Self { left, top, width: right - left, height: bottom - top })
    }

    pub fn relative_to(&self, other: &Self) -> Self {
        Self { left: self.left - other.left, top: self.top - other.top, ..*self }
    }
}

/// From coded samples to levels.
pub(super) struct Conversion {
    luma_zero: f32,
    luma: f32,
    /// In sixteenths, as colors are made of up to four samples.
    chroma_zero: f32,
    /// Shares of both colors in red, green and blue; none when the planes are green, blue and red already.
    colors: Option<[[f32; 2]; 3]>,
}

/// What colors are multiplied by before they are converted.
const SIXTEEN: f32 = 16.0;

impl Conversion {
    pub fn new<S: Depth>(coding: &Coding, meaning: &CodePoints) -> Result<Self, Error> {
        let scale = |bits: u8| ((1_u32 << bits) / 256) as f32;
        let (luma_zero, luma_range, chroma_range) = if meaning.full_range {
            (0.0, full(coding.luma_bits), full(coding.chroma_bits))
        } else {
            (
                16.0 * scale(coding.luma_bits),
                219.0 * scale(coding.luma_bits),
                224.0 * scale(coding.chroma_bits),
            )
        };
        let share = |share: f64| share as f32 * S::FULL / chroma_range / SIXTEEN;
        Ok(Self {
            luma_zero,
            luma: S::FULL / luma_range,
            chroma_zero: SIXTEEN * (full(coding.chroma_bits) + 1.0) / 2.0,
            colors: shares(meaning)?.map(|shares| shares.map(|pair| pair.map(share))),
        })
    }

    fn level(&self, luma: f32) -> f32 {
        (luma - self.luma_zero) * self.luma
    }
}

/// The largest number of so many bits, at most 16.
fn full(bits: u8) -> f32 {
    ((1_u32 << bits) - 1) as f32
}

/// Shares of Cb and Cr in red, green and blue, of a range of one; none when there is nothing to compute.
fn shares(meaning: &CodePoints) -> Result<Option<[[f64; 2]; 3]>, Error> {
    let (red, blue) = match meaning.matrix {
        0 => return Ok(None),
        1 => (0.2126, 0.0722),
        // Not said, and both kinds of BT.601.
        2 | 3 | 5 | 6 => (0.299, 0.114),
        4 => (0.30, 0.11),
        7 => (0.212, 0.087),
        8 => return Ok(Some([[-1.0, 1.0], [1.0, 0.0], [-1.0, -1.0]])),
        9 => (0.2627, 0.0593),
        12 => of_primaries(meaning.primaries),
        _ => return Err(Error::Unsupported("image/heif with rare colors")),
    };
    let green = 1.0 - red - blue;
    let (in_red, in_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
    Ok(Some([[0.0, in_red], [-in_blue * blue / green, -in_red * red / green], [in_blue, 0.0]]))
}

/// Brightness of red and blue of these primaries.
fn of_primaries(primaries: u16) -> (f64, f64) {
    match primaries {
        5 => (0.2220, 0.0713),
        6 | 7 => (0.2124, 0.0866),
        9 => (0.2627, 0.0593),
        11 => (0.2095, 0.0689),
        12 => (0.2290, 0.0793),
        _ => (0.2126, 0.0722),
    }
}

/// What is painted on, row by row, channels interleaved; an even number of them ends with alpha, which is left alone.
pub(super) struct Canvas<S> {
    samples: Vec<S>,
    width: usize,
    height: usize,
    channels: usize,
}

impl<S: Depth> Canvas<S> {
    /// A canvas that takes memory when something is painted on it: what a file claims and does not have takes none.
    pub fn new(width: u32, height: u32, channels: u8) -> Self {
        Self {
            samples: Vec::new(),
            width: width as usize,
            height: height as usize,
            channels: usize::from(channels),
        }
    }

    pub fn into_samples(self) -> Vec<S> {
        self.samples
    }

    /// Paints a part of a tile at a place.
    pub fn paint<T: Copy + Into<f32>>(
        &mut self,
        planes: &Planes<'_, T>,
        conversion: &Conversion,
        from: Window,
        (x, y): (u32, u32),
    ) {
        if self.samples.is_empty() {
            self.samples = vec![S::default(); self.width * self.height * self.channels];
        }
        let (left, width) = (from.left as usize, from.width as usize);
        let mut lines = Lines::new(planes, width);
        for row in 0..from.height as usize {
            let source = from.top as usize + row;
            let start = ((y as usize + row) * self.width + x as usize) * self.channels;
            let target = &mut self.samples[start..start + width * self.channels];
            let luma = &planes.luma.row(source)[left..left + width];
            lines
                .levels
                .iter_mut()
                .zip(luma)
                .for_each(|(level, luma)| *level = conversion.level((*luma).into()));
            match &planes.chroma {
                Some(chroma) if self.channels > 2 => {
                    lines.spread(chroma, &planes.coding, source);
                    lines.convert(conversion, left);
                    for (channel, line) in lines.painted.iter().enumerate() {
                        put(target, self.channels, channel, line);
                    }
                }
                _ => {
                    lines.painted[0]
                        .iter_mut()
                        .zip(&lines.levels)
                        .for_each(|(sample, level)| *sample = S::of(*level));
                    for channel in 0..if self.channels > 2 { 3 } else { 1 } {
                        put(target, self.channels, channel, &lines.painted[0]);
                    }
                }
            }
        }
    }
}

impl<T: Copy> Plane<'_, T> {
    fn row(&self, index: usize) -> &[T] {
        &self.samples[index * self.stride..][..self.width]
    }
}

/// Puts a line into one channel.
fn put<S: Copy>(target: &mut [S], channels: usize, channel: usize, line: &[S]) {
    target.chunks_exact_mut(channels).zip(line).for_each(|(pixel, sample)| pixel[channel] = *sample);
}

/// A row on its way to pixels.
struct Lines<S> {
    /// Brightness.
    levels: Vec<f32>,
    /// A color between two rows, in quarters, with the first and the last twice.
    blended: Vec<f32>,
    /// Both colors, one for each pixel of the tile, in sixteenths: between their neighbors, as in a JPEG.
    colors: [Vec<f32>; 2],
    /// Red, green and blue.
    painted: [Vec<S>; 3],
}

impl<S: Depth> Lines<S> {
    fn new<T>(planes: &Planes<'_, T>, width: usize) -> Self {
        let chroma_width = planes.chroma.as_ref().map_or(0, |[first, _]| first.width);
        // A row of an odd number of pixels ends with half of a color.
        let color_width = if planes.coding.half_width { chroma_width * 2 } else { chroma_width };
        Self {
            levels: vec![0.0; width],
            blended: vec![0.0; chroma_width + 2],
            colors: std::array::from_fn(|_| vec![0.0; color_width]),
            painted: std::array::from_fn(|_| vec![S::default(); width]),
        }
    }

    /// Gives every pixel of a row its colors.
    fn spread<T: Copy + Into<f32>>(&mut self, chroma: &[Plane<'_, T>; 2], coding: &Coding, row: usize) {
        for (plane, color) in chroma.iter().zip(&mut self.colors) {
            let (near, far) = if coding.half_height {
                let near = (row / 2).min(plane.height - 1);
                (
                    near,
                    if row.is_multiple_of(2) {
                        near.saturating_sub(1)
                    } else {
                        (near + 1).min(plane.height - 1)
                    },
                )
            } else {
                (row, row)
            };
            let width = plane.width;
            let pairs = plane.row(near).iter().zip(plane.row(far));
            for (blended, (near, far)) in self.blended[1..=width].iter_mut().zip(pairs) {
                *blended = 3.0 * (*near).into() + (*far).into();
            }
            self.blended[0] = self.blended[1];
            self.blended[width + 1] = self.blended[width];
            if coding.half_width {
                let (before, at, after) =
                    (&self.blended[..width], &self.blended[1..=width], &self.blended[2..]);
                for (((pair, before), at), after) in color.chunks_exact_mut(2).zip(before).zip(at).zip(after)
                {
                    pair[0] = 3.0 * at + before;
                    pair[1] = 3.0 * at + after;
                }
            } else {
                color.iter_mut().zip(&self.blended[1..]).for_each(|(color, blended)| *color = 4.0 * blended);
            }
        }
    }

    /// Makes red, green and blue of the pixels from `left` on.
    fn convert(&mut self, conversion: &Conversion, left: usize) {
        let width = self.levels.len();
        let [first, second] = self.colors.each_ref().map(|color| &color[left..left + width]);
        let Some(shares) = &conversion.colors else {
            let level = |color: &f32| S::of(conversion.level(color / SIXTEEN));
            let [red, green, blue] = &mut self.painted;
            red.iter_mut().zip(second).for_each(|(sample, color)| *sample = level(color));
            green.iter_mut().zip(&self.levels).for_each(|(sample, level)| *sample = S::of(*level));
            blue.iter_mut().zip(first).for_each(|(sample, color)| *sample = level(color));
            return;
        };
        for (line, share) in self.painted.iter_mut().zip(shares) {
            let offset = -conversion.chroma_zero * (share[0] + share[1]);
            for (((sample, level), first), second) in line.iter_mut().zip(&self.levels).zip(first).zip(second)
            {
                *sample = S::of(level + offset + first * share[0] + second * share[1]);
            }
        }
    }
}
