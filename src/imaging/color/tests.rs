use moxcms::{ColorProfile, ToneReprCurve};

use super::*;

#[rustfmt::skip]
const COLORS: [[u8; 3]; 20] = [
    [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255], [255, 255, 255], [0, 0, 0],
    [128, 128, 128], [200, 100, 50], [50, 100, 200], [100, 200, 50], [30, 20, 10], [10, 30, 20], [240, 200, 180],
    [90, 60, 45], [17, 93, 140], [5, 5, 5], [220, 220, 230], [140, 70, 160],
];

/// What LittleCMS 2.19 makes of [`COLORS`] (relative colorimetric, black-point compensation) by a telephone's profile of
/// Display P3, and by Adobe's own.
#[rustfmt::skip]
const FROM_P3: [[u8; 3]; 20] = [
    [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255], [255, 255, 255], [0, 0, 0],
    [128, 128, 128], [215, 93, 31], [26, 101, 207], [45, 203, 0], [32, 20, 8], [3, 31, 19], [248, 198, 177],
    [95, 58, 42], [0, 95, 144], [5, 5, 5], [220, 220, 231], [151, 65, 165],
];
#[rustfmt::skip]
const FROM_ADOBE_RGB: [[u8; 3]; 20] = [
    [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255], [255, 255, 255], [0, 0, 0],
    [129, 129, 129], [227, 100, 42], [0, 100, 204], [0, 201, 12], [27, 12, 2], [0, 24, 11], [254, 201, 181],
    [99, 57, 40], [0, 93, 143], [1, 1, 1], [221, 221, 231], [160, 68, 164],
];

fn row(samples: Samples) -> Raster {
    Raster { width: u32::try_from(COLORS.len()).unwrap(), height: 1, channels: 3, samples }
}

fn converted(profile: &ColorProfile, raster: &Raster) -> Vec<u8> {
    let samples = profile::Converter::new(profile.clone()).convert(raster).unwrap();
    Raster { samples, ..raster.clone() }.into_8_bit().samples
}

#[test]
fn colors_are_within_two_levels_of_littlecms() {
    for (profile, expected) in
        [(ColorProfile::new_display_p3(), FROM_P3), (ColorProfile::new_adobe_rgb(), FROM_ADOBE_RGB)]
    {
        let shallow = Samples::U8(COLORS.concat());
        for samples in [shallow.deep(), shallow] {
            let found = converted(&profile, &row(samples));

            let worst = found.iter().zip(expected.concat()).map(|(a, b)| a.abs_diff(b)).max();
            assert!(worst <= Some(2), "{found:?}");
        }
    }
}

#[test]
fn a_black_that_is_not_black_becomes_it_and_white_stays() {
    let curve: Vec<u16> = (0..=255).map(|step: u16| 1_300 + step * 251).chain([65_535]).collect();
    let mut profile = ColorProfile::new_display_p3();
    profile.cicp = None;
    for channel in [&mut profile.red_trc, &mut profile.green_trc, &mut profile.blue_trc] {
        *channel = Some(ToneReprCurve::Lut(curve.clone()));
    }

    let found = converted(&profile, &row(Samples::U8(COLORS.concat())));

    assert_eq!((&found[21..24], &found[18..21]), (&[0_u8; 3][..], &[255_u8; 3][..]));
    assert!(found[24..27].iter().all(|grey| (186..=189).contains(grey)), "{:?}", &found[24..27]);
}

#[test]
fn profiles_of_matrix_and_curves_need_no_compensation() {
    for profile in [
        ColorProfile::new_srgb(),
        ColorProfile::new_display_p3(),
        ColorProfile::new_adobe_rgb(),
        ColorProfile::new_pro_photo_rgb(),
        ColorProfile::new_bt2020(),
    ] {
        let found = converted(&profile, &row(Samples::U8(COLORS.concat()).deep()));

        assert_eq!(found[21..24], [0; 3]);
    }
}

#[test]
fn grey_with_alpha_is_converted_by_a_grey_profile() {
    let profile = ColorProfile::new_gray_with_gamma(1.0);
    let raster = Raster { width: 1, height: 1, channels: 4, samples: Samples::U8(vec![55, 55, 55, 9]) };

    assert_eq!(profile::Converter::new(profile).convert(&raster), Some(Samples::U8(vec![128, 128, 128, 9])));
}

#[test]
fn a_picture_leaves_its_conversion_to_the_next() {
    let icc = ColorProfile::new_display_p3().encode().unwrap();
    let colors = Colors::Icc(icc);
    let before = recent::known(&colors, false).unwrap();
    assert!(!before.converter.is_made());

    let (converted, _) = to_srgb(row(Samples::U8(COLORS.concat())), &colors, false, &mut Vec::new());

    assert_ne!(converted.samples, Samples::U8(COLORS.concat()));
    assert!(before.converter.is_made());
}
