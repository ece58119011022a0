//! From bytes to a clean JPEG, for each format and preset: pixels of the original in a second.
//!
//! Pictures are rendered; photos in `target/photos`, where the demo puts them, are measured as well. `cargo bench` has its
//! own profile and compiles everything once more; `cargo bench --profile dev` says less, and sooner.

use std::{cell::LazyCell, fs, hint::black_box, path::Path, time::Duration};

use criterion::{Criterion, SamplingMode, Throughput};
use darkroom::{
    dev::pictures::{KINDS, sized},
    imaging::{Limits, Preset, header::Header, normalize},
};

/// 12 MP, as telephones make them.
const SIDES: (u32, u32) = (4_000, 3_000);

const PRESETS: [(&str, Preset); 2] = [("user_photo", Preset::USER_PHOTO), ("product", Preset::PRODUCT)];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for kind in KINDS {
        let pixels = u64::from(SIDES.0) * u64::from(SIDES.1);
        measure(&mut criterion, kind, pixels, || sized(kind, SIDES.0, SIDES.1).expect("a known kind"));
    }
    for (name, photo) in photos() {
        let Ok(header) = Header::read(&photo, &Limits::default()) else { continue };
        let pixels = u64::from(header.width) * u64::from(header.height);
        measure(&mut criterion, &name, pixels, || photo.clone());
    }
    criterion.final_summary();
}

/// The picture is made when it is first needed: rendering takes longer than most of what is measured.
fn measure(criterion: &mut Criterion, name: &str, pixels: u64, original: impl Fn() -> Vec<u8>) {
    let original = LazyCell::new(original);
    let limits = Limits::default();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(pixels));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_millis(500));
    for (preset_name, preset) in PRESETS {
        group.bench_function(preset_name, |bencher| {
            let original = &*original;
            bencher.iter(|| normalize(black_box(original), &preset, &limits, &mut |_| {}));
        });
    }
    group.finish();
}

/// Names and bytes of the JPEGs in `photos`, in the folder that cargo builds in.
fn photos() -> Vec<(String, Vec<u8>)> {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in the target folder");
    let entries = fs::read_dir(built.join("photos")).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let mut photos: Vec<_> = named
        .filter(|(name, _)| name.ends_with(".jpg"))
        .filter_map(|(name, path)| Some((name, fs::read(path).ok()?)))
        .collect();
    photos.sort();
    photos
}
