//! The lane beside the general way: the same pictures, and damage is judged by the general way alone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkroom_jobs::Encoding;

use super::*;
use crate::dev::pictures::sized;

/// A side from which results take the lane, px.
const SIDES: (u32, u32) = (1_300, 950);
const PRESET: Preset = Preset { max_side: 1_000, ..Preset::USER_PHOTO };

fn both(jpeg: &[u8], preset: &Preset) -> [Result<Normalized, Error>; 2] {
    [true, false].map(|jpeg_lane| {
        let limits = Limits { jpeg_lane, ..Limits::default() };
        normalize(jpeg, preset, &limits, &mut |_| {})
    })
}

#[track_caller]
fn assert_the_same_picture(jpeg: &[u8], preset: &Preset, name: &str) {
    let [lane, general] = both(jpeg, preset).map(|made| made.unwrap());

    assert_eq!((lane.encoding, general.encoding), (Encoding::Lane, Encoding::Reencoded), "{name}");
    assert_eq!(lane.warnings, general.warnings, "{name}");
    let told =
        |made: &Normalized| Facts { thumbhash: String::new(), dominant: String::new(), ..made.facts.clone() };
    assert_eq!(told(&lane), told(&general), "{name}");
    // A step of one of its waves is some levels.
    let (left, right) = (seen(&lane), seen(&general));
    let apart: f64 = left.iter().zip(&right).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let mean = apart / left.len() as f64;
    assert!(left.len() == right.len() && mean <= 5.0, "{name}: the thumbhash is {mean:.1} levels off");
    let (left, right) = (pixels(&lane.jpeg), pixels(&general.jpeg));
    assert_eq!(left.dimensions(), right.dimensions(), "{name}");
    let difference = difference(&left, &right);
    assert!(difference <= 1.0, "{name}: {difference:.2} levels");
}

/// What a ThumbHash shows: 32 px at most, RGBA.
fn seen(made: &Normalized) -> Vec<u8> {
    let hash = STANDARD.decode(&made.facts.thumbhash).unwrap();
    thumbhash::thumb_hash_to_rgba(&hash).unwrap().2
}

/// Segments behind the start of a file.
fn beside(jpeg: &[u8], segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut made = jpeg[..2].to_vec();
    for (marker, content) in segments {
        made.extend([0xff, *marker]);
        made.extend(u16::try_from(content.len() + 2).unwrap().to_be_bytes());
        made.extend(content);
    }
    [&made, &jpeg[2..]].concat()
}

fn turned(number: u8) -> (u8, Vec<u8>) {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, number, 0, 0, 0];
    let exif = [&b"Exif\0\0II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat();
    (0xe1, exif)
}

fn profile(profile: &moxcms::ColorProfile) -> (u8, Vec<u8>) {
    (0xe2, [b"ICC_PROFILE\0\x01\x01", &profile.encode().unwrap()[..]].concat())
}

#[test]
fn both_ways_make_the_same_picture_of_every_kind() {
    for kind in ["jpeg", "jpeg-444", "jpeg-progressive", "jpeg-progressive-444", "jpeg-grey"] {
        let jpeg = sized(kind, SIDES.0, SIDES.1).unwrap();
        assert_the_same_picture(&jpeg, &PRESET, kind);
        assert_the_same_picture(&jpeg, &Preset { max_side: 2_000, ..PRESET }, kind);
    }
}

#[test]
fn both_ways_turn_it_the_same() {
    let jpeg = sized("jpeg", SIDES.0, SIDES.1).unwrap();
    for number in 2..=8 {
        assert_the_same_picture(&beside(&jpeg, &[turned(number)]), &PRESET, &number.to_string());
    }
}

#[test]
fn both_ways_convert_wide_colors_the_same() {
    let jpeg = sized("jpeg", SIDES.0, SIDES.1).unwrap();
    for wide in [moxcms::ColorProfile::new_display_p3(), moxcms::ColorProfile::new_adobe_rgb()] {
        let jpeg = beside(&jpeg, &[profile(&wide), turned(6)]);
        assert_the_same_picture(&jpeg, &PRESET, "a matrix and curves");
        let full_color = Preset { quality: 95, ..PRESET };
        assert_the_same_picture(&sharp(&jpeg), &full_color, "the same in full color");
    }
}

#[test]
fn curves_that_a_profile_overrules_do_not_count() {
    let jpeg = sized("jpeg", SIDES.0, SIDES.1).unwrap();
    let jpeg = beside(&jpeg, &[profile(&moxcms::ColorProfile::new_display_p3_pq())]);

    let [lane, general] = both(&jpeg, &PRESET).map(|made| pixels(&made.unwrap().jpeg));

    let difference = difference(&lane, &general);
    assert!(difference <= 1.0, "{difference:.2} levels");
}

/// A file that claims the finest steps, so that a preset's quality is kept.
fn sharp(jpeg: &[u8]) -> Vec<u8> {
    beside(jpeg, &[(0xdb, [&[3_u8][..], &[1; 64]].concat())])
}

#[test]
fn damage_is_judged_by_the_general_way_alone() {
    for kind in ["jpeg", "jpeg-progressive"] {
        let whole = sized(kind, SIDES.0, SIDES.1).unwrap();
        for share in [50, 97, 99] {
            let [lane, general] = both(&whole[..whole.len() * share / 100], &PRESET);
            assert_eq!(lane, general, "{kind}, {share} % of it");
        }
        let mut longer = whole.clone();
        longer.splice(whole.len() - 2..whole.len() - 2, [0x55; 40]);
        let [lane, general] = both(&longer, &PRESET);
        assert_eq!(lane, general, "{kind}, with more bits than it needs");
    }
}

#[test]
fn small_results_and_progressive_ones_go_the_general_way() {
    let jpeg = sized("jpeg", SIDES.0, SIDES.1).unwrap();
    for preset in [Preset { max_side: 799, ..PRESET }, Preset { progressive: true, ..PRESET }] {
        let [lane, general] = both(&jpeg, &preset);
        assert_eq!(lane, general);
    }
}

#[test]
fn a_frame_that_is_not_the_headers_is_not_believed() {
    let jpeg = sized("jpeg", SIDES.0, SIDES.1).unwrap();
    let header = Header::read(&jpeg, &Limits::default()).unwrap();
    let takes = |header: &Header| {
        crate::imaging::lane::normalize(&jpeg, header, &PRESET, &Limits::default()).is_some()
    };
    let mut grey = header.clone();
    grey.pixel.channels = 1;

    assert!(takes(&header));
    assert!(!takes(&Header { width: SIDES.0 - 1, ..header.clone() }));
    assert!(!takes(&Header { height: SIDES.1 + 1, ..header.clone() }));
    assert!(!takes(&grey));
}

proptest! {
    #[test]
    fn both_ways_fit_a_picture_into_the_same_sides(width in 1_u32..20_000, height in 1_u32..20_000, max_side in 1_u32..20_000) {
        let plan = darkroom_jpeg::Plan { max_side, ..darkroom_jpeg::Plan::default() };

        let (lane_width, lane_height) = plan.fit(width as usize, height as usize);

        prop_assert_eq!((lane_width as u32, lane_height as u32), fit::fitted((width, height), max_side));
    }
}
