//! Conversion by a profile, one that a file has or one made of what a file says in other words.

use std::sync::Arc;

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

/// Relative colorimetric to sRGB, with compensation of the black point; none when the profile is not about such a picture.
pub(super) fn convert(raster: &Raster, profile: &ColorProfile) -> Option<Samples> {
    let layout = match (raster.channels, profile.color_space) {
        (1, DataColorSpace::Gray) => Layout::Gray,
        (4, DataColorSpace::Gray) => Layout::GrayAlpha,
        (3, DataColorSpace::Rgb) => Layout::Rgb,
        (4, DataColorSpace::Rgb) => Layout::Rgba,
        _ => return None,
    };
    let probes = Samples::U8(probes(layout));
    // Made once: it takes a millisecond.
    let transform = transform(profile, layout)?;
    let probed = by_8_bit(&*transform, &probes)?;
    if is_near(&probes, &probed) {
        return Some(raster.samples.clone());
    }
    let narrowed = (layout == Layout::GrayAlpha).then(|| raster.samples.narrowed());
    let samples = narrowed.as_ref().unwrap_or(&raster.samples);
    let converted = if is_black(&probed, layout) {
        match by_8_bit(&*transform, samples) {
            Some(converted) => converted,
            None => transformed(samples, profile, layout)?,
        }
    } else {
        // Dark steps become wider: 8 bits would not do. It takes 30 ms to make, and so is made once, too.
        let deep = deep_transform(profile, layout)?;
        let black = by_16_bit(&*deep, &probes.deep())?;
        black_point::compensated(by_16_bit(&*deep, &samples.deep())?, channels(layout), &black)
    };
    Some(if narrowed.is_some() { converted.widened() } else { converted })
}

/// Whether converting pixels of 8 bits by a profile changes nothing that can be seen; nothing when it cannot convert.
pub(super) fn changes_nothing(profile: &ColorProfile) -> Option<bool> {
    let layout = layout_of(profile);
    let probes = Samples::U8(probes(layout));
    Some(is_near(&probes, &transformed(&probes, profile, layout)?))
}

/// Whether black stays black without compensation.
pub(super) fn keeps_black(profile: &ColorProfile) -> Option<bool> {
    let layout = layout_of(profile);
    Some(is_black(&transformed(&Samples::U8(probes(layout)), profile, layout)?, layout))
}

/// Whether another conversion of RGB gives the same colors, within two levels.
pub(super) fn agrees(profile: &ColorProfile, convert: impl Fn([u8; 3]) -> [u8; 3]) -> Option<bool> {
    const TOLERANCE: u8 = 2;
    let Samples::U8(wanted) = transformed(&Samples::U8(probes(Layout::Rgb)), profile, Layout::Rgb)? else {
        return None;
    };
    let converted = PROBES.iter().flat_map(|probe| convert(*probe));
    Some(converted.zip(wanted).all(|(ours, wanted)| ours.abs_diff(wanted) <= TOLERANCE))
}

fn layout_of(profile: &ColorProfile) -> Layout {
    if profile.color_space == DataColorSpace::Gray { Layout::Gray } else { Layout::Rgb }
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

fn transform(profile: &ColorProfile, layout: Layout) -> Option<Arc<Transform8BitExecutor>> {
    profile.create_transform_8bit(layout, &target(layout), layout, relative_colorimetric(profile)).ok()
}

/// Nothing when the samples are of 16 bits.
fn by_8_bit(transform: &Transform8BitExecutor, samples: &Samples) -> Option<Samples> {
    let Samples::U8(source) = samples else { return None };
    let mut converted = vec![0; source.len()];
    transform.transform(source, &mut converted).ok()?;
    Some(Samples::U8(converted))
}

fn deep_transform(profile: &ColorProfile, layout: Layout) -> Option<Arc<Transform16BitExecutor>> {
    profile.create_transform_16bit(layout, &target(layout), layout, relative_colorimetric(profile)).ok()
}

/// Nothing when the samples are of 8 bits.
fn by_16_bit(transform: &Transform16BitExecutor, samples: &Samples) -> Option<Samples> {
    let Samples::U16(source) = samples else { return None };
    let mut converted = vec![0; source.len()];
    transform.transform(source, &mut converted).ok()?;
    Some(Samples::U16(converted))
}

fn target(layout: Layout) -> ColorProfile {
    if matches!(layout, Layout::Gray | Layout::GrayAlpha) { srgb_grey() } else { ColorProfile::new_srgb() }
}

fn transformed(samples: &Samples, profile: &ColorProfile, layout: Layout) -> Option<Samples> {
    match samples {
        Samples::U8(_) => by_8_bit(&*transform(profile, layout)?, samples),
        Samples::U16(_) => by_16_bit(&*deep_transform(profile, layout)?, samples),
    }
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
