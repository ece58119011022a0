//! A short run of the fuzz targets on a stable compiler: seeds, damaged in the ways in which files are.

use std::panic::{self, AssertUnwindSafe};

use darkroom::dev::fuzz::{TARGETS, Target};

/// Inputs of each target, unless `DARKROOM_TEST_STEPS` says more.
const STEPS: usize = 400;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_damaged_input_breaks_a_promise() {
    let steps = number("DARKROOM_TEST_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let seed = number("DARKROOM_TEST_SEED").unwrap_or(7);
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has nothing to begin with", target.name);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..steps {
            let (name, whole) = &seeds[random.usize(..seeds.len())];
            let damaged = damaged(whole, &mut random);
            assert!(holds(target, &damaged), "{} fails with {name}: {}", target.name, kept(target, &damaged));
        }
    }
}

fn holds(target: Target, bytes: &[u8]) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_ok()
}

/// Where an input was written to, that it can be looked at.
fn kept(target: Target, bytes: &[u8]) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Some bytes changed, a part left out, doubled or cut off; headers are hit more often than pixels.
fn damaged(whole: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..random.usize(1..8) {
        if bytes.is_empty() {
            break;
        }
        let near = if random.bool() { bytes.len().min(256) } else { bytes.len() };
        let at = random.usize(..near);
        let end = (at + random.usize(1..64)).min(bytes.len());
        match random.u8(..6) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at..end].fill(*random.choice([&0_u8, &0x7f, &0xff]).unwrap()),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}

#[test]
fn every_target_has_a_file_for_libfuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();

    for Target { name, .. } in TARGETS {
        let file = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("run(\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
