#![no_main]
//! Two mutations in three change segments: tables, scans, runs and restarts, each valid by itself.

#[path = "../../jpeg/tests/photos/segments.rs"]
mod segments;

use std::sync::LazyLock;

use darkroom_fuzz::{run, seeds};
use fastrand::Rng;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use segments::{Segment, mutate, segments};

static FILES: LazyLock<Vec<Vec<Segment>>> =
    LazyLock::new(|| seeds("jpeg").iter().filter_map(|jpeg| segments(jpeg)).collect());

fuzz_target!(|bytes: &[u8]| run("jpeg", bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Rng::with_seed(seed.into());
    if random.u8(0..3) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut file = segments(&data[..size]).unwrap_or_else(|| FILES[random.usize(..FILES.len())].clone());
    for _ in 0..random.usize(1..4) {
        mutate(&mut file, &FILES, &mut random);
    }
    let mutated = [&[0xff, 0xd8][..], &file.concat()].concat();
    let size = mutated.len().min(max_size);
    data[..size].copy_from_slice(&mutated[..size]);
    size
});
