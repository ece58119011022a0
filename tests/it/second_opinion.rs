//! What other decoders see: Pillow, with libavif and libheif, in the original and in what was made of it.

use std::{fs, process::Command};

use darkroom::{
    dev::pictures::picture,
    imaging::{Limits, Preset, normalize},
};

/// Pictures that Pillow shows as they are meant: it does not map high dynamic ranges, and ignores what PNG says of colors.
const NAMES: [&str; 24] = [
    "plain.jpg",
    "orientation-6.jpg",
    "plain.png",
    "alpha.png",
    "plain.webp",
    "plain.bmp",
    "animated.gif",
    "grey.png",
    "plain.heic",
    "grid.heic",
    "10-bit.heic",
    "grey.heic",
    "display-p3.heic",
    "turned-2.heic",
    "turned-5.heic",
    "turned-6.heic",
    "turned-7.heic",
    "exif-only.heic",
    "alpha.heic",
    "plain.avif",
    "10-bit.avif",
    "444.avif",
    "alpha.avif",
    "turned-5.avif",
];

/// Mean difference of a JPEG of quality 82 from its original, levels; the palette of a GIF differs more.
const MEAN: f64 = 3.0;

#[test]
fn other_decoders_see_the_same_picture_and_nothing_beside_it() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/venv");
    let made = Command::new(script).args(["pillow", "tests/python/pillow.txt"]).output().unwrap();
    if !made.status.success() {
        return println!("left out: pip could not fetch pillow");
    }
    let python = String::from_utf8(made.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let original = picture(name).unwrap();
        let normalized = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}).unwrap();
        fs::write(folder.path().join(name), &original).unwrap();
        fs::write(folder.path().join(format!("{name}.out.jpg")), &normalized.jpeg).unwrap();
    }

    let told = Command::new(python.trim())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/second_opinion.py"))
        .arg(folder.path())
        .output()
        .unwrap();

    let report = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(report.lines().count(), NAMES.len(), "{report}");
    for line in report.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let mode = if words[0].starts_with("grey") { "L" } else { "RGB" };
        let upright = ["orientation-6.jpg", "turned-5.avif"].contains(&words[0]);
        let (width, height) = if upright { ("160", "240") } else { ("240", "160") };
        assert_eq!(&words[1..5], [width, height, mode, "0"], "{line}");
        let mean: f64 = words[5].parse().unwrap();
        assert!((0.0..=MEAN).contains(&mean), "{line}");
    }
}
