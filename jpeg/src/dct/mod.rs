//! Cosine transforms in 16-bit fixed point, two blocks at once.
//!
//! Blocks lie transposed, column × 8 + row, so that each direction needs one transposition. Samples are pixels × 64. Every sum saturates: no
//! coefficient of a file, however wild, overflows. Portable and vector code give the same bits.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod portable;

use crate::{error::Error, huffman::PLACE};

/// 64 coefficients, or samples.
pub type Block = [i16; 64];

/// Greatest quantization step that is taken: 16 × it fits 16 bits.
const MAX_STEP: u16 = 2047;

/// For each coefficient of a component, transposed, 16 × its quantization step.
///
/// A product wraps when a coefficient means more than 2,047, twice what 8 bits of any picture can give: what is made of such a file is no picture
/// anyway, and no harm either.
#[derive(Clone, Debug)]
pub struct Steps(Block);

impl Steps {
    /// Of a table in the order of the file, by zigzag position.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when a step is too great.
    pub fn new(table: &[u16; 64]) -> Result<Self, Error> {
        let mut steps = [0; 64];
        for (&step, &place) in table.iter().zip(&PLACE) {
            if step > MAX_STEP {
                return Err(Error::Unsupported("so coarse a quantization"));
            }
            steps[usize::from(place)] = (step << 4) as i16;
        }
        Ok(Self(steps))
    }
}

/// Fixed-point fraction of 15 bits.
const fn q15(value: f64) -> i16 {
    (value * 32768.0 + 0.5) as i16
}

/// cos(k π / 16).
pub(crate) const C1: i16 = q15(0.980_785_28);
pub(crate) const C2: i16 = q15(0.923_879_53);
pub(crate) const C3: i16 = q15(0.831_469_61);
pub(crate) const C4: i16 = q15(std::f64::consts::FRAC_1_SQRT_2);
pub(crate) const C5: i16 = q15(0.555_570_23);
pub(crate) const C6: i16 = q15(0.382_683_43);
pub(crate) const C7: i16 = q15(0.195_090_32);

/// What is added to bring samples from around 0 to 0…255, × 64.
pub(crate) const CENTER: i16 = 128 * 64;

/// The greatest sample.
pub(crate) const WHITE: i16 = 255 * 64;

/// The inverse transform of one direction, for a type of vectors and its three operations.
macro_rules! inverse {
    ($v:expr, $add:ident, $sub:ident, $mul:ident) => {{
        let v = $v;
        let (a, b) = ($mul($add(v[0], v[4]), C4), $mul($sub(v[0], v[4]), C4));
        let (c, d) = ($add($mul(v[2], C2), $mul(v[6], C6)), $sub($mul(v[2], C6), $mul(v[6], C2)));
        let even = [$add(a, c), $add(b, d), $sub(b, d), $sub(a, c)];
        let odd = [
            $add($add($mul(v[1], C1), $mul(v[3], C3)), $add($mul(v[5], C5), $mul(v[7], C7))),
            $sub($sub($mul(v[1], C3), $mul(v[3], C7)), $add($mul(v[5], C1), $mul(v[7], C5))),
            $add($sub($mul(v[1], C5), $mul(v[3], C1)), $add($mul(v[5], C7), $mul(v[7], C3))),
            $add($sub($mul(v[1], C7), $mul(v[3], C5)), $sub($mul(v[5], C3), $mul(v[7], C1))),
        ];
        [
            $add(even[0], odd[0]),
            $add(even[1], odd[1]),
            $add(even[2], odd[2]),
            $add(even[3], odd[3]),
            $sub(even[3], odd[3]),
            $sub(even[2], odd[2]),
            $sub(even[1], odd[1]),
            $sub(even[0], odd[0]),
        ]
    }};
}

/// The inverse transform of one direction to half as many samples, from the lower half of the coefficients.
macro_rules! inverse_half {
    ($v:expr, $add:ident, $sub:ident, $mul:ident) => {{
        let v = $v;
        let (a, b) = ($mul($add(v[0], v[2]), C4), $mul($sub(v[0], v[2]), C4));
        let (c, d) = ($add($mul(v[1], C2), $mul(v[3], C6)), $sub($mul(v[1], C6), $mul(v[3], C2)));
        [$add(a, c), $add(b, d), $sub(b, d), $sub(a, c)]
    }};
}

