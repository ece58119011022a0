//! Conversion by a profile, one that a file has or one made of what a file says in other words.

use std::{cell::OnceCell, fmt, sync::Arc};

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, RenderingIntent, ToneReprCurve, TransferCharacteristics, Transform8BitExecutor,
    Transform16BitExecutor, TransformOptions, XyY,
};

use super::black_point;
use crate::imaging::{
    header::colors::Gamma,
    raster::{Raster, Samples},
};

/// Pixels that tell whether a profile does anything: black first.
const PROBES: [[u8; 3]; 10] = [
    [0, 0, 0],
    [255, 255, 255],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [40, 40, 40],
    [128, 128, 128],
    [200, 100, 50],
    [50, 200, 100],
    [100, 50, 200],
];

/// Conversion to sRGB by a profile: relative colorimetric, with compensation of the black point. What is made for 8 bits
/// takes a millisecond, for 16 bits 30, and is made once.
pub(super) struct Converter {
    pub profile: ColorProfile,
    plain: Transforms,
    with_alpha: Transforms,
}

#[derive(Default)]
struct Transforms {
    shallow: OnceCell<Option<Arc<Transform8BitExecutor>>>,
    deep: OnceCell<Option<Arc<Transform16BitExecutor>>>,
}

impl Converter {
    /// Makes nothing yet.
    pub fn new(profile: ColorProfile) -> Self {
        Self { profile, plain: Transforms::default(), with_alpha: Transforms::default() }
    }

    /// Converts a picture; nothing when the profile is not about such a one.
    pub fn convert(&self, raster: &Raster) -> Option<Samples> {
        let layout = match (raster.channels, self.profile.color_space) {
            (1, DataColorSpace::Gray) => Layout::Gray,
            (4, DataColorSpace::Gray) => Layout::GrayAlpha,
            (3, DataColorSpace::Rgb) => Layout::Rgb,
            (4, DataColorSpace::Rgb) => Layout::Rgba,
            _ => return None,
        };
        let probes = Samples::U8(probes(layout));
        let probed = self.transformed(&probes, layout)?;
        if is_near(&probes, &probed) {
            return Some(raster.samples.clone());
        }
        let narrowed = (layout == Layout::GrayAlpha).then(|| raster.samples.narrowed());
        let samples = narrowed.as_ref().unwrap_or(&raster.samples);
        let converted = if is_black(&probed, layout) {
            self.transformed(samples, layout)?
        } else {
            // Dark steps become wider: 8 bits would not do.
            let black = self.transformed(&probes.deep(), layout)?;
            black_point::compensated(self.transformed(&samples.deep(), layout)?, channels(layout), &black)
        };
        Some(if narrowed.is_some() { converted.widened() } else { converted })
    }

    /// Whether converting pixels of 8 bits changes nothing that can be seen; nothing when it cannot convert.
    pub fn changes_nothing(&self) -> Option<bool> {
        let layout = self.opaque();
        let probes = Samples::U8(probes(layout));
        Some(is_near(&probes, &self.transformed(&probes, layout)?))
    }

    /// Whether black stays black without compensation.
    pub fn keeps_black(&self) -> Option<bool> {
        let layout = self.opaque();
        Some(is_black(&self.transformed(&Samples::U8(probes(layout)), layout)?, layout))
    }

    /// Whether another conversion of RGB gives the same colors, within two levels.
    pub fn agrees(&self, convert: impl Fn([u8; 3]) -> [u8; 3]) -> Option<bool> {
        const TOLERANCE: u8 = 2;
        let probes = Samples::U8(probes(Layout::Rgb));
        let Samples::U8(wanted) = self.transformed(&probes, Layout::Rgb)? else {
            return None;
        };
        let converted = PROBES.iter().flat_map(|probe| convert(*probe));
        Some(converted.zip(wanted).all(|(ours, wanted)| ours.abs_diff(wanted) <= TOLERANCE))
    }

    /// Whether there is one for pixels of 8 bits without alpha.
    #[cfg(test)]
    pub fn is_made(&self) -> bool {
        self.plain.shallow.get().is_some()
    }

    fn opaque(&self) -> Layout {
        if self.profile.color_space == DataColorSpace::Gray { Layout::Gray } else { Layout::Rgb }
    }

    fn transformed(&self, samples: &Samples, layout: Layout) -> Option<Samples> {
        match samples {
            Samples::U8(source) => {
                let mut converted = vec![0; source.len()];
                self.shallow(layout)?.transform(source, &mut converted).ok()?;
                Some(Samples::U8(converted))
            }
            Samples::U16(source) => {
                let mut converted = vec![0; source.len()];
                self.deep(layout)?.transform(source, &mut converted).ok()?;
                Some(Samples::U16(converted))
            }
        }
    }

