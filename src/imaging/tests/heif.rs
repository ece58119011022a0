//! HEIC and AVIF: what a file means, and files that mean harm.

use std::sync::LazyLock;

use darkroom_jobs::{ErrorCode, WarningCode};
use proptest::prelude::*;

use super::{assert_close, codes_of, difference, made, pixels};
use crate::{
    dev::pictures::{names, picture},
    imaging::{
        Limits, Preset,
        header::{Header, colors::Colors, heif::picture::CodePoints},
        normalize,
    },
};

fn plain() -> image::RgbImage {
    pixels(&picture("plain.jpg").unwrap())
}

#[test]
fn tiles_depths_and_kinds_of_color_show_the_same_picture() {
    for name in
        ["plain.heic", "grid.heic", "10-bit.heic", "limited.heic", "plain.avif", "10-bit.avif", "444.avif"]
    {
        let normalized = made(name).unwrap();

        assert_close(&pixels(&normalized.jpeg), &plain(), 3.0);
        assert_eq!(codes_of(&normalized), [], "{name}");
        assert_eq!(
            normalized.facts.detected_type,
            if name.ends_with("avif") { "image/avif" } else { "image/heic" }
        );
    }
}

#[test]
fn no_seam_is_seen_between_tiles() {
    let whole = pixels(&made("plain.heic").unwrap().jpeg);
    let tiled = pixels(&made("grid.heic").unwrap().jpeg);

    // Between the first and the second column of the grid; at the horizon both ring as they like.
    let seam = tiled.enumerate_pixels().filter(|(x, y, _)| (126..130).contains(x) && !(86..106).contains(y));
    for (x, y, pixel) in seam {
        let off = pixel.0.iter().zip(whole.get_pixel(x, y).0).map(|(a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(6), "{off:?} at {x}, {y}");
    }
}

#[test]
fn brightness_alone_stays_grey() {
    let normalized = made("grey.heic").unwrap();

    let picture = image::load_from_memory(&normalized.jpeg).unwrap();
    assert_eq!(picture.color(), image::ColorType::L8);
    let grey = image::DynamicImage::from(plain()).into_luma8();
    assert_close(&picture.into_rgb8(), &image::DynamicImage::from(grey).into_rgb8(), 3.0);
}

#[test]
fn all_eight_ways_to_turn_are_applied_once_and_those_of_exif_never() {
    for number in 1..=8 {
        let normalized = made(&format!("turned-{number}.heic")).unwrap();

        assert_eq!(normalized.facts.orientation, number);
        assert_close(&pixels(&normalized.jpeg), &plain(), 3.0);
    }
    let told = made("exif-only.heic").unwrap();
    assert_eq!((told.facts.orientation, told.facts.had_gps), (1, true));
    assert_close(&pixels(&told.jpeg), &plain(), 3.0);
    assert!(!made("plain.heic").unwrap().facts.had_gps);
}

#[test]
fn a_mirror_counts_after_the_turn_before_it() {
    let mut expected = image::DynamicImage::from(plain());
    expected.apply_orientation(image::metadata::Orientation::from_exif(5).unwrap());

    let normalized = made("turned-5.avif").unwrap();

    assert_close(&pixels(&normalized.jpeg), &expected.into_rgb8(), 3.0);
}

#[test]
fn a_cut_is_made_where_the_turned_picture_has_it() {
    let normalized = made("cut.heic").unwrap();

    assert_eq!((normalized.width, normalized.height), (240, 160));
    assert_close(&pixels(&normalized.jpeg), &plain(), 3.0);
}

#[test]
fn a_picture_derived_from_another_is_turned_as_both_say() {
    assert_close(&pixels(&made("derived.heic").unwrap().jpeg), &plain(), 3.0);
}

#[test]
fn alpha_is_flattened_on_white_whatever_its_sides_and_colors() {
    let expected = pixels(&made("alpha.png").unwrap().jpeg);
    for name in ["alpha.heic", "premultiplied.heic", "half-alpha.heic", "alpha.avif"] {
        assert_close(&pixels(&made(name).unwrap().jpeg), &expected, 3.0);
    }
}

#[test]
fn colors_are_what_boxes_say_or_else_the_stream() {
    let wide = pixels(&made("profile-over-srgb.png").unwrap().jpeg);
    let told = made("display-p3.heic").unwrap();
    assert_close(&pixels(&told.jpeg), &wide, 3.0);
    assert_eq!(told.facts.icc.as_deref(), Some("Display P3"));

    for name in ["pq.heic", "hlg.heic", "pq-untold.heic"] {
        let normalized = made(name).unwrap();

        assert_eq!(codes_of(&normalized), [WarningCode::HdrTonemapped], "{name}");
        assert_close(&pixels(&normalized.jpeg), &plain(), 4.0);
    }
}

#[test]
fn of_a_film_the_picture_beside_it_is_kept() {
    let normalized = made("animated.avif").unwrap();

    assert_eq!(codes_of(&normalized), [WarningCode::AnimationDropped]);
    assert_eq!(normalized.facts.frames, 3);
    assert_close(&pixels(&normalized.jpeg), &plain(), 3.0);
}

#[test]
fn hostile_boxes_are_refused_by_their_codes() {
    let code = |name| made(name).map(|_| ()).unwrap_err().code();

    for (name, expected) in [
        ("endless-box.heic", ErrorCode::ImageTruncated),
        ("larger-than-coded.heic", ErrorCode::ImageCorrupt),
        ("smaller-than-coded.heic", ErrorCode::ImageCorrupt),
        ("smaller-than-coded.avif", ErrorCode::ImageCorrupt),
        ("more-colors.heic", ErrorCode::ImageCorrupt),
        ("huge.heic", ErrorCode::ImageDimensions),
        ("grid-of-itself.heic", ErrorCode::ImageCorrupt),
        ("circle.heic", ErrorCode::ImageTooComplex),
        ("other-tile.heic", ErrorCode::ImageCorrupt),
        ("other-grid.heic", ErrorCode::ImageCorrupt),
        ("missing-tile.heic", ErrorCode::ImageCorrupt),
        ("many-items.heic", ErrorCode::ImageTooComplex),
        ("many-places.heic", ErrorCode::ImageTooComplex),
        ("many-properties.heic", ErrorCode::ImageTooComplex),
        ("repeated-bytes.heic", ErrorCode::ImageTooComplex),
        ("elsewhere.heic", ErrorCode::ImageCorrupt),
        ("encrypted.heic", ErrorCode::UnsupportedFormat),
        ("cut-to-nothing.heic", ErrorCode::ImageCorrupt),
        ("film.avif", ErrorCode::UnsupportedFormat),
        ("nested.heic", ErrorCode::ImageCorrupt),
        ("hidden-frames.avif", ErrorCode::ImageTooComplex),
        ("more-colors.heic", ErrorCode::ImageCorrupt),
        ("more-colors-in-a-tile.heic", ErrorCode::ImageCorrupt),
        ("more-colors.avif", ErrorCode::ImageCorrupt),
        ("more-bits.avif", ErrorCode::ImageCorrupt),
    ] {
        assert_eq!(code(name), expected, "{name}");
    }
}

#[test]
fn room_is_made_for_eight_frames_at_most() {
    const BYTES_OF_A_FRAME: u64 = 240 * 160 * 3 / 2 * 3;
    let held = |name| Header::read(&picture(name).unwrap(), &Limits::default()).unwrap().decoder_bytes;
    let stream = include_bytes!("../../../tests/fixtures/av1/small.obu").len() as u64;

    assert_eq!(held("plain.avif"), BYTES_OF_A_FRAME + stream);
    assert_eq!(held("frames-in-stock.avif"), 8 * BYTES_OF_A_FRAME + 11 * stream);
}

#[test]
fn what_is_cut_off_is_missed() {
    for name in ["plain.heic", "grid.heic", "plain.avif"] {
        let whole = picture(name).unwrap();
        for end in [whole.len() - 20, whole.len() * 9 / 10, whole.len() / 2, 40, 20] {
            let error =
                normalize(&whole[..end], &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}).unwrap_err();

            assert!(
                matches!(error.code(), ErrorCode::ImageTruncated | ErrorCode::ImageCorrupt),
                "{name} to {end}: {error}"
            );
        }
    }
}

