//! The transforms with arrays: what a vector instruction does, for any processor.

use super::{Block, C1, C2, C3, C4, C5, C6, C7, CENTER, Steps, WHITE, forward, inverse, inverse_half};

/// Eight samples or coefficients of each of two blocks.
pub type Pair = [i16; 16];

fn add(a: Pair, b: Pair) -> Pair {
    std::array::from_fn(|lane| a[lane].saturating_add(b[lane]))
}

fn sub(a: Pair, b: Pair) -> Pair {
    std::array::from_fn(|lane| a[lane].saturating_sub(b[lane]))
}

fn mul(a: Pair, factor: i16) -> Pair {
    a.map(|value| ((i32::from(value) * i32::from(factor) + 0x4000) >> 15) as i16)
}

fn transpose(v: [Pair; 8]) -> [Pair; 8] {
    std::array::from_fn(|row| std::array::from_fn(|lane| v[lane & 7][(lane & 8) + row]))
}

/// Multiplies two blocks of coefficients with their tables, empties them, and gives rows of samples: of the first block, then of the second.
pub fn inverse_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [Pair; 8] {
    let v = inverse!(dequantize(blocks, tables), add, sub, mul);
    inverse!(transpose(v), add, sub, mul).map(to_samples)
}

/// The same for half as many columns and rows: the first four rows, in each half of a row the first four columns.
pub fn inverse_half_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [Pair; 4] {
    let v = dequantize(blocks, tables);
    let [a, b, c, d] = inverse_half!([v[0], v[1], v[2], v[3]], add, sub, mul);
    let v = transpose([a, b, c, d, [0; 16], [0; 16], [0; 16], [0; 16]]);
    inverse_half!([v[0], v[1], v[2], v[3]], add, sub, mul).map(to_samples)
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

fn to_samples(v: Pair) -> Pair {
    v.map(|value| value.saturating_add(CENTER).clamp(0, WHITE))
}

/// The forward transform of two blocks, rows of (sample − 128) × 4; the result is 16 × the coefficients of a JPEG, transposed.
pub fn forward_pair(rows: [Pair; 8]) -> [Pair; 8] {
    forward!(transpose(forward!(rows, add, sub, mul)), add, sub, mul)
}
