//! Output pixels from the samples of one row.

use super::weights::{Axis, Weights};

/// Taps that one vector multiplies.
const LANES: usize = 16;

/// Greatest ratio at which neighbouring outputs lie close enough for one load.
const MAX_PAIRED_RATIO: f64 = 2.0001;

/// What a sum is rounded by: samples are pixels × 2⁶, weights have 15 bits.
const SHIFT: u32 = 21;

/// How the pixels of a row are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Horizontal {
    weights: Weights,
    pairs: Option<Pairs>,
}

/// The weights in the order in which vectors want them: for 8 outputs, two starts of 4 each, and taps in pairs.
#[derive(Clone, Debug, PartialEq)]
struct Pairs {
    /// Pairs of taps, 1 to 8.
    count: usize,
    /// For each group of 8 outputs, where its halves begin.
    start: Vec<[u32; 2]>,
    /// For each group, which bytes of a load the first pair of taps is.
    shuffle: Vec<[u8; 32]>,
    /// `count` vectors for each group.
    weights: Vec<[i16; 16]>,
}

impl Horizontal {
    /// For one axis.
    pub fn new(axis: &Axis) -> Self {
        let weights = Weights::new(axis, LANES);
        let pairs = if axis.ratio() <= MAX_PAIRED_RATIO { Pairs::new(&weights) } else { None };
        Self { weights, pairs }
    }

    /// Samples that a row needs after its last one: they count nothing, but are looked at.
    pub fn slack(&self) -> usize {
        self.weights.taps + LANES
    }

    /// Makes a row: `out` has at least as many pixels as the output, what is beyond repeats the last.
    pub fn portable(&self, row: &[i16], out: &mut [u8]) {
        match self.weights.taps / LANES {
            1 => dots::<1>(&self.weights, row, out),
            2 => dots::<2>(&self.weights, row, out),
            vectors => {
                for (at, pixel) in out[..self.weights.len()].iter_mut().enumerate() {
                    let (start, taps) = (self.weights.start[at] as usize, vectors * LANES);
                    *pixel = dot(&row[start..start + taps], &self.weights.weights[at * taps..][..taps]);
                }
            }
        }
        self.pad(out);
    }

    fn pad(&self, out: &mut [u8]) {
        let (made, rest) = out.split_at_mut(self.weights.len());
        rest.fill(made[made.len() - 1]);
    }
}

/// The pixels of a row, of a number of taps that the compiler knows: weights beyond those that are used are 0.
fn dots<const V: usize>(weights: &Weights, row: &[i16], out: &mut [u8]) {
    let taps = weights.weights.as_chunks::<LANES>().0.as_chunks::<V>().0;
    for ((pixel, &start), taps) in out.iter_mut().zip(&weights.start).zip(taps) {
        *pixel = dot(&row[start as usize..][..V * LANES], taps.as_flattened());
    }
}

#[inline(always)]
fn dot(samples: &[i16], weights: &[i16]) -> u8 {
    let sum: i32 = samples.iter().zip(weights).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    ((sum + (1 << (SHIFT - 1))) >> SHIFT).clamp(0, 255) as u8
}

impl Pairs {
    fn new(weights: &Weights) -> Option<Self> {
        let most = usize::from(*weights.used.iter().max()?);
        let count = most.div_ceil(2);
        if count > 8 {
            return None;
        }
        // Two groups make a vector of 16 pixels.
        let groups = weights.len().div_ceil(16) * 2;
        let mut pairs = Self {
            count,
            start: vec![[0; 2]; groups],
            shuffle: vec![[0; 32]; groups],
            weights: vec![[0; 16]; groups * count],
        };
        for group in 0..groups {
            for half in 0..2 {
                pairs.half(weights, group, half)?;
            }
        }
        Some(pairs)
    }

    /// Four outputs of one half; nothing when they lie too far apart.
    fn half(&mut self, weights: &Weights, group: usize, half: usize) -> Option<()> {
        let first = group * 8 + half * 4;
        let base = weights.start[first.min(weights.len() - 1)];
        self.start[group][half] = base;
        for lane in 0..4 {
            let at = first + lane;
            if at >= weights.len() {
                break;
            }
            let apart = weights.start[at] - base;
            if apart > 6 {
                return None;
            }
            for byte in 0..4 {
                self.shuffle[group][16 * half + 4 * lane + byte] = (2 * apart) as u8 + byte as u8;
            }
            for (tap, &weight) in weights.row(at).1.iter().enumerate() {
                self.weights[group * self.count + tap / 2][half * 8 + lane * 2 + tap % 2] = weight;
            }
        }
        Some(())
    }
}

