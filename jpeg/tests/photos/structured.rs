//! Files that are wrong in the ways in which only a JPEG can be: tables, scans, runs and restarts, each a valid segment by itself.

use std::{fs, path::Path};

use darkroom_jpeg::{Kernels, Scratch, normalize};
use fastrand::Rng;

use super::{
    pixels::decoded,
    scenes::{KINDS, LIMITS, photo, plan},
    segments::{Segment, mutate, segments},
};

/// Files that are tried.
const ROUNDS: usize = 6_000;

#[test]
fn every_kernel_refuses_the_same_files_and_makes_the_same_photos() {
    let files: Vec<Vec<Segment>> = originals().iter().filter_map(|jpeg| segments(jpeg)).collect();
    let mut random = Rng::with_seed(3);
    let mut used = Scratch::default();
    let (mut made, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let mut file = files[random.usize(..files.len())].clone();
        for _ in 0..random.usize(1..4) {
            mutate(&mut file, &files, &mut random);
        }
        let jpeg = [&[0xff, 0xd8][..], &file.concat()].concat();
        let plan = plan(random.u32(20..80), random.u8(1..=8), random.bool());

        let fast = normalize(&jpeg, &plan, &LIMITS, &mut used);
        let portable = normalize(&jpeg, &plan, &LIMITS, &mut Scratch::new(Kernels::Portable));

        assert!(fast == portable, "{fast:.0?}\n{portable:.0?}");
        match fast {
            Ok(output) => {
                let (_, width, height) = decoded(&output.jpeg, 3);
                assert_eq!((width, height), (output.width, output.height));
                made += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{made} made, {refused} refused");
    assert!(made > ROUNDS / 50 && refused > ROUNDS / 4, "{made} made, {refused} refused");
}

fn originals() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = fs::read_dir(folder).expect("there are fixtures").map(|entry| entry.expect("a name").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|one| one == "jpg")).collect();
    paths.sort();
    let fixtures = paths.iter().map(|path| fs::read(path).expect("a fixture"));
    fixtures.chain(KINDS.iter().map(|kind| photo(*kind, (61, 47)).0)).collect()
}
