//! Quantized blocks as tokens: what will be written, before it is known with which codes.

use crate::dct::Block;

/// Identifiers of a histogram: AC of luma from 0, AC of chroma from 256, DC of luma from 512, of chroma from 528.
pub const IDS: usize = 1024;

/// Where those of DC begin.
pub const DC: usize = 512;

/// Tokens of a block at most: one for each coefficient, three for a long run of zeros, one for its end.
pub const MOST: usize = 128;

/// Tokens of a chunk; the last block of one may overhang.
const CHUNK: usize = 1 << 15;

/// Chunks from which on tokens are written before all are known, 8 MB of them: more than a photo of 3 MP has.
const MANY: usize = 64;

/// The tokens of a picture: an identifier, and from bit 10 on the value's bits.
#[derive(Debug)]
pub struct Tokens {
    full: Vec<(Vec<u32>, usize)>,
    spare: Vec<Vec<u32>>,
    current: Vec<u32>,
    at: usize,
    /// How often each identifier occurs.
    pub histogram: Box<[u32; IDS]>,
    predictors: [i32; 3],
    /// How many tokens the blocks have that were pushed since it was emptied.
    pub lengths: Vec<u8>,
    /// The DC of every block, quantized, for each component in the order of the file.
    pub means: [Vec<i16>; 3],
}

impl Default for Tokens {
    fn default() -> Self {
        let (current, histogram) = (vec![0; CHUNK + MOST], Box::new([0; IDS]));
        Self {
            full: Vec::new(),
            spare: Vec::new(),
            current,
            at: 0,
            histogram,
            predictors: [0; 3],
            lengths: Vec::new(),
            means: Default::default(),
        }
    }
}

impl Tokens {
    /// Empties it for the next picture; chunks are kept.
    pub fn clear(&mut self) {
        self.spare.extend(self.full.drain(..).map(|(chunk, _)| chunk));
        self.at = 0;
        self.histogram.fill(0);
        self.predictors = [0; 3];
        self.lengths.clear();
        self.means.iter_mut().for_each(Vec::clear);
    }

    /// Whether so much waits that it had better be written, with codes that are good for what was seen so far.
    pub fn are_many(&self) -> bool {
        self.full.len() >= MANY
    }

    /// Hands all tokens over, in order, and forgets them; what they count stays counted.
    pub fn pour(&mut self, mut into: impl FnMut(&[u32])) {
        for (chunk, len) in self.full.drain(..) {
            into(&chunk[..len]);
            self.spare.push(chunk);
        }
        into(&self.current[..self.at]);
        self.at = 0;
    }

    /// A histogram with every token that may still come.
    pub fn foresight(&self) -> Box<[u32; IDS]> {
        let mut histogram = self.histogram.clone();
        for table in 0..2 {
            // T.81 tables F.1 and F.2, and one more bit: a coefficient in the finest steps may just need it.
            histogram[512 + 16 * table..][..=12].iter_mut().for_each(|count| *count += 1);
            for run in 0..16 {
                histogram[256 * table + 16 * run + 1..][..11].iter_mut().for_each(|count| *count += 1);
            }
            histogram[256 * table] += 1;
            histogram[256 * table + 0xf0] += 1;
        }
        histogram
    }

    /// Memory that is held, bytes.
    pub fn bytes(&self) -> usize {
        (self.full.len() + self.spare.len() + 1) * (CHUNK + MOST) * size_of::<u32>()
    }

    /// Adds one block of a component.
    #[inline(always)]
    pub fn push(&mut self, block: &Block, component: usize, nonzero: impl Fn(&Block) -> u64) {
        if self.at > CHUNK {
            let next = self.spare.pop().unwrap_or_else(|| vec![0; CHUNK + MOST]);
            self.full.push((std::mem::replace(&mut self.current, next), self.at));
            self.at = 0;
        }
        self.means[component].push(block[0]);
        let out = self.current[self.at..].first_chunk_mut().expect("a chunk has room for one more block");
        let length =
            tokens(block, component, &mut self.predictors[component], &mut self.histogram, out, nonzero);
        self.lengths.push(length as u8);
        self.at += length;
    }
}

/// Picks a transposed block's coefficients in zigzag order: with literals there is no table to look into.
macro_rules! zigzag {
    ($block:ident: $($place:literal)*) => { [$($block[$place]),*] };
}

#[inline(always)]
fn tokens(
    block: &Block,
    component: usize,
    predictor: &mut i32,
    histogram: &mut [u32; IDS],
    out: &mut [u32; MOST],
    nonzero: impl Fn(&Block) -> u64,
) -> usize {
    #[rustfmt::skip]
    let zigzag: Block = zigzag!(block:
        0 8 1 2 9 16 24 17 10 3 4 11 18 25 32 40 33 26 19 12 5 6 13 20 27 34 41 48 56 49 42 35 28 21 14 7 15 22 29 36 43 50 57 58 51 44 37
        30 23 31 38 45 52 59 60 53 46 39 47 54 61 62 55 63);
    let table = u32::from(component > 0);
    let mut count = 0;
    let mut put = |token: u32| {
        histogram[token as usize % IDS] += 1;
        out[count % MOST] = token;
        count += 1;
    };
    put(dc_token(zigzag[0], component, predictor));

    let ac = table << 8;
    let (mut left, mut before) = (nonzero(&zigzag) & !1, 0);
    while left != 0 {
        let at = left.trailing_zeros();
        left &= left - 1;
        let mut run = at - before - 1;
        before = at;
        while run > 15 {
            put(ac | 0xf0);
            run -= 16;
        }
        let (bits, size) = value(zigzag[at as usize & 63].into());
        put((ac | run << 4 | size) | bits << 10);
    }
    if before != 63 {
        put(ac);
    }
    count
}

/// The token of a DC, whose difference to the block's before counts.
#[inline(always)]
pub fn dc_token(dc: i16, component: usize, predictor: &mut i32) -> u32 {
    let dc = i32::from(dc);
    let (bits, size) = value(dc - *predictor);
    *predictor = dc;
    (DC as u32 + 16 * u32::from(component > 0) + size) | bits << 10
}

/// The bits of a value and how many they are, T.81 F.1.2.1.
#[inline(always)]
fn value(value: i32) -> (u32, u32) {
    let sign = value >> 31;
    let size = 32 - ((value ^ sign) - sign).leading_zeros();
    ((value + sign) as u32 & ((1 << size) - 1), size)
}

/// Which coefficients are not 0, a bit for each.
pub fn nonzero_portable(block: &Block) -> u64 {
    block.iter().enumerate().fold(0, |mask, (at, &value)| mask | u64::from(value != 0) << at)
}

/// As [`nonzero_portable`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub fn nonzero_avx2(block: &Block) -> u64 {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi16, _mm256_movemask_epi8, _mm256_packs_epi16, _mm256_permute4x64_epi64,
        _mm256_setzero_si256,
    };

    use safe_unaligned_simd::x86_64::_mm256_loadu_si256;

    let quarters = block.as_chunks::<16>().0;
    let zero = |at: usize| _mm256_cmpeq_epi16(_mm256_loadu_si256(&quarters[at]), _mm256_setzero_si256());
    let half = |at: usize| {
        let bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(zero(at), zero(at + 1)), 0xd8);
        u64::from(!(_mm256_movemask_epi8(bytes) as u32))
    };
    half(0) | half(2) << 32
}
