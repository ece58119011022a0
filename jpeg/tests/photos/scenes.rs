//! Rendered photos, and what is wanted of them.

use darkroom_jpeg::{Limits, Orientation, Plan};
use mozjpeg_rs::{Encoder, Preset, Subsampling};

/// Every kind of photo that is taken.
pub const KINDS: [Kind; 11] = [
    Kind { subsampling: Subsampling::S420, progressive: false, restarts: 0 },
    Kind { subsampling: Subsampling::S420, progressive: true, restarts: 0 },
    Kind { subsampling: Subsampling::S420, progressive: false, restarts: 3 },
    Kind { subsampling: Subsampling::S422, progressive: false, restarts: 0 },
    Kind { subsampling: Subsampling::S422, progressive: true, restarts: 0 },
    Kind { subsampling: Subsampling::S440, progressive: false, restarts: 0 },
    Kind { subsampling: Subsampling::S440, progressive: true, restarts: 0 },
    Kind { subsampling: Subsampling::S444, progressive: false, restarts: 5 },
    Kind { subsampling: Subsampling::S444, progressive: true, restarts: 0 },
    Kind { subsampling: Subsampling::Gray, progressive: false, restarts: 0 },
    Kind { subsampling: Subsampling::Gray, progressive: true, restarts: 0 },
];

/// Sides in px: within a block, around MCUs and tiles, odd, long.
pub const SIDES: [(u32, u32); 9] =
    [(1, 1), (7, 3), (16, 16), (17, 33), (65, 64), (127, 130), (321, 201), (600, 40), (33, 500)];

/// How a photo was written.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub subsampling: Subsampling,
    pub progressive: bool,
    pub restarts: u16,
}

pub const LIMITS: Limits =
    Limits { max_pixels: 100_000_000, max_side: 20_000, max_scans: 64, max_work: 1_500_000_000 };

/// A photo of a rendered scene, and its pixels before they were written: RGB, or grey.
pub fn photo(kind: Kind, (width, height): (u32, u32)) -> (Vec<u8>, Vec<u8>) {
    let grey = kind.subsampling == Subsampling::Gray;
    let mut pixels = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y as f32, x as f32))) {
        let wave = |period: f32, phase: f32| 127.5 + 100.0 * ((x + 0.7 * y) / period + phase).sin();
        let texture = 20.0 * (x * 1.9).sin() * (y * 1.3).cos();
        let rgb = [wave(23.0, 0.0) + texture, wave(31.0, 1.0) + texture, wave(41.0, 2.0) + texture];
        let rgb = rgb.map(|value| value.clamp(0.0, 255.0) as u8);
        pixels.extend_from_slice(if grey { &rgb[..1] } else { &rgb });
    }
    (written(kind, &pixels, (width, height), 92), pixels)
}

/// Black and white with edges everywhere, in the finest steps: no coefficients are greater.
pub fn edges(kind: Kind, sides: (u32, u32)) -> Vec<u8> {
    let channels = if kind.subsampling == Subsampling::Gray { 1 } else { 3 };
    let mut random = fastrand::Rng::with_seed(11);
    // Columns twice as wide as a sample of color, that color has edges as well.
    let row: Vec<u8> = (0..sides.0 * channels).map(|at| (at / channels / 4 % 2 * 255) as u8).collect();
    let mut pixels = Vec::new();
    for _ in 0..sides.1 {
        pixels.extend(row.iter().map(|&sample| if random.u8(..) < 40 { 255 - sample } else { sample }));
    }
    written(kind, &pixels, sides, 100)
}

/// A photo of nothing but noise, which no picture exceeds in bits.
pub fn noise(kind: Kind, sides: (u32, u32)) -> Vec<u8> {
    let channels = if kind.subsampling == Subsampling::Gray { 1 } else { 3 };
    let mut random = fastrand::Rng::with_seed(7);
    let pixels: Vec<u8> = (0..sides.0 * sides.1 * channels).map(|_| random.u8(..)).collect();
    written(kind, &pixels, sides, 92)
}

fn written(kind: Kind, pixels: &[u8], (width, height): (u32, u32), quality: u8) -> Vec<u8> {
    let encoder = Encoder::new(Preset::BaselineFastest)
        .quality(quality)
        .progressive(kind.progressive)
        .subsampling(kind.subsampling)
        .restart_interval(kind.restarts)
        .force_baseline(true)
        // With restarts its optimized tables lack codes.
        .optimize_huffman(kind.restarts == 0);
    let jpeg = if kind.subsampling == Subsampling::Gray {
        encoder.encode_gray(pixels, width, height)
    } else {
        encoder.encode_rgb(pixels, width, height)
    };
    jpeg.expect("a rendered scene can be written")
}

/// A plan for the longest side of a result.
pub fn plan(max_side: u32, orientation: u8, full_chroma: bool) -> Plan {
    Plan {
        max_side,
        quality: 84,
        full_chroma,
        orientation: Orientation::from_exif(orientation),
        color: None,
        segments: Vec::new(),
    }
}
