//! Where the time of a picture goes: decode, resize, color (with alpha, orientation and facts), encode; and what the wall adds.
//!
//! `cargo bench --bench stages -- png` takes some. JPEGs go the general way here, whose stages follow each other. PNGs with a profile show
//! the conversion of colors, in a picture that follows another with the same profile and in the first one (`color-first`). What each stage
//! is made of is measured as well: resizing and encoding alone, on the pixels of a photo-like scene.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use clap::Parser as _;
use criterion::{Bencher, BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use darkroom::{
    config::Imaging,
    dev::pictures::{KINDS, sized},
    imaging::{self, Limits, Preset, PresetName, Stage, normalize},
    sandbox::{Priority, Program, Sandbox},
};
use darkroom_jpeg::{Kernels, Picture, Style};
use image::{ImageEncoder as _, codecs::png::PngEncoder};
use moxcms::ColorProfile;

/// 12 MP, as telephones make them, and the size of a result.
const SIDES: (u32, u32) = (4_000, 3_000);
const SMALL: (u32, u32) = (2_048, 1_536);

const STAGES: [(&str, Stage); 4] = [
    ("decode", Stage::Decoded),
    ("resize", Stage::Resized),
    ("color", Stage::Processed),
    ("encode", Stage::Encoded),
];

#[derive(clap::Parser)]
struct Defaults {
    #[command(flatten)]
    imaging: Imaging,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for kind in KINDS {
        stages(&mut criterion, kind, &sized(kind, SIDES.0, SIDES.1).expect("a known kind"));
    }
    for (kind, scene) in [("png-p3", "png"), ("png-16-p3", "png-16")] {
        let original = with_profile(scene);
        stages(&mut criterion, kind, &original);
        first(&mut criterion, kind, &original);
    }
    parts(&mut criterion);
    wall(&mut criterion);
    criterion.final_summary();
}

/// A scene with the profile that telephones embed.
fn with_profile(kind: &str) -> Vec<u8> {
    let plain = sized(kind, SIDES.0, SIDES.1).expect("a known kind");
    let profile = ColorProfile::new_display_p3().encode().expect("a built-in profile");
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile).expect("a PNG can hold a profile");
    image::load_from_memory(&plain).expect("a png").write_with_encoder(encoder).expect("memory takes all");
    png
}

fn stages(criterion: &mut Criterion, kind: &str, original: &[u8]) {
    let mut group = group(criterion, kind);
    for (name, stage) in STAGES {
        group.bench_function(name, |bencher| time_of(stage, original, bencher, || {}));
    }
    group.finish();
}

/// The conversion of colors when nothing is left of the picture before.
fn first(criterion: &mut Criterion, kind: &str, original: &[u8]) {
    let mut group = group(criterion, kind);
    group
        .bench_function("color-first", |bencher| time_of(Stage::Processed, original, bencher, imaging::rest));
    group.finish();
}

fn group<'a>(criterion: &'a mut Criterion, kind: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(kind);
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

/// What all threads use between the end of the stage before and the end of this one. Of the processor and not of the clock: a
/// neighbor that takes the machine changes less of it.
fn time_of(stage: Stage, original: &[u8], bencher: &mut Bencher<'_>, before: impl Fn()) {
    let limits = Limits { jpeg_lane: false, ..Limits::default() };
    bencher.iter_custom(|rounds| {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            before();
            let mut since = cpu();
            let made = normalize(black_box(original), &Preset::USER_PHOTO, &limits, &mut |ended| {
                if ended == stage {
                    total += cpu() - since;
                }
                since = cpu();
            });
            black_box(made).expect("a picture");
        }
        total
    });
}

/// Of the processor, that this process has used.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0, "every process has that clock");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
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
