//! PNGs that say what their colors are in each of the ways that there are, and one that says far too much.

use std::io::{Cursor, Write};

use flate2::{Compression, Crc, write::ZlibEncoder};
use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb, RgbImage};
use moxcms::ColorProfile;

/// Linear sRGB → linear BT.2020 (ITU-R BT.2087).
const TO_BT2020: [[f64; 3]; 3] =
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]];

/// Luminance of white among brighter things, and of the brightest, cd/m².
const WHITE: f64 = 203.0;
const PEAK: f64 = 1_000.0;

/// A picture of 16 bits a sample.
pub(super) type Deep = ImageBuffer<Rgb<u16>, Vec<u16>>;

/// Chunks that can stand before the pixels.
pub(super) enum Chunk {
    /// Light is a sample to the power of 100,000 divided by this.
    Gamma(u32),
    /// White, red, green, blue, x and y of each times 100,000.
    Chromaticities([u32; 8]),
    Srgb,
    Profile(Vec<u8>),
    CodePoints([u8; 4]),
}

/// Primaries of Display P3.
pub(super) const P3: Chunk =
    Chunk::Chromaticities([31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000]);

pub(super) fn p3_profile() -> Chunk {
    Chunk::Profile(ColorProfile::new_display_p3().encode().expect("a built-in profile"))
}

/// A profile that is 32 MiB of zeros when inflated, in some 32 KB.
pub(super) fn bomb() -> Chunk {
    Chunk::Profile(vec![0; 32 << 20])
}

/// The scene as numbers, with chunks that say what they mean.
pub(super) fn tagged(scene: &RgbImage, chunks: &[Chunk]) -> Vec<u8> {
    with_chunks(&written(scene.clone().into()), chunks)
}

/// The scene in linear light, 16 bits.
pub(super) fn linear(scene: &RgbImage) -> Vec<u8> {
    let picture = deep(scene, |light| light);
    with_chunks(&written(picture.into()), &[Chunk::Gamma(100_000)])
}

/// The scene as the perceptual quantizer has it.
pub(super) fn pq(scene: &RgbImage) -> Vec<u8> {
    with_chunks(&written(pq_pixels(scene).into()), &[Chunk::CodePoints([9, 16, 0, 1])])
}

/// The scene as hybrid log-gamma has it.
pub(super) fn hlg(scene: &RgbImage) -> Vec<u8> {
    with_chunks(&written(hlg_pixels(scene).into()), &[Chunk::CodePoints([9, 18, 0, 1])])
}

/// The samples of [`pq`].
pub(super) fn pq_pixels(scene: &RgbImage) -> Deep {
    deep(scene, |light| in_bt2020(light).map(pq_sample))
}

/// The samples of [`hlg`].
pub(super) fn hlg_pixels(scene: &RgbImage) -> Deep {
    deep(scene, |light| {
        let display = in_bt2020(light).map(|light| light * WHITE / PEAK);
        let brightness = 0.2627 * display[0] + 0.678 * display[1] + 0.0593 * display[2];
        let gain = if brightness > 0.0 { brightness.powf(-0.2 / 1.2) } else { 0.0 };
        display.map(|light| hlg_sample(light * gain))
    })
}

fn deep(scene: &RgbImage, map: impl Fn([f64; 3]) -> [f64; 3]) -> Deep {
    let light = |sample: u8| match f64::from(sample) / 255.0 {
        dark if dark <= 0.040_45 => dark / 12.92,
        other => ((other + 0.055) / 1.055).powf(2.4),
    };
    ImageBuffer::from_fn(scene.width(), scene.height(), |x, y| {
        let samples = map(scene.get_pixel(x, y).0.map(light));
        Rgb(samples.map(|sample| (sample.clamp(0.0, 1.0) * 65_535.0).round() as u16))
    })
}

fn in_bt2020(light: [f64; 3]) -> [f64; 3] {
    TO_BT2020.map(|row| (0..3).map(|i| row[i] * light[i]).sum())
}

fn pq_sample(light: f64) -> f64 {
    let root = (light * WHITE / 10_000.0).powf(0.159_301_757_812_5);
    ((0.835_937_5 + 18.851_562_5 * root) / (1.0 + 18.6875 * root)).powf(78.843_75)
}

fn hlg_sample(light: f64) -> f64 {
    if light <= 1.0 / 12.0 {
        (3.0 * light).sqrt()
    } else {
        0.178_832_77 * (12.0 * light - 0.284_668_92).ln() + 0.559_910_73
    }
}

fn written(picture: DynamicImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("the encoder takes these pixels");
    bytes
}

/// Puts chunks between the header, which ends at byte 33, and the pixels.
fn with_chunks(png: &[u8], chunks: &[Chunk]) -> Vec<u8> {
    let (header, rest) = png.split_at(33);
    let chunks: Vec<u8> = chunks.iter().flat_map(chunk).collect();
    [header, &chunks, rest].concat()
}

fn chunk(chunk: &Chunk) -> Vec<u8> {
    let (name, content) = match chunk {
        Chunk::Gamma(gamma) => (b"gAMA", gamma.to_be_bytes().to_vec()),
        Chunk::Chromaticities(points) => (b"cHRM", points.iter().flat_map(|p| p.to_be_bytes()).collect()),
        Chunk::Srgb => (b"sRGB", vec![0]),
        Chunk::Profile(profile) => (b"iCCP", [b"a\0\0".to_vec(), deflated(profile)].concat()),
        Chunk::CodePoints(points) => (b"cICP", points.to_vec()),
    };
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(&content);
    let length = u32::try_from(content.len()).expect("a small chunk").to_be_bytes();
    [length.as_slice(), name, &content, &crc.sum().to_be_bytes()].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}
