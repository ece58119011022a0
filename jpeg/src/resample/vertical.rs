//! Output rows from the rows of a ring.

use std::ops::Range;

use crate::ring::{Plane, TILE};

/// Makes rows of a plane from all tiles of its ring: the first where `columns` begins, the others behind it. Never clamps.
pub fn portable(plane: &mut Plane, rows: Range<usize>) {
    let (capacity, stride, weights) = (plane.capacity, plane.stride, &plane.resampler.vertical);
    for (tile, ring) in plane.ring.chunks_exact(capacity).enumerate() {
        for (at, row) in rows.clone().enumerate() {
            let (start, weights) = weights.row(row);
            let mut sums = [0_i16; TILE];
            let mut place = start % capacity;
            for &weight in weights {
                for (sum, &sample) in sums.iter_mut().zip(&ring[place]) {
                    let product = (i32::from(sample) * i32::from(weight) + 0x4000) >> 15;
                    *sum = sum.saturating_add(product as i16);
                }
                place += 1;
                if place == capacity {
                    place = 0;
                }
            }
            plane.columns[at * stride + tile * TILE..][..TILE].copy_from_slice(&sums);
        }
    }
}

/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub fn avx2(plane: &mut Plane, rows: Range<usize>) {
    use std::arch::x86_64::{
        _mm256_adds_epi16, _mm256_mulhrs_epi16, _mm256_set1_epi16, _mm256_setzero_si256,
    };

    use safe_unaligned_simd::x86_64::{_mm256_loadu_si256, _mm256_storeu_si256};

    let (capacity, stride, weights) = (plane.capacity, plane.stride, &plane.resampler.vertical);
    for (tile, ring) in plane.ring.chunks_exact(capacity).enumerate() {
        for (at, row) in rows.clone().enumerate() {
            let (start, weights) = weights.row(row);
            let mut sums = [_mm256_setzero_si256(); TILE / 16];
            let mut place = start % capacity;
            for &weight in weights {
                let weight = _mm256_set1_epi16(weight);
                for (sum, samples) in sums.iter_mut().zip(ring[place].as_chunks::<16>().0) {
                    *sum = _mm256_adds_epi16(*sum, _mm256_mulhrs_epi16(_mm256_loadu_si256(samples), weight));
                }
                place += 1;
                if place == ring.len() {
                    place = 0;
                }
            }
            let out = &mut plane.columns[at * stride + tile * TILE..][..TILE];
            for (out, sum) in out.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
                _mm256_storeu_si256(out, sum);
            }
        }
    }
}
