mod arithmetic;

use mozjpeg_rs::{Encoder, Preset as Settings, Subsampling};

use super::*;
use crate::imaging::{Limits, Preset, normalize};

/// Stripes and a slope: every block has something in all its coefficients.
fn pixels(width: u32, height: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [(x * 5 + y) as u8, (x * y / 7) as u8, (y * 3) as u8 ^ (x as u8 & 0x38)];
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

fn encoded(
    subsampling: Subsampling,
    progressive: bool,
    interval: u16,
    (width, height): (u32, u32),
) -> Vec<u8> {
    Encoder::new(Settings::BaselineFastest)
        .quality(85)
        .subsampling(subsampling)
        .progressive(progressive)
        .restart_interval(interval)
        .encode_rgb(&pixels(width, height), width, height)
        .unwrap()
}

/// A fourth component, and the marker that says what they are.
fn with_black(mut picture: Picture, transform: u8) -> Picture {
    picture.frame.components.push(picture.frame.components[0]);
    picture.planes.push(picture.planes[0].clone());
    picture.quantization.push(picture.quantization[0].clone());
    picture.applications = vec![(APP14, [b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat())];
    picture
}

#[track_caller]
fn assert_same_picture(left: &[u8], right: &[u8]) {
    let made = |jpeg: &[u8]| {
        let preset = Preset { quality: 95, ..Preset::PRODUCT };
        let normalized = normalize(jpeg, &preset, &Limits::default(), &mut |_| {}).unwrap();
        (normalized.jpeg, normalized.warnings)
    };
    assert!(made(left) == made(right));
}

#[test]
fn a_scan_for_each_component_shows_the_same_picture_as_one_for_all() {
    for subsampling in [Subsampling::S444, Subsampling::S422, Subsampling::S420, Subsampling::S440] {
        for interval in [0, 3] {
            let interleaved = encoded(subsampling, false, interval, (75, 53));
            let (picture, rows) = read(&interleaved, true).unwrap();

            let separate = write::jpeg(&picture, &[&[0], &[1], &[2]]).unwrap();
            let in_part = write::jpeg(&picture, &[&[0], &[1, 2]]).unwrap();

            assert_eq!(rows, 53);
            assert_same_picture(&separate, &interleaved);
            assert_same_picture(&in_part, &interleaved);
        }
    }
}

#[test]
fn cmyk_and_ycck_keep_their_polarity_in_separate_scans() {
    for transform in [0, 2] {
        let (picture, _) = read(&encoded(Subsampling::S444, false, 0, (75, 53)), true).unwrap();
        let picture = with_black(picture, transform);

        let interleaved = write::jpeg(&picture, &[&[0, 1, 2, 3]]).unwrap();
        let separate = write::jpeg(&picture, &[&[0], &[1], &[2], &[3]]).unwrap();

        assert_same_picture(&separate, &interleaved);
    }
}

#[test]
fn coefficients_survive_being_rewritten() {
    let (before, _) = read(&encoded(Subsampling::S420, false, 0, (75, 53)), true).unwrap();

    let (after, _) = read(&write::jpeg(&before, &[&[0, 1, 2]]).unwrap(), true).unwrap();

    // Luma has a column and a row of blocks that only fill the last unit up.
    assert!(after.planes[1..] == before.planes[1..]);
    assert!(after.planes[0][..10] == before.planes[0][..10]);
}

#[test]
fn whole_rows_are_those_before_the_cut() {
    for (progressive, interval) in [(false, 0), (false, 4), (true, 0)] {
        let jpeg = encoded(Subsampling::S420, progressive, interval, (200, 1_600));
        let full = whole_rows(&jpeg).unwrap();

        let rows: Vec<u32> =
            (1..=20).map(|part| whole_rows(&jpeg[..jpeg.len() * part / 20]).unwrap_or(0)).collect();

        assert_eq!(full, 1_600);
        assert!(rows.is_sorted(), "{rows:?}");
        assert_eq!((rows[0] < 200, rows[19]), (true, 1_600));
        if !progressive {
            let expected = |part: u32| part * 80 - 80..=part * 80 + 80;
            assert!((1..=20).zip(&rows).all(|(part, rows)| expected(part).contains(rows)), "{rows:?}");
        }
    }
}

#[test]
fn only_the_end_marker_may_be_missing() {
    for progressive in [false, true] {
        let jpeg = encoded(Subsampling::S420, progressive, 0, (64, 64));

        assert_eq!(whole_rows(&jpeg[..jpeg.len() - 2]).unwrap(), 64);
        assert!(whole_rows(&jpeg[..jpeg.len() - 12]).unwrap() < 64);
    }
}
