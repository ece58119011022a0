//! Cosine transforms in 16-bit fixed point, two blocks at once.
//!
//! Blocks lie transposed, column × 8 + row, so that each direction needs one transposition. Samples are pixels × 64. Every sum saturates: no
//! coefficient of a file, however wild, overflows. Portable and vector code give the same bits.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod portable;

/// 64 coefficients, or samples.
pub type Block = [i16; 64];

/// Fixed-point fraction of 15 bits.
const fn q15(value: f64) -> i16 {
    (value * 32768.0 + 0.5) as i16
}

/// cos(k π / 16).
pub(crate) const C1: i16 = q15(0.980_785_28);
pub(crate) const C2: i16 = q15(0.923_879_53);
pub(crate) const C3: i16 = q15(0.831_469_61);
pub(crate) const C4: i16 = q15(0.707_106_78);
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
