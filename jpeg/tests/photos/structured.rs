//! Files that are wrong in the ways in which only a JPEG can be: tables, scans, runs and restarts, each a valid segment by itself.

use std::{fs, path::Path};

use darkroom_jpeg::{Kernels, Scratch, normalize};
use fastrand::Rng;

use super::{
    pixels::decoded,
    scenes::{KINDS, LIMITS, photo, plan},
};

/// Files that are tried.
const ROUNDS: usize = 6_000;

/// A segment from its marker to the next one, the bits of a scan included.
type Segment = Vec<u8>;

#[test]
fn every_kernel_refuses_the_same_files_and_makes_the_same_photos() {
    let files: Vec<Vec<Segment>> = originals().iter().map(|jpeg| segments(jpeg)).collect();
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

fn segments(jpeg: &[u8]) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut at = 2;
    while at + 4 <= jpeg.len() {
        let mut end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] == 0xda {
            let is_marker = |end: usize| jpeg[end] == 0xff && !matches!(jpeg[end + 1], 0 | 0xd0..=0xd7);
            end = (end..jpeg.len() - 1).find(|&end| is_marker(end)).expect("a scan ends");
        }
        found.push(jpeg[at..end].to_vec());
        at = end;
    }
    found.push(vec![0xff, 0xd9]);
    found
}

fn mutate(file: &mut Vec<Segment>, files: &[Vec<Segment>], random: &mut Rng) {
    let at = random.usize(..file.len());
    match random.u8(0..8) {
        0 => drop(file.remove(at)),
        1 => file.insert(at, file[random.usize(..file.len())].clone()),
        2 => {
            let other = random.usize(..file.len());
            file.swap(at, other);
        }
        // A segment of another file: other tables, other scans, other bits.
        3 => {
            let other = &files[random.usize(..files.len())];
            let segment = other[random.usize(..other.len())].clone();
            if random.bool() { file[at] = segment } else { file.insert(at, segment) }
        }
        4 => restart_interval(file, at, random),
        _ => {
            let of = *random.choice([&0xc4_u8, &0xda, &0xda, &0xc0, &0xc2, &0xdb]).expect("six");
            let those: Vec<usize> = (0..file.len()).filter(|&at| file[at][1] == of).collect();
            if let Some(&at) = random.choice(&those) {
                alter(&mut file[at], random);
            }
        }
    }
    if file.is_empty() {
        file.push(vec![0xff, 0xd9]);
    }
}

fn restart_interval(file: &mut Vec<Segment>, at: usize, random: &mut Rng) {
    file.insert(at, vec![0xff, 0xdd, 0, 4, 0, random.u8(0..5)]);
    if let Some(scan) = file.iter_mut().find(|segment| segment[1] == 0xda) {
        let at = random.usize(4..=scan.len());
        scan.splice(at..at, [0xff, 0xd0 | random.u8(0..8)]);
    }
}

/// Changes what a segment says, in its head more often than in its bits; lengths stay right.
fn alter(segment: &mut Segment, random: &mut Rng) {
    let head = 2 + usize::from(u16::from_be_bytes([segment[2], segment[3]]));
    let end = if random.bool() { head.min(segment.len()) } else { segment.len() };
    if end <= 4 {
        return;
    }
    let at = random.usize(4..end);
    match random.u8(0..4) {
        0 => segment[at] ^= 1 << random.u8(0..8),
        1 => segment[at] = *random.choice([&0, &1, &0xf0, &0xfe, &0x11, &0x3f]).expect("six"),
        2 => segment[at] = segment[at].wrapping_add(random.u8(1..4)),
        // Bits of a scan begin anew somewhere else.
        _ if at > head => drop(segment.drain(at..(at + random.usize(1..20)).min(end))),
        _ => segment[at] = random.u8(..),
    }
}
