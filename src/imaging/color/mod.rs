//! Colors → sRGB.

mod black_point;
mod hdr;
pub(super) mod inks;
mod matrix;
mod profile;
mod recent;

use darkroom_jobs::{Warning, WarningCode};
use moxcms::{DataColorSpace, ProfileText};

use super::{
    header::colors::{CodePoints, Colors, HighCurve, Transfer},
    raster::{Raster, Samples},
    warning,
};

/// Longest description of a profile that is told, characters.
const MAX_DESCRIPTION: usize = 64;

/// Converts a picture to sRGB; without a word on its colors that can be used it is taken for sRGB. Also tells the
/// description of its profile. `inks`: they were converted when they were decoded, by the same profile if it is about
/// inks.
pub(super) fn to_srgb(
    raster: Raster,
    colors: &Colors,
    inks: bool,
    warnings: &mut Vec<Warning>,
) -> (Raster, Option<String>) {
    let (converted, description) = match colors {
        Colors::Srgb => return (raster, None),
        Colors::CodePoints(CodePoints { primaries, transfer: Transfer::High(curve) }) => {
            (tone_mapped(&raster, *primaries, *curve, warnings), None)
        }
        _ => match recent::known(colors, raster.channels == 1) {
            Some(known) => {
                let converted = match (inks, known.converter.profile.color_space) {
                    (true, DataColorSpace::Cmyk) => Some(raster.samples.clone()),
                    (true, _) => None,
                    (false, _) => known.converter.convert(&raster),
                };
                (converted, known.description.clone())
            }
            None => (None, None),
        },
    };
    match converted {
        Some(samples) => (Raster { samples, ..raster }, description),
        None => {
            warnings.push(icc_invalid());
            (raster, description)
        }
    }
}

pub(super) use {matrix::conversion, recent::rest};

/// The warning that a profile was ignored.
pub(super) fn icc_invalid() -> Warning {
    warning(WarningCode::IccInvalid, "a color profile that cannot be used was ignored")
}

fn tone_mapped(
    raster: &Raster,
    primaries: u8,
    curve: HighCurve,
    warnings: &mut Vec<Warning>,
) -> Option<Samples> {
    let mapped = hdr::to_srgb(raster, primaries, curve)?;
    warnings.push(warning(WarningCode::HdrTonemapped, "a high dynamic range was made a standard one"));
    Some(mapped)
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

/// Light of a sample of sRGB, both 0 to 1.
fn light(sample: f32) -> f32 {
    if sample <= 0.040_45 { sample / 12.92 } else { ((sample + 0.055) / 1.055).powf(2.4) }
}

/// The sample of sRGB for so much light, both 0 to 1.
fn sample(light: f32) -> f32 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests;
