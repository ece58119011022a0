//! Every rendered picture that is accepted, as it comes out, against a small copy that was looked at once.
//!
//! `UPDATE_GOLDEN=1` writes the copies anew. A failure leaves a picture of three in `target/golden`: what was expected, what
//! came out, and eight times the difference.

use std::{fs, path::PathBuf};

use darkroom::{
    dev::pictures::{names, picture},
    imaging::{Limits, Preset, normalize},
};
use image::{RgbImage, imageops};

/// Longest side of a copy, px.
const SIDE: u32 = 60;

/// Mean difference that versions of libraries may make, levels, and the largest of a sample.
const MEAN: f64 = 1.0;
const MOST: u8 = 12;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/golden"))
}

/// A small copy of what comes out, if anything does.
fn small(name: &str) -> Option<RgbImage> {
    let original = picture(name)?;
    let jpeg = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}).ok()?.jpeg;
    let picture = image::load_from_memory(&jpeg).unwrap();
    Some(picture.resize(SIDE, SIDE, imageops::FilterType::Triangle).into_rgb8())
}

/// What is wrong, if anything is.
fn compared(found: &RgbImage, expected: &RgbImage) -> Option<String> {
    if found.dimensions() != expected.dimensions() {
        return Some(format!("{:?} instead of {:?}", found.dimensions(), expected.dimensions()));
    }
    let differences: Vec<u8> = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean =
        differences.iter().map(|difference| f64::from(*difference)).sum::<f64>() / differences.len() as f64;
    let most = differences.into_iter().max().unwrap_or_default();
    (mean > MEAN || most > MOST).then(|| format!("differs by {mean:.1} levels, at most {most}"))
}

/// Three pictures beside each other.
fn keep_difference(name: &str, found: &RgbImage, expected: &RgbImage) -> PathBuf {
    let (width, height) = (found.width().max(expected.width()), found.height().max(expected.height()));
    let mut three = RgbImage::new(width * 3, height);
    imageops::replace(&mut three, expected, 0, 0);
    imageops::replace(&mut three, found, i64::from(width), 0);
    for (x, y, pixel) in found.enumerate_pixels() {
        let other = expected.get_pixel_checked(x, y).map_or([0; 3], |other| other.0);
        let off = [0, 1, 2].map(|i| pixel.0[i].abs_diff(other[i]).saturating_mul(8));
        three.put_pixel(x + 2 * width, y, image::Rgb(off));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../golden");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    three.save(&path).unwrap();
    path
}

#[test]
fn every_accepted_picture_looks_as_it_did() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let mut looked_at = Vec::new();
    for name in names() {
        let path = folder().join(format!("{name}.png"));
        let Some(found) = small(name) else { continue };
        looked_at.push(format!("{name}.png"));
        if update {
            found.save(&path).unwrap();
        }
        let Ok(expected) = image::open(&path) else {
            wrong.push(format!("{name}: no copy, UPDATE_GOLDEN=1 makes one"));
            continue;
        };
        let expected = expected.into_rgb8();
        if let Some(difference) = compared(&found, &expected) {
            let kept = keep_difference(name, &found, &expected);
            wrong.push(format!("{name} {difference}: {}", kept.display()));
        }
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !looked_at.contains(&name) {
            wrong.push(format!("{name} is a copy of nothing that comes out"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_difference_is_found_and_can_be_looked_at() {
    let expected = small("plain.jpg").unwrap();
    let mut found = expected.clone();
    found.put_pixel(7, 3, image::Rgb([255, 0, 255]));

    let kept = keep_difference("a-difference", &found, &expected);

    assert!(compared(&found, &expected).is_some());
    assert_eq!(compared(&expected, &expected), None);
    let picture = image::open(&kept).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (expected.width() * 3, expected.height()));
    assert_ne!(picture.get_pixel(expected.width() * 2 + 7, 3).0, [0; 3]);
    assert_eq!(picture.get_pixel(expected.width() * 2, 0).0, [0; 3]);
}