#[test]
fn limits_hold_for_tiles_and_metadata_too() {
    let refused = |name, limits: Limits| Header::read(&picture(name).unwrap(), &limits).unwrap_err().code();

    assert_eq!(
        refused("grid.heic", Limits { max_pixels: 240 * 160 - 1, ..Limits::default() }),
        ErrorCode::ImageDimensions
    );
    assert_eq!(
        refused("exif-only.heic", Limits { max_metadata_bytes: 10, ..Limits::default() }),
        ErrorCode::ImageTooComplex
    );
}

/// Every picture in boxes, rendered once.
static BOXED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let boxed = names().filter(|name| name.ends_with(".heic") || name.ends_with(".avif"));
    boxed.filter_map(picture).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Boxes lie in the first bytes of a file, where one changed byte means something else.
    #[test]
    fn damaged_boxes_end_in_a_jpeg_or_a_code(
        original in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut original = original.get(&BOXED).clone();
        for (at, byte) in changes {
            if let Some(place) = original.get_mut(at) {
                *place = byte;
            }
        }
        if let Some(cut) = cut {
            original.truncate(cut.index(original.len()));
        }

        let result = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

        prop_assert!(result.map_or(true, |normalized| normalized.jpeg.starts_with(b"\xff\xd8\xff")));
    }
}

#[test]
fn a_film_beside_no_picture_is_named() {
    let error = made("film.avif").unwrap_err();

    assert_eq!(error.detail().unwrap()["detected"], "image/heif-sequence");
}

#[test]
fn pictures_of_boxes_differ_where_their_pixels_do() {
    assert!(difference(&pixels(&made("alpha.heic").unwrap().jpeg), &plain()) > 20.0);
    assert!(difference(&pixels(&made("display-p3.heic").unwrap().jpeg), &plain()) > 4.0);
}

#[test]
fn what_came_out_comes_out_again_as_it_is() {
    for name in ["plain.heic", "alpha.heic", "plain.avif", "cmyk.jpg"] {
        let once = made(name).unwrap().jpeg;

        let twice = normalize(&once, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}).unwrap().jpeg;

        assert_close(&pixels(&twice), &pixels(&once), 1.0);
    }
}

#[test]
fn curves_of_film_are_taken_for_that_of_srgb() {
    let colors =
        |primaries, transfer| CodePoints { primaries, transfer, matrix: 1, full_range: true }.colors();

    for film in [1, 2, 6, 13, 14, 15] {
        assert_eq!(colors(1, film), Some(Colors::Srgb));
    }
    assert_eq!(colors(2, 2), None);
    assert_eq!(colors(12, 1), Some(Colors::of_code_points(12, 13)));
    assert_eq!(colors(9, 16), Some(Colors::of_code_points(9, 16)));
}