/// The forward transform of one direction.
macro_rules! forward {
    ($v:expr, $add:ident, $sub:ident, $mul:ident) => {{
        let v = $v;
        let s = [$add(v[0], v[7]), $add(v[1], v[6]), $add(v[2], v[5]), $add(v[3], v[4])];
        let d = [$sub(v[0], v[7]), $sub(v[1], v[6]), $sub(v[2], v[5]), $sub(v[3], v[4])];
        let (a, b, c, e) = ($add(s[0], s[3]), $add(s[1], s[2]), $sub(s[0], s[3]), $sub(s[1], s[2]));
        [
            $mul($add(a, b), C4),
            $add($add($mul(d[0], C1), $mul(d[1], C3)), $add($mul(d[2], C5), $mul(d[3], C7))),
            $add($mul(c, C2), $mul(e, C6)),
            $sub($sub($mul(d[0], C3), $mul(d[1], C7)), $add($mul(d[2], C1), $mul(d[3], C5))),
            $mul($sub(a, b), C4),
            $add($sub($mul(d[0], C5), $mul(d[1], C1)), $add($mul(d[2], C7), $mul(d[3], C3))),
            $sub($mul(c, C6), $mul(e, C2)),
            $add($sub($mul(d[0], C7), $mul(d[1], C5)), $sub($mul(d[2], C3), $mul(d[3], C1))),
        ]
    }};
}

pub(crate) use {forward, inverse, inverse_half};

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use fastrand::Rng;

    use super::{Block, Steps, portable};

    /// The cosine of coefficient `k` at sample `x` of `n`, with its factor: T.81 A.3.3, for any number of samples.
    fn basis(k: usize, x: usize, n: usize) -> f64 {
        let factor = if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
        factor * ((2 * x + 1) as f64 * k as f64 * PI / (2 * n) as f64).cos()
    }

    /// Samples of a block by the definition, column × n + row; with n = 4 from the lower half of the coefficients.
    fn exact(block: &Block, n: usize) -> Vec<f64> {
        let sample = |x: usize, y: usize| {
            let pairs = (0..n).flat_map(|u| (0..n).map(move |v| (u, v)));
            let sum: f64 =
                pairs.map(|(u, v)| f64::from(block[u * 8 + v]) * basis(u, x, n) * basis(v, y, n)).sum();
            (sum / 4.0 + 128.0).clamp(0.0, 255.0)
        };
        // A half as many samples have a half of the energy in each direction: the factor stays.
        (0..n * n).map(|at| sample(at / n, at % n)).collect()
    }

    fn random_block(random: &mut Rng) -> Block {
        let mut block = [0; 64];
        block[0] = random.i16(-1000..1000);
        for _ in 0..random.usize(0..20) {
            block[random.usize(1..64)] = random.i16(-200..200);
        }
        block
    }

    fn plain() -> Steps {
        Steps::new(&[1; 64]).expect("1 is no great step")
    }

    #[test]
    fn the_inverse_transform_is_that_of_the_standard() {
        let mut random = Rng::with_seed(1);
        for _ in 0..2_000 {
            let blocks = [random_block(&mut random), random_block(&mut random)];
            let [mut a, mut b] = blocks;
            let rows = portable::inverse_pair([&mut a, &mut b], [&plain(), &plain()]);
            assert_eq!((a, b), ([0; 64], [0; 64]), "they are emptied");
            for (half, block) in blocks.iter().enumerate() {
                let exact = exact(block, 8);
                for at in 0..64 {
                    let ours = f64::from(rows[at % 8][half * 8 + at / 8]) / 64.0;
                    assert!((ours - exact[at]).abs() <= 0.2, "{ours} {}", exact[at]);
                }
            }
        }
    }

    #[test]
    fn half_as_many_samples_are_those_of_the_lower_coefficients() {
        let mut random = Rng::with_seed(2);
        for _ in 0..2_000 {
            let block = random_block(&mut random);
            let (mut a, mut b) = (block, block);
            let rows = portable::inverse_half_pair([&mut a, &mut b], [&plain(), &plain()]);
            let exact = exact(&block, 4);
            for at in 0..16 {
                let ours = f64::from(rows[at % 4][8 + at / 4]) / 64.0;
                assert!((ours - exact[at]).abs() <= 0.2, "{ours} {}", exact[at]);
            }
        }
    }

    #[test]
    fn the_forward_transform_is_that_of_the_standard() {
        let mut random = Rng::with_seed(3);
        for _ in 0..2_000 {
            let samples: [[i16; 16]; 8] =
                std::array::from_fn(|_| std::array::from_fn(|_| random.i16(-128..128)));
            let made = portable::forward_pair(samples.map(|row| row.map(|sample| sample << 2)));
            for (u, v) in (0..8).flat_map(|u| (0..8).map(move |v| (u, v))) {
                let at = |x: usize, y: usize| f64::from(samples[y][8 + x]) * basis(u, x, 8) * basis(v, y, 8);
                let exact: f64 = (0..64).map(|pixel| at(pixel % 8, pixel / 8)).sum::<f64>() / 4.0;
                let ours = f64::from(made[u][8 + v]) / 16.0;
                assert!((ours - exact).abs() <= 0.5, "{u}, {v}: {ours} {exact}");
            }
        }
    }
}
