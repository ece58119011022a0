//! The transforms with arrays: what a vector instruction does, for any processor.

use super::{Block, C1, C2, C3, C4, C5, C6, C7, CENTER, Steps, WHITE, forward, inverse, inverse_half};

/// Eight samples or coefficients of each of two blocks.
pub type Pair = [i16; 16];

#[inline(always)]
fn add(a: i16, b: i16) -> i16 {
    a.saturating_add(b)
}

#[inline(always)]
fn sub(a: i16, b: i16) -> i16 {
    a.saturating_sub(b)
}

#[inline(always)]
fn mul(a: i16, factor: i16) -> i16 {
    ((i32::from(a) * i32::from(factor) + 0x4000) >> 15) as i16
}

/// The same operations for each lane. A loop over lanes with nothing else in it is what compilers make vectors of, eight lanes each; of operations
/// on whole rows they make single values.
#[inline(always)]
fn each_lane<const N: usize>(rows: &[Pair; 8], of_one: impl Fn([i16; 8]) -> [i16; N]) -> [Pair; N] {
    let mut made = [[0; 16]; N];
    for lane in 0..16 {
        let one = of_one(std::array::from_fn(|row| rows[row][lane]));
        for row in 0..N {
            made[row][lane] = one[row];
        }
    }
    made
}

fn transpose(v: &[Pair; 8]) -> [Pair; 8] {
    std::array::from_fn(|row| std::array::from_fn(|lane| v[lane & 7][(lane & 8) + row]))
}

/// Multiplies two blocks of coefficients with their tables, empties them, and gives rows of samples: of the first block, then of the second.
pub fn inverse_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [Pair; 8] {
    let v = each_lane(&dequantize(blocks, tables), |v| inverse!(v, add, sub, mul));
    each_lane(&transpose(&v), |v| inverse!(v, add, sub, mul).map(to_sample))
}

/// The same for half as many columns and rows: the first four rows, in each half of a row the first four columns.
pub fn inverse_half_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [Pair; 4] {
    let [a, b, c, d] = each_lane(&dequantize(blocks, tables), |v| inverse_half!(v, add, sub, mul));
    let v = transpose(&[a, b, c, d, [0; 16], [0; 16], [0; 16], [0; 16]]);
    each_lane(&v, |v| inverse_half!(v, add, sub, mul).map(to_sample))
}

fn dequantize([a, b]: [&mut Block; 2], [qa, qb]: [&Steps; 2]) -> [Pair; 8] {
    let product = |block: &Block, steps: &Steps, at: usize| block[at].wrapping_mul(steps.0[at]);
    let v = std::array::from_fn(|row| {
        std::array::from_fn(|lane| match lane {
            0..8 => product(a, qa, row * 8 + lane),
            _ => product(b, qb, row * 8 + lane - 8),
        })
    });
    (*a, *b) = ([0; 64], [0; 64]);
    v
}

#[inline(always)]
fn to_sample(value: i16) -> i16 {
    value.saturating_add(CENTER).clamp(0, WHITE)
}

/// The forward transform of two blocks, rows of (sample − 128) × 4; the result is 16 × the coefficients of a JPEG, transposed.
pub fn forward_pair(rows: [Pair; 8]) -> [Pair; 8] {
    let v = each_lane(&rows, |v| forward!(v, add, sub, mul));
    each_lane(&transpose(&v), |v| forward!(v, add, sub, mul))
}
