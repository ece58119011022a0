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

/// An sRGB profile (ICC v4.2, parametric curve) of fewer than 500 bytes, written here and free of anyone's rights.
pub(super) fn compact_srgb() -> Vec<u8> {
    let fixed = |value: f64| ((value * 65_536.0).round() as i32).to_be_bytes();
    let xyz = |x, y, z| [b"XYZ \0\0\0\0".as_slice(), &fixed(x), &fixed(y), &fixed(z)].concat();
    let text = |words: &str| {
        let wide: Vec<u8> = words.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let length = u32::try_from(wide.len()).expect("a few letters").to_be_bytes();
        [b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS".as_slice(), &length, &[0, 0, 0, 28], &wide].concat()
    };
    let curve = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45].map(fixed).concat();
    let curve = [b"para\0\0\0\0\0\x03\0\0".as_slice(), &curve].concat();
    let contents: [(&[&[u8; 4]], Vec<u8>); 7] = [
        (&[b"desc"], text("sRGB")),
        (&[b"cprt"], text("CC0")),
        (&[b"wtpt"], xyz(0.964_2, 1.0, 0.824_9)),
        (&[b"rXYZ"], xyz(0.436_07, 0.222_49, 0.013_92)),
        (&[b"gXYZ"], xyz(0.385_15, 0.716_87, 0.097_08)),
        (&[b"bXYZ"], xyz(0.143_07, 0.060_61, 0.714_10)),
        (&[b"rTRC", b"gTRC", b"bTRC"], curve),
    ];
    assemble(&contents)
}

fn assemble(contents: &[(&[&[u8; 4]], Vec<u8>)]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).expect("a small profile").to_be_bytes();
    let tags: usize = contents.iter().map(|(names, _)| names.len()).sum();
    let (mut table, mut data) = (word(tags).to_vec(), Vec::new());
    for (names, content) in contents {
        let offset = 128 + 4 + 12 * tags + data.len();
        for name in *names {
            table.extend([name.as_slice(), &word(offset), &word(content.len())].concat());
        }
        data.extend(content);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut header = [0; 128];
    header[0..4].copy_from_slice(&word(128 + table.len() + data.len()));
    header[8..12].copy_from_slice(&[4, 0x20, 0, 0]);
    header[12..24].copy_from_slice(b"mntrRGB XYZ ");
    header[24..36].copy_from_slice(&[7, 0xe8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    [header.as_slice(), &table, &data].concat()
}