    fn shallow(&self, layout: Layout) -> Option<&Transform8BitExecutor> {
        let options = relative_colorimetric(&self.profile);
        let make = || self.profile.create_transform_8bit(layout, &target(layout), layout, options).ok();
        self.transforms(layout).shallow.get_or_init(make).as_deref()
    }

    fn deep(&self, layout: Layout) -> Option<&Transform16BitExecutor> {
        let options = relative_colorimetric(&self.profile);
        let make = || self.profile.create_transform_16bit(layout, &target(layout), layout, options).ok();
        self.transforms(layout).deep.get_or_init(make).as_deref()
    }

    fn transforms(&self, layout: Layout) -> &Transforms {
        if matches!(layout, Layout::Gray | Layout::Rgb) { &self.plain } else { &self.with_alpha }
    }
}

impl fmt::Debug for Converter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converter").field("color_space", &self.profile.color_space).finish_non_exhaustive()
    }
}

/// Whether a conversion changed nothing that can be seen.
fn is_near(before: &Samples, after: &Samples) -> bool {
    match (before, after) {
        (Samples::U8(before), Samples::U8(after)) => {
            before.iter().zip(after).all(|(before, after)| before.abs_diff(*after) <= 1)
        }
        _ => false,
    }
}

/// Whether the first pixel, which was black, still is.
fn is_black(probed: &Samples, layout: Layout) -> bool {
    let colors = if matches!(layout, Layout::Gray | Layout::GrayAlpha) { 1 } else { 3 };
    matches!(probed, Samples::U8(samples) if samples[..colors].iter().all(|sample| *sample == 0))
}

fn target(layout: Layout) -> ColorProfile {
    if matches!(layout, Layout::Gray | Layout::GrayAlpha) { srgb_grey() } else { ColorProfile::new_srgb() }
}

/// Relative colorimetric, or what stands for it in a profile whose only table is the first.
pub(super) fn relative_colorimetric(profile: &ColorProfile) -> TransformOptions {
    let first_alone = profile.lut_a_to_b_colorimetric.is_none() && profile.lut_a_to_b_perceptual.is_some();
    let rendering_intent =
        if first_alone { RenderingIntent::Perceptual } else { RenderingIntent::RelativeColorimetric };
    TransformOptions { rendering_intent, ..TransformOptions::default() }
}

fn probes(layout: Layout) -> Vec<u8> {
    let opaque = |probe: [u8; 3]| [probe[0], probe[1], probe[2], 255];
    let samples = PROBES.iter().flat_map(|probe| match layout {
        Layout::Gray => vec![probe[0]],
        Layout::GrayAlpha => vec![probe[0], 255],
        Layout::Rgb => probe.to_vec(),
        _ => opaque(*probe).to_vec(),
    });
    samples.collect()
}

fn channels(layout: Layout) -> usize {
    match layout {
        Layout::Gray => 1,
        Layout::GrayAlpha => 2,
        Layout::Rgb => 3,
        _ => 4,
    }
}

/// Grey with the tone curve of sRGB.
fn srgb_grey() -> ColorProfile {
    let mut profile = ColorProfile::new_gray_with_gamma(2.2);
    profile.gray_trc = ColorProfile::new_srgb().red_trc;
    profile
}

/// The profile that a gamma and perhaps chromaticities mean.
pub(super) fn of_gamma(gamma: &Gamma, grey: bool) -> ColorProfile {
    let curve = ToneReprCurve::Parametric(vec![gamma.exponent]);
    if grey {
        let mut profile = srgb_grey();
        profile.gray_trc = Some(curve);
        return profile;
    }
    let mut profile = ColorProfile::new_srgb();
    if let Some([white, red, green, blue]) = gamma.chromaticities {
        let point = |(x, y): (f32, f32)| Chromaticity::new(x, y);
        let white = XyY { x: f64::from(white.0), y: f64::from(white.1), yb: 1.0 };
        let primaries = ColorPrimaries { red: point(red), green: point(green), blue: point(blue) };
        profile.update_rgb_colorimetry(white, primaries);
    }
    profile.cicp = None;
    (profile.red_trc, profile.green_trc, profile.blue_trc) =
        (Some(curve.clone()), Some(curve.clone()), Some(curve));
    profile
}

/// The profile that code points mean, if they mean one.
pub(super) fn of_code_points(primaries: u8, transfer: u8, grey: bool) -> Option<ColorProfile> {
    let points = CicpProfile {
        color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
        transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    };
    let mut profile = ColorProfile::new_from_cicp(points);
    let curve = profile.red_trc.clone()?;
    if grey {
        profile = srgb_grey();
        profile.gray_trc = Some(curve);
    }
    Some(profile)
}
