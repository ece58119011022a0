//! Strips of pixels to a JPEG with optimal tables, in one pass over the pixels: tokens wait until all are counted.

pub mod deferred;
pub mod optimal;
pub mod quant;
pub mod tokens;
pub mod write;

use quant::Quant;
use tokens::Tokens;
use write::{Head, Writer};

/// Which components the result has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Luma alone.
    Grey,
    /// Chroma with as many columns and rows as luma (4:4:4).
    Full,
    /// Chroma with half as many of both (4:2:0).
    Half,
}

impl Layout {
    /// Columns and rows of luma that one sample of a component stands for.
    pub fn subsampling(self, component: usize) -> usize {
        if self == Self::Half && component > 0 { 2 } else { 1 }
    }

    /// Rows of a component in an MCU.
    pub fn strip_rows(self, component: usize) -> usize {
        if self == Self::Half && component == 0 { 16 } else { 8 }
    }

    /// The component of each block of an MCU.
    pub fn blocks(self) -> &'static [usize] {
        match self {
            Self::Grey => &[0],
            Self::Full => &[0, 1, 2],
            Self::Half => &[0, 0, 0, 0, 1, 2],
        }
    }

    /// Quantization tables, and pairs of Huffman tables.
    pub fn tables(self) -> usize {
        if self == Self::Grey { 1 } else { 2 }
    }

    /// How many components there are.
    pub fn components(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

/// What a picture is written with.
#[derive(Debug)]
pub struct Encoder {
    /// For luma and chroma.
    pub quants: [Quant; 2],
    /// What was encoded, and not yet written.
    pub tokens: Tokens,
    /// The file, once it is begun.
    writer: Option<Writer>,
}

impl Encoder {
    /// For a quality of 1 to 100, as libjpeg counts. `tokens` may be used ones.
    pub fn new(quality: u8, mut tokens: Tokens) -> Self {
        tokens.clear();
        Self { quants: [Quant::new(0, quality), Quant::new(1, quality)], tokens, writer: None }
    }

    /// Writes what waits if it is much, so that memory stays bounded: from then on codes are those for what was seen first.
    pub fn write_ahead(&mut self, head: &Head<'_>) {
        if self.writer.is_some() || self.tokens.are_many() {
            let mut writer = match self.writer.take() {
                Some(writer) => writer,
                None => {
                    let luma = head.layout.blocks().iter().filter(|&&component| component == 0).count();
                    let mut writer = Writer::new(&self.tokens.foresight(), &self.quants, head);
                    let known = self.tokens.means[0].len() / luma;
                    writer.reserve(&self.tokens.histogram, (known, head.mcus()));
                    writer
                }
            };
            self.tokens.pour(|tokens| writer.write(tokens));
            self.writer = Some(writer);
        }
    }

    /// The whole file, when all strips are encoded.
    pub fn finish(&mut self, head: &Head<'_>) -> Vec<u8> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let mut writer = Writer::new(&self.tokens.histogram, &self.quants, head);
                writer.reserve(&self.tokens.histogram, (1, 1));
                writer
            }
        };
        self.tokens.pour(|tokens| writer.write(tokens));
        writer.finish()
    }
}

