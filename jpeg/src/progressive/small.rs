//! The AC coefficients of a block in 8 bits each, by zigzag position; and back to blocks that are transformed.

use super::{
    Component,
    great::{ELSEWHERE, Pass},
};
use crate::{dct::Block, huffman::PLACE, pipeline::Mcu};

/// AC coefficients by zigzag position, or [`ELSEWHERE`] for a great one. The first is 0: DC has a place of its own.
pub type Small = [i8; 64];

/// Which coefficients are not 0, a bit for each.
#[inline(always)]
pub fn nonzero_portable(block: &Small) -> u64 {
    let (mut mask, ones) = (0, 0x7f7f_7f7f_7f7f_7f7f_u64);
    for (at, eight) in block.as_chunks::<8>().0.iter().enumerate() {
        let bytes = u64::from_le_bytes(eight.map(|value| value as u8));
        // The top bit of each byte that is not 0, and then all of them side by side.
        let top = (((bytes & ones) + ones) | bytes) & !ones;
        mask |= ((top >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
    }
    mask
}

/// As [`nonzero_portable`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub fn nonzero_avx2(block: &Small) -> u64 {
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_setzero_si256};

    use safe_unaligned_simd::x86_64::_mm256_loadu_si256;

    let halves = block.as_chunks::<32>().0;
    let zero = |half: &[i8; 32]| {
        let zero = _mm256_cmpeq_epi8(_mm256_loadu_si256(half), _mm256_setzero_si256());
        u64::from(_mm256_movemask_epi8(zero) as u32)
    };
    !(zero(&halves[0]) | zero(&halves[1]) << 32)
}

/// Which MCUs are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Row of MCUs.
    pub row: usize,
    /// Column of the first.
    pub first: usize,
}

/// Fills empty MCUs, and empties what they came from.
pub fn portable(mcus: &mut [Mcu], components: &mut [Component], wanted: Wanted) {
    fill(mcus, components, wanted, nonzero_portable);
}

/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub fn avx2(mcus: &mut [Mcu], components: &mut [Component], wanted: Wanted) {
    fill(mcus, components, wanted, |block| nonzero_avx2(block));
}

#[inline(always)]
fn fill(mcus: &mut [Mcu], components: &mut [Component], wanted: Wanted, nonzero: impl Fn(&Small) -> u64) {
    for (index, component) in components.iter_mut().enumerate() {
        let slot = if index == 0 { 0 } else { 3 + index };
        for y in 0..component.vertical {
            let row = wanted.row * component.vertical + y;
            fill_row(mcus, component, (slot + y * component.horizontal, row, wanted.first), &nonzero);
        }
    }
}

/// Fills the blocks from `slot` on of all MCUs, those of one row of blocks.
#[inline(always)]
fn fill_row(
    mcus: &mut [Mcu],
    component: &mut Component,
    (slot, row, first): (usize, usize, usize),
    nonzero: &impl Fn(&Small) -> u64,
) {
    let (width, kept) = (component.horizontal, &mut component.kept);
    let mut great = Pass::from_column(&mut kept.great[row], first * width);
    let places = row * component.stride + first * width..(row + 1) * component.stride;
    let (small, dc) = (&mut kept.ac[places.clone()], &kept.dc[places]);
    let blocks = small.chunks_exact_mut(width).zip(dc.chunks_exact(width));
    for ((column, mcu), (small, dc)) in (first..).zip(mcus).zip(blocks) {
        for (x, (out, (small, &dc))) in mcu[slot..].iter_mut().zip(small.iter_mut().zip(dc)).enumerate() {
            out[0] = dc;
            let nonzero = nonzero(small);
            if nonzero != 0 {
                widen(small, nonzero, out, |position| great.get(column * width + x, position));
                *small = [0; 64];
            }
        }
    }
}

#[inline(always)]
fn widen(small: &Small, mut nonzero: u64, out: &mut Block, mut great: impl FnMut(u32) -> Option<i16>) {
    while nonzero != 0 {
        let position = nonzero.trailing_zeros();
        nonzero &= nonzero - 1;
        let value = small[position as usize & 63];
        out[usize::from(PLACE[position as usize & 63]) & 63] = match value {
            ELSEWHERE => great(position).expect("what a block says is elsewhere is kept"),
            value => value.into(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_coefficient_that_is_not_0_has_its_bit() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..1_000 {
            let mut block = [0; 64];
            for _ in 0..random.usize(0..64) {
                let any = random.i8(..);
                block[random.usize(..64)] = *random.choice(&[1, -1, 127, ELSEWHERE, 0, any]).expect("six");
            }
            let wanted = (0..64).fold(0, |mask, at| mask | u64::from(block[at] != 0) << at);

            assert_eq!(nonzero_portable(&block), wanted, "{block:?}");
        }
    }
}
