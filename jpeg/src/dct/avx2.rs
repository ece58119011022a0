//! The transforms with AVX2: a block in each half of a vector.

use std::arch::x86_64::{
    __m256i, _mm256_adds_epi16, _mm256_castsi128_si256, _mm256_inserti128_si256, _mm256_max_epi16,
    _mm256_min_epi16, _mm256_mulhrs_epi16, _mm256_mullo_epi16, _mm256_set1_epi16, _mm256_setzero_si256,
    _mm256_subs_epi16, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use safe_unaligned_simd::x86_64::_mm_loadu_si128;

use super::{Block, C1, C2, C3, C4, C5, C6, C7, CENTER, Steps, WHITE, forward, inverse, inverse_half};

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_adds_epi16(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn sub(a: __m256i, b: __m256i) -> __m256i {
    _mm256_subs_epi16(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn mul(a: __m256i, factor: i16) -> __m256i {
    _mm256_mulhrs_epi16(a, _mm256_set1_epi16(factor))
}

#[inline]
#[target_feature(enable = "avx2")]
fn transpose(v: [__m256i; 8]) -> [__m256i; 8] {
    let low = |a, b| _mm256_unpacklo_epi16(a, b);
    let high = |a, b| _mm256_unpackhi_epi16(a, b);
    let a = [low(v[0], v[1]), high(v[0], v[1]), low(v[2], v[3]), high(v[2], v[3])];
    let b = [low(v[4], v[5]), high(v[4], v[5]), low(v[6], v[7]), high(v[6], v[7])];
    let low = |a, b| _mm256_unpacklo_epi32(a, b);
    let high = |a, b| _mm256_unpackhi_epi32(a, b);
    let c = [low(a[0], a[2]), high(a[0], a[2]), low(a[1], a[3]), high(a[1], a[3])];
    let d = [low(b[0], b[2]), high(b[0], b[2]), low(b[1], b[3]), high(b[1], b[3])];
    let low = |a, b| _mm256_unpacklo_epi64(a, b);
    let high = |a, b| _mm256_unpackhi_epi64(a, b);
    [
        low(c[0], d[0]),
        high(c[0], d[0]),
        low(c[1], d[1]),
        high(c[1], d[1]),
        low(c[2], d[2]),
        high(c[2], d[2]),
        low(c[3], d[3]),
        high(c[3], d[3]),
    ]
}

/// Eight values of two blocks in one vector.
#[inline]
#[target_feature(enable = "avx2")]
pub fn two(a: &[i16; 8], b: &[i16; 8]) -> __m256i {
    _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)), _mm_loadu_si128(b), 1)
}

#[inline]
#[target_feature(enable = "avx2")]
fn dequantize([a, b]: [&mut Block; 2], [qa, qb]: [&Steps; 2]) -> [__m256i; 8] {
    let mut v = [_mm256_setzero_si256(); 8];
    let (rows_a, rows_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let (table_a, table_b) = (qa.0.as_chunks::<8>().0, qb.0.as_chunks::<8>().0);
    for at in 0..8 {
        v[at] = _mm256_mullo_epi16(two(&rows_a[at], &rows_b[at]), two(&table_a[at], &table_b[at]));
    }
    (*a, *b) = ([0; 64], [0; 64]);
    v
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_samples(v: __m256i) -> __m256i {
    let shifted = add(v, _mm256_set1_epi16(CENTER));
    _mm256_min_epi16(_mm256_max_epi16(shifted, _mm256_setzero_si256()), _mm256_set1_epi16(WHITE))
}

/// As [`super::portable::inverse_pair`].
#[inline]
#[target_feature(enable = "avx2")]
pub fn inverse_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [__m256i; 8] {
    let v = inverse!(dequantize(blocks, tables), add, sub, mul);
    let mut v = inverse!(transpose(v), add, sub, mul);
    for row in &mut v {
        *row = to_samples(*row);
    }
    v
}

/// As [`super::portable::inverse_half_pair`].
#[inline]
#[target_feature(enable = "avx2")]
pub fn inverse_half_pair(blocks: [&mut Block; 2], tables: [&Steps; 2]) -> [__m256i; 4] {
    let v = dequantize(blocks, tables);
    let zero = _mm256_setzero_si256();
    let [a, b, c, d] = inverse_half!([v[0], v[1], v[2], v[3]], add, sub, mul);
    let v = transpose([a, b, c, d, zero, zero, zero, zero]);
    let mut v = inverse_half!([v[0], v[1], v[2], v[3]], add, sub, mul);
    for row in &mut v {
        *row = to_samples(*row);
    }
    v
}

/// As [`super::portable::forward_pair`].
#[inline]
#[target_feature(enable = "avx2")]
pub fn forward_pair(rows: [__m256i; 8]) -> [__m256i; 8] {
    forward!(transpose(forward!(rows, add, sub, mul)), add, sub, mul)
}
