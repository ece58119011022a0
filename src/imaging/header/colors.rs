//! What a file says of its colors.

use super::reader::big;

/// What the numbers of a picture mean.
#[derive(Clone, Debug, PartialEq)]
pub enum Colors {
    /// sRGB, said or assumed.
    Srgb,
    /// What an ICC profile says.
    Icc(Vec<u8>),
    /// A power of the number, for primaries of its own.
    Gamma(Gamma),
    /// What ITU-T H.273 says.
    CodePoints(CodePoints),
}

impl Colors {
    /// What two numbers of H.273 mean.
    pub(in crate::imaging) fn of_code_points(primaries: u8, transfer: u8) -> Self {
        let transfer = match (primaries, transfer) {
            (1, 13) => return Self::Srgb,
            (_, 16) => Transfer::High(HighCurve::Pq),
            (_, 18) => Transfer::High(HighCurve::Hlg),
            (_, other) => Transfer::Standard(other),
        };
        Self::CodePoints(CodePoints { primaries, transfer })
    }
}

/// `gAMA` and `cHRM` of a PNG.
#[derive(Clone, Debug, PartialEq)]
pub struct Gamma {
    /// Light is the sample to this power.
    pub exponent: f32,
    /// x and y of white, red, green and blue; sRGB's if there are none.
    pub chromaticities: Option<[(f32, f32); 4]>,
}

/// `cICP` of a PNG, `nclx` of a HEIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePoints {
    /// H.273, table 2.
    pub primaries: u8,
    /// What a sample is in light.
    pub transfer: Transfer,
}

/// H.273, table 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Up to white and no further.
    Standard(u8),
    /// Brighter than white.
    High(HighCurve),
}

/// A curve of high dynamic range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HighCurve {
    /// SMPTE ST 2084, perceptual quantizer.
    Pq,
    /// ARIB STD-B67, hybrid log-gamma.
    Hlg,
}

/// Chunks of a PNG, as far as they were seen.
#[derive(Clone, Debug, Default)]
pub(super) struct PngColors {
    code_points: Option<[u8; 4]>,
    srgb: bool,
    gamma: Option<u32>,
    chromaticities: Option<[(f32, f32); 4]>,
}

/// `gAMA` of sRGB, and by how much it may differ.
const SRGB_GAMMA: std::ops::RangeInclusive<u32> = 45_000..=46_000;

/// `cHRM` of sRGB, and by how much it may differ.
const SRGB_CHROMATICITIES: [(f32, f32); 4] = [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)];
const SAME_CHROMATICITY: f32 = 0.002;

impl PngColors {
    /// Takes a chunk if it is one of these; the first of a kind counts.
    pub fn take(&mut self, name: &[u8], content: &[u8]) {
        match name {
            b"cICP" => self.code_points = self.code_points.or(content.try_into().ok()),
            b"sRGB" => self.srgb = true,
            b"gAMA" => self.gamma = self.gamma.or(big(content).u32(0).filter(|gamma| *gamma > 0)),
            b"cHRM" => self.chromaticities = self.chromaticities.or(chromaticities(content)),
            _ => {}
        }
    }

    /// What goes before an ICC profile.
    pub fn before_profile(&self) -> Option<Colors> {
        let [primaries, transfer, matrix, full_range] = self.code_points?;
        if (matrix, full_range) != (0, 1) {
            return None; // not allowed in a PNG, or of a range that stills do not have
        }
        Some(Colors::of_code_points(primaries, transfer))
    }

    /// What counts without an ICC profile.
    pub fn after_profile(&self) -> Colors {
        let Some(gamma) = self.gamma.filter(|_| !self.srgb) else { return Colors::Srgb };
        let chromaticities = self.chromaticities.filter(|points| !is_srgb(points));
        if SRGB_GAMMA.contains(&gamma) && chromaticities.is_none() {
            return Colors::Srgb;
        }
        Colors::Gamma(Gamma { exponent: 100_000.0 / gamma as f32, chromaticities })
    }
}

fn is_srgb(points: &[(f32, f32); 4]) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() <= SAME_CHROMATICITY;
    points.iter().zip(&SRGB_CHROMATICITIES).all(|(a, b)| near(a.0, b.0) && near(a.1, b.1))
}

/// Four points that span a triangle around white, or none.
fn chromaticities(content: &[u8]) -> Option<[(f32, f32); 4]> {
    let numbers = big(content);
    let mut points = [(0.0, 0.0); 4];
    for (index, point) in points.iter_mut().enumerate() {
        let number = |at| Some(numbers.u32(at)? as f32 / 100_000.0);
        *point = (number(index * 8)?, number(index * 8 + 4)?);
        if !(0.0..=1.0).contains(&point.0) || !(0.001..=1.0).contains(&point.1) {
            return None;
        }
    }
    let [_, red, green, blue] = points;
    let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
    (area.abs() > 0.001).then_some(points)
}
