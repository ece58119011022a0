//! Quantization: the tables of T.81 K.1 scaled as libjpeg does, and division by multiplication.

use crate::{dct::Block, huffman::ZIGZAG};

/// T.81 tables K.1 (luma) and K.2 (chroma), in natural order.
#[rustfmt::skip]
const STANDARD: [[u8; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100,
        103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// One table, and what divides by it: transposed, as blocks are.
#[derive(Clone, Debug)]
pub struct Quant {
    /// By zigzag position, as a file has it.
    pub steps: [u8; 64],
    /// Added before the division: half of the divisor, corrected.
    pub(super) round: Block,
    /// 2¹⁶⁺ⁿ over the divisor.
    pub(super) reciprocal: Block,
    /// 2 to what the reciprocal has too much.
    pub(super) scale: Block,
}

impl Quant {
    /// Table 0 is for luma, 1 for chroma; quality 1 to 100.
    pub fn new(table: usize, quality: u8) -> Self {
        let quality = u32::from(quality.clamp(1, 100));
        let scaling = if quality < 50 { 5000 / quality } else { 200 - quality * 2 };
        let mut quant = Self { steps: [0; 64], round: [0; 64], reciprocal: [0; 64], scale: [0; 64] };
        let natural = STANDARD[table].map(|step| ((u32::from(step) * scaling + 50) / 100).clamp(1, 255));
        for (step, &place) in quant.steps.iter_mut().zip(&ZIGZAG) {
            *step = natural[usize::from(place)] as u8;
        }
        for (place, step) in natural.into_iter().enumerate() {
            let transposed = (place & 7) * 8 + (place >> 3);
            let (round, reciprocal, scale) = division(step << 4);
            quant.round[transposed] = round as i16;
            quant.reciprocal[transposed] = reciprocal as i16;
            quant.scale[transposed] = scale as i16;
        }
        quant
    }
}

/// How to divide 16-bit numbers by `divisor` with two multiplications, rounding to the nearest: (x + round) · reciprocal · scale, each
/// product's upper half. After libjpeg-turbo's `compute_reciprocal`.
fn division(divisor: u32) -> (u32, u32, u32) {
    let bits = 31 - divisor.leading_zeros();
    let mut shift = 16 + bits;
    let (mut reciprocal, rest, mut round) =
        ((1_u32 << shift) / divisor, (1_u32 << shift) % divisor, divisor / 2);
    if rest == 0 {
        reciprocal >>= 1;
        shift -= 1;
    } else if rest <= divisor / 2 {
        round += 1;
    } else {
        reciprocal += 1;
    }
    (round, reciprocal, 1 << (32 - shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_rounds_to_the_nearest() {
        for step in 1..=255_u32 {
            let divisor = step << 4;
            let (round, reciprocal, scale) = division(divisor);
            for x in 0..=(16 * 1024 + 200_u32) {
                let upper = |a: u32, b: u32| (a * b) >> 16;
                let quotient = upper(upper(x + round, reciprocal), scale);
                assert_eq!(quotient, (x + divisor / 2) / divisor, "{x} / {divisor}");
            }
        }
    }
}
