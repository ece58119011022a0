//! Colors → sRGB.

use darkroom_jobs::{Warning, WarningCode};
use moxcms::{ColorProfile, DataColorSpace, Layout, ProfileText, RenderingIntent, TransformOptions};

use super::{
    raster::{Raster, Samples},
    warning,
};

/// Longest description of a profile that is told, characters.
const MAX_DESCRIPTION: usize = 64;

/// Converts a picture to sRGB by its profile; without a usable one it is taken for sRGB. Also tells the profile's description.
pub(super) fn to_srgb(
    raster: Raster,
    icc: Option<&[u8]>,
    warnings: &mut Vec<Warning>,
) -> (Raster, Option<String>) {
    let Some(icc) = icc else { return (raster, None) };
    let Ok(profile) = ColorProfile::new_from_slice(icc) else {
        warnings.push(icc_invalid());
        return (raster, None);
    };
    let description = profile.description.as_ref().and_then(description);
    let converted = match convert(&raster, &profile) {
        Some(samples) => Raster { samples, ..raster },
        None => {
            warnings.push(icc_invalid());
            raster
        }
    };
    (converted, description)
}

/// The warning that a profile was ignored.
pub(super) fn icc_invalid() -> Warning {
    warning(WarningCode::IccInvalid, "a color profile that cannot be used was ignored")
}

fn convert(raster: &Raster, profile: &ColorProfile) -> Option<Samples> {
    let layout = match (raster.channels, profile.color_space) {
        (1, DataColorSpace::Gray) => Layout::Gray,
        (3, DataColorSpace::Rgb) => Layout::Rgb,
        (4, DataColorSpace::Rgb) => Layout::Rgba,
        // Decoders turn CMYK to RGB and some grey with alpha to RGB: the profile is no longer about these samples.
        (3 | 4, DataColorSpace::Cmyk) => return Some(raster.samples.clone()),
        _ => return None,
    };
    let options = TransformOptions {
        rendering_intent: RenderingIntent::RelativeColorimetric,
        ..TransformOptions::default()
    };
    let target = if layout == Layout::Gray { srgb_grey() } else { ColorProfile::new_srgb() };
    match &raster.samples {
        Samples::U8(source) => {
            let transform = profile.create_transform_8bit(layout, &target, layout, options).ok()?;
            let mut converted = vec![0; source.len()];
            transform.transform(source, &mut converted).ok()?;
            Some(Samples::U8(converted))
        }
        Samples::U16(source) => {
            let transform = profile.create_transform_16bit(layout, &target, layout, options).ok()?;
            let mut converted = vec![0; source.len()];
            transform.transform(source, &mut converted).ok()?;
            Some(Samples::U16(converted))
        }
    }
}

/// Grey with the tone curve of sRGB.
fn srgb_grey() -> ColorProfile {
    let mut profile = ColorProfile::new_gray_with_gamma(2.2);
    profile.gray_trc = ColorProfile::new_srgb().red_trc;
    profile
}

fn description(text: &ProfileText) -> Option<String> {
    let text = match text {
        ProfileText::PlainString(text) => text.as_str(),
        ProfileText::Localizable(texts) => texts.first()?.value.as_str(),
        ProfileText::Description(text) if !text.ascii_string.is_empty() => text.ascii_string.as_str(),
        ProfileText::Description(text) => text.unicode_string.as_str(),
    };
    let printable: String = text.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION).collect();
    (!printable.trim().is_empty()).then_some(printable)
}
