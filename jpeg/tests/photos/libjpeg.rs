//! Luma as libjpeg-turbo reads it, of photos that its encoder wrote: see `fixtures/make`.

use std::{fs, path::Path};

use darkroom_jpeg::{Plan, Scratch, normalize};

use super::{
    pixels::decoded,
    scenes::{LIMITS, plan},
};

/// Levels that storing the result in the finest steps may add.
const MOST: u8 = 3;
const MEAN: f64 = 0.45;

#[test]
fn luma_is_what_libjpeg_turbo_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("there are fixtures") {
        let path = entry.expect("a name").path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let pgm = fs::read(path.with_extension("pgm")).expect("its luma");
        let (width, height, wanted) = luma(&pgm);
        let plan = Plan { quality: 100, ..plan(width.max(height) as u32, 1, true) };

        let made = normalize(&fs::read(&path).expect("a photo"), &plan, &LIMITS, &mut Scratch::default());

        let made = made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (result, ..) = decoded(&made.jpeg, 1);
        assert_eq!((made.width, made.height), (width, height));
        let differences: Vec<u8> = wanted.iter().zip(&result).map(|(a, b)| a.abs_diff(*b)).collect();
        let most = differences.iter().copied().max().unwrap_or_default();
        let mean = differences.iter().copied().map(f64::from).sum::<f64>() / differences.len() as f64;
        assert!(most <= MOST && mean <= MEAN, "{}: at most {most}, mean {mean:.2}", path.display());
        seen += 1;
    }
    assert!(seen >= 10, "{seen} fixtures");
}

/// Sides and samples of a PGM with one word a line of its header.
fn luma(pgm: &[u8]) -> (usize, usize, &[u8]) {
    let mut lines = pgm.splitn(4, |byte| *byte == b'\n');
    assert_eq!(lines.next(), Some(&b"P5"[..]));
    let sides = std::str::from_utf8(lines.next().expect("sides")).expect("digits");
    let (width, height) = sides.split_once(' ').expect("two sides");
    let samples = lines.nth(1).expect("samples");
    (width.parse().expect("a number"), height.parse().expect("a number"), samples)
}
