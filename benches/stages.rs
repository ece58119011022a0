//! Where the time of a picture goes: decode, process (size, color, orientation), encode; and what the wall adds.
//!
//! `cargo bench --bench stages -- png` takes some. JPEGs go the general way here, whose stages follow each other. What each stage is made of is
//! measured as well: resizing and encoding alone, on the pixels of a photo-like scene.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser as _;
use criterion::{Bencher, Criterion, SamplingMode};
use darkroom::{
    config::Imaging,
    dev::pictures::{KINDS, sized},
    imaging::{Limits, Preset, PresetName, Stage, normalize},
    sandbox::{Priority, Program, Sandbox},
};
use darkroom_jpeg::{Kernels, Picture, Style};

/// 12 MP, as telephones make them, and the size of a result.
const SIDES: (u32, u32) = (4_000, 3_000);
const SMALL: (u32, u32) = (2_048, 1_536);

const STAGES: [(&str, Stage); 3] =
    [("decode", Stage::Decoded), ("process", Stage::Processed), ("encode", Stage::Encoded)];

#[derive(clap::Parser)]
struct Defaults {
    #[command(flatten)]
    imaging: Imaging,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for kind in KINDS {
        stages(&mut criterion, kind);
    }
    parts(&mut criterion);
    wall(&mut criterion);
    criterion.final_summary();
}

fn stages(criterion: &mut Criterion, kind: &str) {
    let original = sized(kind, SIDES.0, SIDES.1).expect("a known kind");
    let mut group = criterion.benchmark_group(kind);
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_millis(500));
    for (name, stage) in STAGES {
        group.bench_function(name, |bencher| time_of(stage, &original, bencher));
    }
    group.finish();
}

/// The time between the end of the stage before and the end of this one.
fn time_of(stage: Stage, original: &[u8], bencher: &mut Bencher<'_>) {
    let limits = Limits { jpeg_lane: false, ..Limits::default() };
    bencher.iter_custom(|rounds| {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let mut since = Instant::now();
            let made = normalize(black_box(original), &Preset::USER_PHOTO, &limits, &mut |ended| {
                if ended == stage {
                    total += since.elapsed();
                }
                since = Instant::now();
            });
            black_box(made).expect("a picture");
        }
        total
    });
}

fn parts(criterion: &mut Criterion) {
    let scene = |sides: (u32, u32)| {
        let bmp = sized("bmp", sides.0, sides.1).expect("a known kind");
        image::load_from_memory(&bmp).expect("a bmp").into_rgb8().into_raw()
    };
    let (large, small) = (scene(SIDES), scene(SMALL));
    let picture = Picture { samples: &small, width: SMALL.0 as usize, height: SMALL.1 as usize };
    let style = Style { quality: 82, full_chroma: false, segments: &[] };
    let mut group = criterion.benchmark_group("parts");
    group.sample_size(10);
    group.bench_function("resize", |bencher| {
        bencher.iter(|| darkroom_resize::lanczos3_u8(black_box(&large), 3, SIDES, SMALL));
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| darkroom_jpeg::encode(black_box(&picture), &style, Kernels::detect()));
    });
    group.finish();
}

/// A small picture in this process, and in one behind the wall: the difference is what the way there and back takes.
fn wall(criterion: &mut Criterion) {
    let original = Bytes::from(sized("png", 64, 64).expect("a known kind"));
    let settings = Defaults::parse_from(["stages"]).imaging;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let sandbox = runtime
        .block_on(async { Sandbox::with_program(&settings, Program::at(env!("CARGO_BIN_EXE_darkroom"))) });
    let mut group = criterion.benchmark_group("wall");
    group.bench_function("here", |bencher| {
        bencher.iter(|| normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}));
    });
    group.bench_function("behind", |bencher| {
        bencher.iter(|| {
            let made = sandbox.normalize(original.clone(), PresetName::UserPhoto, Priority::Upload, |_| {});
            runtime.block_on(made).expect("a picture")
        });
    });
    group.finish();
}
