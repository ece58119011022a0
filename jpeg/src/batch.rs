//! Coefficients of some MCUs to samples in the rings.

use crate::ring::{Row, TILE};

/// Transforms MCUs from column `first` on into the rings, with the transforms of one kind of processor. `sampling`: blocks of luma in a row and in
/// a column of an MCU.
macro_rules! inverse_batch {
    ($mcus:ident, $first:ident, $sampling:ident, $planes:ident, $pair:path, $half_pair:path, $rows:path) => {{
        use crate::{batch::put, ring::Plane};

        let (luma, chroma) = $planes.split_at_mut(1);
        let luma = &mut luma[0];
        let transform = |plane: &Plane, blocks: [&mut _; 2], steps: [&_; 2]| {
            if plane.side == 8 { $rows($pair(blocks, steps)) } else { $rows($half_pair(blocks, steps)) }
        };
        for (column, mcu) in ($first..).zip(&mut *$mcus) {
            match $sampling {
                (2, rows) => {
                    for row in 0..rows {
                        let [a, b] = mcu[2 * row..].first_chunk_mut().expect("four blocks of luma");
                        let samples = transform(luma, [a, b], [&luma.steps, &luma.steps]);
                        put(luma, 2 * column, row, &samples, 0);
                        put(luma, 2 * column + 1, row, &samples, 8);
                    }
                }
                (_, 2) => {
                    let [a, b, ..] = mcu;
                    let samples = transform(luma, [a, b], [&luma.steps, &luma.steps]);
                    put(luma, column, 0, &samples, 0);
                    put(luma, column, 1, &samples, 8);
                }
                _ => {}
            }
            if let [blue, red] = &mut *chroma {
                let [.., a, b] = mcu;
                let samples = transform(blue, [a, b], [&blue.steps, &red.steps]);
                put(blue, column, 0, &samples, 0);
                put(red, column, 0, &samples, 8);
            }
        }
        if $sampling == (1, 1) {
            // The only block of luma is paired with the next MCU's.
            let mut unused = [0; 64];
            for (at, two) in $mcus.chunks_mut(2).enumerate() {
                let (column, both) = ($first + 2 * at, two.len() == 2);
                let (a, b) = match two {
                    [a, b] => (&mut a[0], &mut b[0]),
                    [a, ..] => (&mut a[0], &mut unused),
                    [] => break,
                };
                let samples = transform(luma, [a, b], [&luma.steps, &luma.steps]);
                put(luma, column, 0, &samples, 0);
                if both {
                    put(luma, column + 1, 0, &samples, 8);
                }
            }
        }
    }};
}

/// Puts one block's samples, those from lane `lane` on, at a column and row of blocks of the newest MCU row.
#[inline(always)]
fn put(plane: &mut crate::ring::Plane, column: usize, row: usize, samples: &[[i16; 16]; 8], lane: usize) {
    let side = plane.side;
    let left = column * side;
    let first = left / TILE * plane.capacity + plane.place() + row * side;
    let rows = &mut plane.ring[first..first + side];
    if side == 8 { copy::<8>(rows, left, samples, lane) } else { copy::<4>(rows, left, samples, lane) }
}

#[inline(always)]
fn copy<const SIDE: usize>(rows: &mut [Row], left: usize, samples: &[[i16; 16]; 8], lane: usize) {
    for (row, samples) in rows.iter_mut().zip(samples) {
        row[left % TILE..][..SIDE].copy_from_slice(&samples[lane & 8..][..SIDE]);
    }
}

pub mod portable {
    //! With arrays.

    use crate::{
        dct::portable::{Pair, inverse_half_pair, inverse_pair},
        pipeline::Mcu,
        ring::Plane,
    };

    /// See [`super::avx2`]: the same bits.
    pub fn inverse(mcus: &mut [Mcu], first: usize, sampling: (usize, usize), planes: &mut [Plane]) {
        inverse_batch!(mcus, first, sampling, planes, inverse_pair, inverse_half_pair, rows);
    }

    fn rows<const N: usize>(rows: [Pair; N]) -> [Pair; 8] {
        std::array::from_fn(|at| rows.get(at).copied().unwrap_or([0; 16]))
    }
}

#[cfg(target_arch = "x86_64")]
pub mod avx2 {
    //! With AVX2.

    use std::arch::x86_64::__m256i;

    use safe_unaligned_simd::x86_64::_mm256_storeu_si256;

    use crate::{
        dct::avx2::{inverse_half_pair, inverse_pair},
        pipeline::Mcu,
        ring::Plane,
    };

    /// Transforms MCUs from column `first` on.
    #[target_feature(enable = "avx2")]
    pub fn inverse(mcus: &mut [Mcu], first: usize, sampling: (usize, usize), planes: &mut [Plane]) {
        inverse_batch!(mcus, first, sampling, planes, inverse_pair, inverse_half_pair, rows);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rows<const N: usize>(rows: [__m256i; N]) -> [[i16; 16]; 8] {
        let mut stored = [[0; 16]; 8];
        for (stored, row) in stored.iter_mut().zip(rows) {
            _mm256_storeu_si256(stored, row);
        }
        stored
    }
}
