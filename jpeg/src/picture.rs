//! Pixels in memory to a file, for whatever comes another way than [`crate::normalize`].

use crate::{
    arch::Kernels,
    color::{chroma_of, luma_of},
    encode::{Encoder, Layout, Strips, tokens::Tokens, write::Head},
};

/// Longest side that a JPEG may have, px.
pub const MAX_SIDE: usize = 65_535;

/// Pixels that are converted at once.
const LANES: usize = 16;

/// A picture without gaps between its rows: grey, or red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// One or three bytes for each pixel, rows from above.
    pub samples: &'a [u8],
    /// px, 1 to [`MAX_SIDE`]
    pub width: usize,
    /// px, 1 to [`MAX_SIDE`]
    pub height: usize,
}

/// How a picture is written.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// 1 to 100, as libjpeg counts.
    pub quality: u8,
    /// As many samples of chroma as of luma (4:4:4), else half of them in both directions (4:2:0).
    pub full_chroma: bool,
    /// Segments for the head of the file, marker and length included: a color profile.
    pub segments: &'a [u8],
}

/// Writes a picture as a baseline JPEG with optimal Huffman tables. The same arguments give the same bytes, whatever the processor. `None` when
/// the sides are not 1 to [`MAX_SIDE`], or the samples are not as many as they ask for.
pub fn encode(picture: &Picture<'_>, style: &Style<'_>, kernels: Kernels) -> Option<Vec<u8>> {
    let Picture { samples, width, height } = *picture;
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return None;
    }
    let layout = match (samples.len() / (width * height), samples.len() % (width * height)) {
        (1, 0) => Layout::Grey,
        (3, 0) if style.full_chroma => Layout::Full,
        (3, 0) => Layout::Half,
        _ => return None,
    };
    let head = Head { layout, sides: (width as u16, height as u16), segments: style.segments };
    let mut encoder = Encoder::new(style.quality, Tokens::default());
    let mut strip = Strip::new(picture, layout);
    for first in (0..height).step_by(layout.strip_rows(0)) {
        kernels.fill(&mut strip, picture, first);
        kernels.strip(&mut encoder, strip.planes(), layout);
        encoder.write_ahead(&head);
    }
    Some(encoder.finish(&head))
}

/// The pixels of one MCU row, converted; what is beyond the picture repeats its last pixels.
#[derive(Debug)]
pub(crate) struct Strip {
    layout: Layout,
    mcus: usize,
    /// For luma and both of chroma.
    planes: [Vec<u8>; 3],
    strides: [usize; 3],
}

/// Red, green and blue, or grey three times.
type Rgb = [[u8; LANES]; 3];

impl Strip {
    fn new(picture: &Picture<'_>, layout: Layout) -> Self {
        let mcus = picture.width.div_ceil(layout.strip_rows(0));
        let stride = |component| {
            let luma = picture.width.next_multiple_of(LANES);
            if component < layout.components() { luma / layout.subsampling(component) } else { 0 }
        };
        let strides = [0, 1, 2].map(stride);
        let planes = [0, 1, 2].map(|component| vec![0; strides[component] * layout.strip_rows(component)]);
        Self { layout, mcus, planes, strides }
    }

    fn planes(&self) -> Strips<'_> {
        let planes = [0, 1, 2].map(|component| (&self.planes[component][..], self.strides[component]));
        Strips { planes, mcus: self.mcus }
    }

    /// Converts the rows from `first` on, for every processor.
    pub(crate) fn portable(&mut self, picture: &Picture<'_>, first: usize) {
        self.fill(picture, first);
    }

    /// As [`Strip::portable`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    pub(crate) fn avx2(&mut self, picture: &Picture<'_>, first: usize) {
        self.fill(picture, first);
    }

    #[inline(always)]
    fn fill(&mut self, picture: &Picture<'_>, first: usize) {
        let rows = self.layout.strip_rows(0);
        let row = |at: usize| {
            let bytes = picture.samples.len() / picture.height;
            &picture.samples[(first + at).min(picture.height - 1) * bytes..][..bytes]
        };
        let ([luma, blue, red], [stride, blue_stride, red_stride]) = (&mut self.planes, self.strides);
        match self.layout {
            Layout::Grey => {
                for (at, luma) in luma.chunks_exact_mut(stride).enumerate() {
                    let row = row(at);
                    luma[..row.len()].copy_from_slice(row);
                    luma[row.len()..].fill(row[row.len() - 1]);
                }
            }
            Layout::Full => {
                let chroma = blue.chunks_exact_mut(blue_stride).zip(red.chunks_exact_mut(red_stride));
                for (at, (luma, (blue, red))) in luma.chunks_exact_mut(stride).zip(chroma).enumerate() {
                    full_row(row(at), luma, blue, red);
                }
            }
            Layout::Half => {
                let chroma = blue.chunks_exact_mut(blue_stride).zip(red.chunks_exact_mut(red_stride));
                let luma = luma.chunks_exact_mut(2 * stride);
                for (at, (luma, (blue, red))) in (0..rows).step_by(2).zip(luma.zip(chroma)) {
                    half_rows([row(at), row(at + 1)], luma, blue, red);
                }
            }
        }
    }
}

#[inline(always)]
fn full_row(row: &[u8], luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    let chroma = blue.as_chunks_mut().0.iter_mut().zip(red.as_chunks_mut().0);
    for (at, (luma, (blue, red))) in luma.as_chunks_mut().0.iter_mut().zip(chroma).enumerate() {
        let rgb = pixels(row, at);
        *luma = luma_of(&rgb);
        (*blue, *red) = chroma_of(&rgb.map(|channel| channel.map(|value| 4 * u16::from(value))));
    }
}

/// Two rows of luma, one of each chroma.
#[inline(always)]
fn half_rows([upper, lower]: [&[u8]; 2], luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    let (luma_upper, luma_lower) = luma.split_at_mut(luma.len() / 2);
    let luma = luma_upper.as_chunks_mut().0.iter_mut().zip(luma_lower.as_chunks_mut().0);
    let chroma = blue.as_chunks_mut().0.iter_mut().zip(red.as_chunks_mut().0);
    for (at, ((luma_upper, luma_lower), (blue, red))) in luma.zip(chroma).enumerate() {
        let (upper, lower) = (pixels(upper, at), pixels(lower, at));
        *luma_upper = luma_of(&upper);
        *luma_lower = luma_of(&lower);
        let mut sums = [[0_u16; LANES / 2]; 3];
        for channel in 0..3 {
            for x in 0..LANES / 2 {
                let two = |row: &[u8; LANES]| u16::from(row[2 * x]) + u16::from(row[2 * x + 1]);
                sums[channel][x] = two(&upper[channel]) + two(&lower[channel]);
            }
        }
        (*blue, *red) = chroma_of(&sums);
    }
}

/// 16 pixels of a row, the last one repeated where it ends.
#[inline(always)]
fn pixels(row: &[u8], at: usize) -> Rgb {
    const BYTES: usize = 3 * LANES;
    let rest = &row[at * BYTES..];
    let mut padded = [0; BYTES];
    let bytes: &[u8; BYTES] = match rest.first_chunk() {
        Some(whole) => whole,
        None => {
            for (pixel, padded) in padded.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                padded.copy_from_slice(&rest[(3 * pixel).min(rest.len() - 3)..][..3]);
            }
            &padded
        }
    };
    let mut rgb = [[0; LANES]; 3];
    for x in 0..LANES {
        rgb[0][x] = bytes[3 * x];
        rgb[1][x] = bytes[3 * x + 1];
        rgb[2][x] = bytes[3 * x + 2];
    }
    rgb
}