/// The pixels of one MCU row.
#[derive(Clone, Copy, Debug)]
pub struct Strips<'a> {
    /// For each component its pixels, and how far apart rows are.
    pub planes: [(&'a [u8], usize); 3],
    /// MCUs in the row.
    pub mcus: usize,
}

/// Encodes an MCU row, with the operations of one kind of processor: `coefficients` transforms and quantizes 8 × 8 pixels at two places.
macro_rules! encode_strip {
    ($encoder:ident, $strips:ident, $layout:ident, $coefficients:path, $nonzero:path) => {{
        let [(luma, stride), (blue, blue_stride), (red, red_stride)] = $strips.planes;
        let [luma_quant, chroma_quant] = &$encoder.quants;
        let (mut a, mut b) = ([0; 64], [0; 64]);
        let tokens = &mut $encoder.tokens;
        match $layout {
            Layout::Grey => {
                for mcu in (0..$strips.mcus).step_by(2) {
                    let both = mcu + 1 < $strips.mcus;
                    let two = [&luma[8 * mcu..], &luma[8 * (mcu + usize::from(both))..]];
                    $coefficients(two, [stride; 2], luma_quant, [&mut a, &mut b]);
                    tokens.push(&a, 0, |block| $nonzero(block));
                    if both {
                        tokens.push(&b, 0, |block| $nonzero(block));
                    }
                }
            }
            Layout::Full => {
                let mut unused = [0; 64];
                for left in (0..$strips.mcus).map(|mcu| 8 * mcu) {
                    $coefficients([&luma[left..]; 2], [stride; 2], luma_quant, [&mut a, &mut unused]);
                    tokens.push(&a, 0, |block| $nonzero(block));
                    let two = [&blue[left..], &red[left..]];
                    $coefficients(two, [blue_stride, red_stride], chroma_quant, [&mut a, &mut b]);
                    tokens.push(&a, 1, |block| $nonzero(block));
                    tokens.push(&b, 2, |block| $nonzero(block));
                }
            }
            Layout::Half => {
                for left in (0..$strips.mcus).map(|mcu| 16 * mcu) {
                    for rows in [luma, &luma[8 * stride..]] {
                        $coefficients(
                            [&rows[left..], &rows[left + 8..]],
                            [stride; 2],
                            luma_quant,
                            [&mut a, &mut b],
                        );
                        tokens.push(&a, 0, |block| $nonzero(block));
                        tokens.push(&b, 0, |block| $nonzero(block));
                    }
                    let two = [&blue[left / 2..], &red[left / 2..]];
                    $coefficients(two, [blue_stride, red_stride], chroma_quant, [&mut a, &mut b]);
                    tokens.push(&a, 1, |block| $nonzero(block));
                    tokens.push(&b, 2, |block| $nonzero(block));
                }
            }
        }
    }};
}

pub mod portable {
    //! With arrays.

    use super::{Encoder, Layout, Strips, quant::Quant, tokens::nonzero_portable};
    use crate::dct::{Block, portable::forward_pair};

    /// Encodes an MCU row.
    pub fn strip(encoder: &mut Encoder, strips: Strips<'_>, layout: Layout) {
        encode_strip!(encoder, strips, layout, coefficients, nonzero_portable);
    }

    fn coefficients(
        [a, b]: [&[u8]; 2],
        [stride_a, stride_b]: [usize; 2],
        quant: &Quant,
        out: [&mut Block; 2],
    ) {
        let pixel = |byte: u8| (i16::from(byte) - 128) << 2;
        let rows = std::array::from_fn(|row| {
            std::array::from_fn(|lane| match lane {
                0..8 => pixel(a[row * stride_a + lane]),
                _ => pixel(b[row * stride_b + lane - 8]),
            })
        });
        let rows = forward_pair(rows);
        for (half, out) in out.into_iter().enumerate() {
            for (place, out) in out.iter_mut().enumerate() {
                *out = quantize(rows[place / 8][half * 8 + place % 8], quant, place);
            }
        }
    }

    fn quantize(value: i16, quant: &Quant, place: usize) -> i16 {
        let upper = |a: u16, b: i16| ((u32::from(a) * u32::from(b as u16)) >> 16) as u16;
        let rounded = value.unsigned_abs().wrapping_add(quant.round[place] as u16);
        let quotient = upper(upper(rounded, quant.reciprocal[place]), quant.scale[place]) as i16;
        quotient * value.signum()
    }
}

#[cfg(target_arch = "x86_64")]
pub mod avx2 {
    //! With AVX2.

    use std::arch::x86_64::{
        _mm_cvtsi64_si128, _mm_unpacklo_epi64, _mm256_abs_epi16, _mm256_add_epi16,
        _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_extracti128_si256,
        _mm256_mulhi_epu16, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sign_epi16, _mm256_slli_epi16,
        _mm256_sub_epi16,
    };

    use safe_unaligned_simd::x86_64::{_mm_loadu_si128, _mm_storeu_si128};

    use super::{Encoder, Layout, Strips, quant::Quant, tokens::nonzero_avx2};
    use crate::dct::{Block, avx2::forward_pair};

    /// Encodes an MCU row.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub fn strip(encoder: &mut Encoder, strips: Strips<'_>, layout: Layout) {
        encode_strip!(encoder, strips, layout, coefficients, nonzero_avx2);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn coefficients(
        [a, b]: [&[u8]; 2],
        [stride_a, stride_b]: [usize; 2],
        quant: &Quant,
        out: [&mut Block; 2],
    ) {
        let load = |pixels: &[u8]| {
            _mm_cvtsi64_si128(i64::from_le_bytes(*pixels.first_chunk().expect("blocks of eight pixels")))
        };
        let mut rows = [_mm256_setzero_si256(); 8];
        for (at, row) in rows.iter_mut().enumerate() {
            let pixels = _mm_unpacklo_epi64(load(&a[at * stride_a..]), load(&b[at * stride_b..]));
            let centered = _mm256_sub_epi16(_mm256_cvtepu8_epi16(pixels), _mm256_set1_epi16(128));
            *row = _mm256_slli_epi16(centered, 2);
        }
        let rows = forward_pair(rows);
        let table = |table: &Block, at: usize| {
            _mm256_broadcastsi128_si256(_mm_loadu_si128(&table.as_chunks::<8>().0[at]))
        };
        let [out_a, out_b] = out;
        let (out_a, out_b) = (out_a.as_chunks_mut::<8>().0, out_b.as_chunks_mut::<8>().0);
        for at in 0..8 {
            let rounded = _mm256_add_epi16(_mm256_abs_epi16(rows[at]), table(&quant.round, at));
            let product = _mm256_mulhi_epu16(rounded, table(&quant.reciprocal, at));
            let quotient = _mm256_sign_epi16(_mm256_mulhi_epu16(product, table(&quant.scale, at)), rows[at]);
            _mm_storeu_si128(&mut out_a[at], _mm256_castsi256_si128(quotient));
            _mm_storeu_si128(&mut out_b[at], _mm256_extracti128_si256(quotient, 1));
        }
    }
}