#[cfg(target_arch = "x86_64")]
pub use vectors::avx2;

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi128_si64, _mm_packs_epi32, _mm_packus_epi16, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_madd_epi16,
        _mm256_packs_epi32, _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srai_epi32,
    };

    use safe_unaligned_simd::x86_64::{_mm_storeu_si128, _mm256_loadu_si256, _mm256_storeu_si256};

    use super::{Horizontal, LANES, Pairs, SHIFT, Weights};
    use crate::dct::avx2::two;

    const ROUND: i32 = 1 << (SHIFT - 1);

    /// As [`Horizontal::portable`].
    #[target_feature(enable = "avx2")]
    pub fn avx2(horizontal: &Horizontal, row: &[i16], out: &mut [u8]) {
        match &horizontal.pairs {
            Some(pairs) => match pairs.count {
                1 => paired::<1>(pairs, row, out),
                2 => paired::<2>(pairs, row, out),
                3 => paired::<3>(pairs, row, out),
                4 => paired::<4>(pairs, row, out),
                5 => paired::<5>(pairs, row, out),
                6 => paired::<6>(pairs, row, out),
                7 => paired::<7>(pairs, row, out),
                _ => paired::<8>(pairs, row, out),
            },
            None => match horizontal.weights.taps / LANES {
                1 => plain::<1>(&horizontal.weights, row, out),
                2 => plain::<2>(&horizontal.weights, row, out),
                3 => plain::<3>(&horizontal.weights, row, out),
                4 => plain::<4>(&horizontal.weights, row, out),
                _ => return horizontal.portable(row, out),
            },
        }
        horizontal.pad(out);
    }

    /// `V` vectors of 16 taps for each pixel.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    fn plain<const V: usize>(weights: &Weights, row: &[i16], out: &mut [u8]) {
        let vectors = weights.weights.as_chunks::<LANES>().0.as_chunks::<V>().0;
        let (eights, rest) = vectors.as_chunks::<8>();
        let (starts, rest_starts) = weights.start.as_chunks::<8>();
        let (pixels, rest_pixels) = out[..weights.len()].as_chunks_mut::<8>();
        for ((weights, start), pixels) in eights.iter().zip(starts).zip(pixels) {
            let two = |at: usize| {
                _mm256_hadd_epi32(
                    dot(row, start[at], &weights[at]),
                    dot(row, start[at + 1], &weights[at + 1]),
                )
            };
            let (a, b) = (_mm256_hadd_epi32(two(0), two(2)), _mm256_hadd_epi32(two(4), two(6)));
            let sums = _mm256_add_epi32(
                _mm256_permute2x128_si256(a, b, 0x20),
                _mm256_permute2x128_si256(a, b, 0x31),
            );
            let sums = _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(ROUND)), SHIFT as i32);
            let packed = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
            *pixels = (_mm_cvtsi128_si64(_mm_packus_epi16(packed, packed)) as u64).to_le_bytes();
        }
        for ((weights, start), pixel) in rest.iter().zip(rest_starts).zip(rest_pixels) {
            let mut sums = [0_i32; 8];
            _mm256_storeu_si256(&mut sums, dot(row, *start, weights));
            *pixel = ((sums.iter().sum::<i32>() + ROUND) >> SHIFT).clamp(0, 255) as u8;
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn dot<const V: usize>(row: &[i16], start: u32, weights: &[[i16; LANES]; V]) -> __m256i {
        let samples = row[start as usize..][..LANES * V].as_chunks::<LANES>().0;
        let mut sum = _mm256_setzero_si256();
        for at in 0..V {
            let product =
                _mm256_madd_epi16(_mm256_loadu_si256(&samples[at]), _mm256_loadu_si256(&weights[at]));
            sum = _mm256_add_epi32(sum, product);
        }
        sum
    }

    /// `P` pairs of taps for each of 16 pixels.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    fn paired<const P: usize>(pairs: &Pairs, row: &[i16], out: &mut [u8]) {
        let starts = pairs.start.as_chunks::<2>().0.iter();
        let shuffles = pairs.shuffle.as_chunks::<2>().0;
        let vectors = starts.zip(shuffles).zip(pairs.weights.chunks_exact(2 * P));
        for (((start, shuffle), weights), out) in vectors.zip(out.as_chunks_mut::<16>().0) {
            let a = group::<P>(&start[0], &shuffle[0], &weights[..P], row);
            let b = group::<P>(&start[1], &shuffle[1], &weights[P..], row);
            let words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
            _mm_storeu_si128(out, _mm_packus_epi16(low, high));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn group<const P: usize>(
        start: &[u32; 2],
        shuffle: &[u8; 32],
        weights: &[[i16; 16]],
        row: &[i16],
    ) -> __m256i {
        let a = &row[start[0] as usize..][..2 * P + 6];
        let b = &row[start[1] as usize..][..2 * P + 6];
        let shuffle = _mm256_loadu_si256(shuffle);
        let mut sum = _mm256_set1_epi32(ROUND);
        for at in 0..P {
            let (a, b) = (a[2 * at..].first_chunk(), b[2 * at..].first_chunk());
            let samples = two(a.expect("6 more than 2 P"), b.expect("6 more than 2 P"));
            let taps = _mm256_shuffle_epi8(samples, shuffle);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(taps, _mm256_loadu_si256(&weights[at])));
        }
        _mm256_srai_epi32(sum, SHIFT as i32)
    }
}
