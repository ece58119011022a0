//! What the wall costs, measured when asked for.

use std::{fs, time::Instant};

use bytes::Bytes;
use darkroom::imaging::{self, Limits, Preset, header::Header};

use crate::{
    support::{darkroom::picture, processes::status},
    wall::{decoders_named, made, named, sandbox},
};

/// Both processes counted, against the same work in one: `cargo test --test it -- --ignored --nocapture what_the_wall_costs`.
#[tokio::test]
#[ignore = "a measurement, for an optimized build on a machine with nothing else to do"]
async fn what_the_wall_costs() {
    let jpeg = |width, height| darkroom::dev::pictures::sized("jpeg", width, height).unwrap();
    let long = [jpeg(64, 48), vec![0; 2 << 20]].concat();
    for (name, original, rounds) in [
        ("64 × 48 px", jpeg(64, 48), 900),
        ("64 × 48 px in 2 MiB", long, 900),
        ("4,000 × 3,000 px", jpeg(4_000, 3_000), 30),
    ] {
        let original = Bytes::from(original);
        let sandbox = named(name);
        made(&sandbox, original.clone()).await.unwrap();
        let decoders = decoders_named(name);
        let used = |decoders: &[u32]| -> u64 {
            decoders.iter().chain([&std::process::id()]).map(|process| cpu_nanos(*process)).sum()
        };

        let start = used(&[]);
        for _ in 0..rounds {
            Header::read(&original, &Limits::default()).unwrap();
            let made = imaging::normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});
            darkroom::digest::sha256(&made.unwrap().jpeg);
        }
        let direct = used(&[]) - start;
        let (start, time) = (used(&decoders), Instant::now());
        for _ in 0..rounds {
            made(&sandbox, original.clone()).await.unwrap();
        }
        let (behind, time) = (used(&decoders) - start, time.elapsed());

        let micros = |nanos: u64| nanos as f64 / 1e3 / f64::from(rounds);
        println!(
            "{name}, {} B: direct {:.0} µs of CPU, behind the wall {:.0}, which is {:+.0}; {:.0} µs of time; idle: {:?} KiB",
            original.len(),
            micros(direct),
            micros(behind),
            micros(behind) - micros(direct),
            time.as_micros() as f64 / f64::from(rounds),
            decoders.iter().map(|decoder| status(*decoder, "VmRSS:")).collect::<Vec<_>>(),
        );
    }
    let started = Instant::now();
    for _ in 0..20 {
        made(&sandbox(&[]), picture("plain.png")).await.unwrap();
    }
    println!("start, a small picture and end: {:?}", started.elapsed() / 20);
}

/// Time of the processor that all threads of a process have used, ns.
fn cpu_nanos(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum()
}
