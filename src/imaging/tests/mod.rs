mod clean;
mod heif;
mod hidden;
mod inks;
mod lane;
mod truncated;
mod webp;

use darkroom_jobs::{ErrorCode, WarningCode};
use proptest::prelude::*;

use super::*;
use crate::dev::pictures::{names, picture};

fn made(name: &str) -> Result<Normalized, Error> {
    let original = picture(name).unwrap();
    normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {})
}

fn pixels(jpeg: &[u8]) -> image::RgbImage {
    image::load_from_memory(jpeg).unwrap().into_rgb8()
}

#[track_caller]
fn assert_close(left: &image::RgbImage, right: &image::RgbImage, tolerance: f64) {
    assert_eq!(left.dimensions(), right.dimensions());
    let mean = difference(left, right);
    assert!(mean <= tolerance, "the mean difference is {mean}");
}

/// Mean difference of two pictures, levels.
fn difference(left: &image::RgbImage, right: &image::RgbImage) -> f64 {
    let sum: f64 = left.iter().zip(right.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / left.len() as f64
}

fn codes_of(normalized: &Normalized) -> Vec<WarningCode> {
    normalized.warnings.iter().map(|warning| warning.code).collect()
}

#[test]
fn a_jpeg_of_12_bits_is_refused_by_name() {
    let mut jpeg = picture("plain.jpg").unwrap();
    let frame = jpeg.windows(5).position(|bytes| bytes == [0xff, 0xc0, 0, 17, 8]).expect("a frame");
    jpeg[frame + 1] = 0xc1;
    jpeg[frame + 4] = 12;

    let refused = normalize(&jpeg, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

    assert_eq!(refused.map(|_| ()).unwrap_err().code(), ErrorCode::UnsupportedFormat);
}

#[test]
fn what_begins_like_a_jpeg_and_is_none_is_refused_by_name() {
    let refused = normalize(
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0",
        &Preset::USER_PHOTO,
        &Limits::default(),
        &mut |_| {},
    );

    assert_eq!(refused.map(|_| ()).unwrap_err(), Error::Unsupported("image/jls"));
}

#[test]
fn all_eight_orientations_are_applied_once() {
    let plain = image::load_from_memory(&picture("plain.jpg").unwrap()).unwrap();
    for number in 1..=8u8 {
        let mut expected = plain.clone();
        expected.apply_orientation(image::metadata::Orientation::from_exif(number).unwrap());

        let normalized = made(&format!("orientation-{number}.jpg")).unwrap();

        assert_eq!(normalized.facts.orientation, number);
        assert_close(&pixels(&normalized.jpeg), &expected.into_rgb8(), 3.0);
    }
}

#[test]
fn every_format_shows_the_same_picture() {
    let expected = pixels(&picture("plain.jpg").unwrap());
    for name in [
        "plain.png",
        "plain.webp",
        "lossy.webp",
        "plain.bmp",
        "16-bit.png",
        "16-bit.tiff",
        "planes-of-tiles.tiff",
        "animated.gif",
    ] {
        let normalized = made(name).unwrap();

        assert_close(&pixels(&normalized.jpeg), &expected, 4.0);
    }
}

#[test]
fn nothing_but_pixels_and_a_small_profile_is_left() {
    for name in [
        "gps.jpg",
        "trailing-zip.jpg",
        "display-p3.jpg",
        "exif-only.heic",
        "display-p3.heic",
        "cmyk-profile.jpg",
    ] {
        let jpeg = made(name).unwrap().jpeg;

        for secret in [&b"Exif"[..], b"PK\x03\x04", b"secret", b"Display P3", b"ftyp", b"CMYK"] {
            assert!(!jpeg.windows(secret.len()).any(|word| word == secret), "{name} keeps {secret:?}");
        }
    }
}

#[test]
fn the_profiles_are_small_and_read_as_srgb() {
    let (color, grey) = (profile::srgb(), profile::grey());

    assert!(color.len() <= 500 && grey.len() <= 500, "{} and {} bytes", color.len(), grey.len());
    assert!(moxcms::ColorProfile::new_from_slice(&color).unwrap().is_matrix_shaper());
    assert!(moxcms::ColorProfile::new_from_slice(&grey).unwrap().gray_trc.is_some());
}

/// Markers of a JPEG with the lengths of their segments.
fn segments(jpeg: &[u8]) -> Vec<(u8, usize)> {
    markers::segments(jpeg).map(|segment| (segment.marker, segment.content.len())).collect()
}

#[test]
fn one_interleaved_scan_has_tables_of_its_own() {
    const STANDARD_TABLES: usize = 2 * (17 + 12) + 2 * (17 + 162);
    let scene = picture("plain.png").unwrap();
    for (quality, sampling) in [(82, 0x22), (92, 0x11)] {
        let preset = Preset { quality, ..Preset::USER_PHOTO };
        let jpeg = normalize(&scene, &preset, &Limits::default(), &mut |_| {}).unwrap().jpeg;

        let frame = markers::segments(&jpeg).find(|segment| segment.marker == 0xc0).unwrap().content;
        let written = segments(&jpeg);
        let tables: usize =
            written.iter().filter(|(marker, _)| *marker == 0xc4).map(|(_, bytes)| bytes).sum();
        let mut order: Vec<u8> = written.iter().map(|(marker, _)| *marker).collect();
        order.dedup();
        assert_eq!(order, [0xe0, 0xe2, 0xdb, 0xc0, 0xc4, 0xda, 0xd9]);
        assert_eq!(frame[7], sampling);
        assert!(tables < STANDARD_TABLES, "{tables}");
    }
}

#[test]
fn encoders_and_the_decoder_in_c_are_called_by_their_names() {
    let manifest = include_str!("../../../Cargo.toml");
    let (encode, vp8) = (include_str!("../encode.rs"), include_str!("../decode/vp8.rs"));

    for (name, code) in ENCODERS.map(|name| (name, encode)).into_iter().chain([(LOSSY_WEBP_DECODER, vp8)]) {
        let dependency = [" = ", ".workspace = "].map(|rest| format!("\n{name}{rest}"));
        assert!(dependency.iter().any(|line| manifest.contains(line)), "{name} is no dependency");
        assert!(code.contains(&format!("\nuse {}::", name.replace('-', "_"))), "{name} does nothing");
    }
}

#[test]
fn grey_stays_grey_and_says_so_in_its_profile() {
    let jpeg = made("grey.png").unwrap().jpeg;

    let profile = markers::segments(&jpeg).find(|segment| segment.marker == 0xe2).unwrap().content;
    assert_eq!(&profile[14 + 16..14 + 20], b"GRAY");
    assert_eq!(image::load_from_memory(&jpeg).unwrap().color(), image::ColorType::L8);
}

#[test]
fn a_progressive_preset_makes_a_progressive_jpeg_of_the_same_picture() {
    let (baseline, scene) = (made("plain.png").unwrap().jpeg, picture("plain.png").unwrap());
    let preset = Preset { progressive: true, ..Preset::USER_PHOTO };

    let progressive = normalize(&scene, &preset, &Limits::default(), &mut |_| {}).unwrap().jpeg;

    assert!(segments(&progressive).iter().any(|(marker, _)| *marker == 0xc2));
    // Other encoders round in other places.
    assert_close(&pixels(&progressive), &pixels(&baseline), 0.5);
}

#[test]
fn gps_is_told_and_only_told() {
    assert!(made("gps.jpg").unwrap().facts.had_gps);
    assert!(!made("plain.jpg").unwrap().facts.had_gps);
}

#[test]
fn grey_is_converted_by_its_curve() {
    let picture = pixels(&made("grey-gamma.jpg").unwrap().jpeg);

    for x in [0, 60, 120, 180, 239] {
        let light = (f64::from(x) / 239.0).powf(1.8);
        let expected =
            if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        let found = f64::from(picture.get_pixel(x, 80)[0]);
        assert!((found - expected * 255.0).abs() <= 3.0, "{found} at {x}, expected {}", expected * 255.0);
    }
}

#[test]
fn a_png_means_what_its_strongest_chunk_says() {
    let plain = pixels(&made("plain.png").unwrap().jpeg);
    let wide = pixels(&made("profile-over-srgb.png").unwrap().jpeg);

    for name in ["linear.png", "srgb-over-gamma.png", "code-points-over-profile.png"] {
        assert_close(&pixels(&made(name).unwrap().jpeg), &plain, 1.0);
    }
    assert_close(&pixels(&made("code-points.png").unwrap().jpeg), &wide, 1.0);
    assert_close(&pixels(&made("chromaticities.png").unwrap().jpeg), &wide, 3.0);
    assert!(difference(&wide, &plain) > 5.0);
}

#[test]
fn a_high_dynamic_range_is_made_a_standard_one() {
    let plain = pixels(&made("plain.png").unwrap().jpeg);

    for name in ["pq.png", "hlg.png"] {
        let normalized = made(name).unwrap();

        assert_eq!(codes_of(&normalized), [WarningCode::HdrTonemapped]);
        assert_close(&pixels(&normalized.jpeg), &plain, 3.0);
    }
}

#[test]
fn a_profile_that_inflates_without_end_is_ignored() {
    let normalized = made("profile-bomb.png").unwrap();

    assert_eq!(codes_of(&normalized), [WarningCode::IccInvalid]);
    assert_close(&pixels(&normalized.jpeg), &pixels(&made("plain.png").unwrap().jpeg), 0.01);
}

#[test]
fn of_several_profiles_the_first_alone_counts() {
    let first = made("two-profiles.png").unwrap();
    assert_eq!(codes_of(&first), []);
    assert_eq!(first.jpeg, made("profile-over-srgb.png").unwrap().jpeg);

    let bomb = made("two-profiles-bomb-first.png").unwrap();
    assert_eq!(codes_of(&bomb), [WarningCode::IccInvalid]);
    assert_eq!(bomb.jpeg, made("profile-bomb.png").unwrap().jpeg);
}

#[test]
fn alpha_is_flattened_on_white() {
    let picture = pixels(&made("alpha.png").unwrap().jpeg);

    assert!(picture.get_pixel(0, 80).0.iter().all(|sample| *sample > 245));
}

#[test]
fn oddities_are_warned_of() {
    let codes = |name| codes_of(&made(name).unwrap());

    assert_eq!(codes("orientation-9.jpg"), [WarningCode::ExifInvalid]);
    assert_eq!(codes("animated.gif"), [WarningCode::AnimationDropped]);
    assert_eq!(codes("plain.jpg"), []);
}

#[test]
fn bad_files_are_refused_by_their_codes() {
    let code = |name| made(name).unwrap_err().code();

    assert_eq!(code("empty.jpg"), ErrorCode::SourceEmpty);
    assert_eq!(code("text.jpg"), ErrorCode::NotAnImage);
    assert_eq!(code("truncated.jpg"), ErrorCode::ImageTruncated);
    assert_eq!(code("huge-header.png"), ErrorCode::ImageDimensions);
    assert_eq!(code("many-scans.jpg"), ErrorCode::ImageTooComplex);
    assert_eq!(code("big-scans.jpg"), ErrorCode::ImageTooComplex);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_picture_is_a_jpeg_or_a_code(index in 0..names().count(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut original = picture(names().nth(index).unwrap()).unwrap();
        if !original.is_empty() {
            let at = at.index(original.len());
            original[at] = byte;
        }

        let result = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

        prop_assert!(result.map_or(true, |normalized| normalized.jpeg.starts_with(b"\xff\xd8\xff")));
    }
}
