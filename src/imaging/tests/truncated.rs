//! Pictures whose every row takes the same bytes, cut just above and just below 98 % of them.

use std::io::Write;

use darkroom_jobs::{ErrorCode, WarningCode};
use flate2::{Compression, Crc, write::ZlibEncoder};
use image::{ImageEncoder, codecs::png::PngEncoder};
use mozjpeg_rs::{Encoder, Preset as Settings};

use crate::dev::pictures::lossy_webp;
use crate::imaging::{Limits, Normalized, Preset, error::Error, normalize};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 1_600;

/// Rows of the units of a JPEG with a quarter of the colors.
const UNIT: u32 = 16;

/// Noise that comes again every 16 rows.
fn noise() -> Vec<u8> {
    let sample = |x: u32, y: u32, channel: u32| {
        let mixed = (x * 31 + y % UNIT * 1_009 + channel * 77).wrapping_mul(2_654_435_761);
        (mixed ^ mixed >> 15).to_le_bytes()[1]
    };
    let row = |y: u32| (0..WIDTH).flat_map(move |x| [sample(x, y, 0), sample(x, y, 1), sample(x, y, 2)]);
    (0..HEIGHT).flat_map(row).collect()
}

fn made(original: &[u8]) -> Result<Normalized, Error> {
    normalize(original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {})
}

#[track_caller]
fn assert_kept(original: &[u8]) {
    let normalized = made(original).unwrap();
    let warnings: Vec<_> = normalized.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(warnings, [WarningCode::Truncated]);
    assert_eq!((normalized.width, normalized.height), (WIDTH, HEIGHT));
}

#[track_caller]
fn assert_refused(original: &[u8]) {
    assert_eq!(made(original).unwrap_err().code(), ErrorCode::ImageTruncated);
}

#[test]
fn baseline_jpegs_need_98_percent_of_their_rows() {
    let encoder = Encoder::new(Settings::BaselineFastest).restart_interval((WIDTH / UNIT) as u16);
    let jpeg = encoder.encode_rgb(&noise(), WIDTH, HEIGHT).unwrap();
    let restarts: Vec<usize> =
        (0..jpeg.len() - 1).filter(|at| jpeg[*at] == 0xff && matches!(jpeg[at + 1], 0xd0..=0xd7)).collect();

    let whole = |units: usize| &jpeg[..restarts[units - 1]];

    assert_eq!(restarts.len(), 99);
    assert_eq!(made(&jpeg).unwrap().warnings, []);
    assert_kept(whole(98));
    assert_refused(&whole(98)[..whole(98).len() - 20]);
    // The end marker alone proves nothing.
    assert_kept(&[whole(98), b"\xff\xd9"].concat());
    assert_refused(&[whole(90), b"\xff\xd9"].concat());
}

#[test]
fn what_is_missing_of_a_jpeg_looks_like_the_last_row() {
    let encoder = Encoder::new(Settings::BaselineFastest).quality(95);
    let slope: Vec<u8> = (0..HEIGHT).flat_map(|y| vec![(y / 7) as u8; 3 * WIDTH as usize]).collect();
    let jpeg = encoder.encode_rgb(&slope, WIDTH, HEIGHT).unwrap();

    let normalized = made(&jpeg[..jpeg.len() - 40]).unwrap();

    let picture = image::load_from_memory(&normalized.jpeg).unwrap().into_rgb8();
    let last = picture.get_pixel(80, HEIGHT - 1)[0];
    assert!(last.abs_diff(228) <= 6, "{last}");
}

#[test]
fn progressive_jpegs_need_the_last_bit_of_98_percent_of_their_rows() {
    let encoder = Encoder::new(Settings::BaselineFastest).progressive(true);
    let jpeg = encoder.encode_rgb(&noise(), WIDTH, HEIGHT).unwrap();
    let last_scan = jpeg.windows(2).rposition(|pair| pair == b"\xff\xda").unwrap();

    let cut = |per_mille: usize| &jpeg[..last_scan + (jpeg.len() - last_scan) * per_mille / 1_000];

    assert_eq!(made(&jpeg).unwrap().warnings, []);
    assert_eq!(made(&jpeg[..jpeg.len() - 2]).unwrap().warnings, []);
    assert_kept(cut(990));
    assert_refused(cut(970));
    assert_refused(&jpeg[..last_scan]);
}

#[test]
fn pngs_need_98_percent_of_their_rows() {
    let mut png = Vec::new();
    let encoder = PngEncoder::new(&mut png);
    encoder.write_image(&noise(), WIDTH, HEIGHT, image::ExtendedColorType::Rgb8).unwrap();
    let stored = png_of(&noise().chunks(WIDTH as usize * 3).map(<[u8]>::to_vec).collect::<Vec<_>>(), false);

    for (png, kept, refused) in [(&png, 990, 965), (&stored, 983, 977)] {
        assert_eq!(made(png).unwrap().warnings, []);
        assert_kept(&png[..png.len() * kept / 1_000]);
        assert_refused(&png[..png.len() * refused / 1_000]);
    }
}

#[test]
fn lossy_webps_need_98_percent_of_their_rows() {
    let picture = image::RgbImage::from_raw(WIDTH, HEIGHT, noise()).unwrap();
    let webp = lossy_webp(&picture, 90.0);

    assert_eq!(made(&webp).unwrap().warnings, []);
    assert_kept(&webp[..webp.len() * 995 / 1_000]);
    assert_refused(&webp[..webp.len() * 970 / 1_000]);
    assert_refused(&webp[..webp.len() / 50]);
}

#[test]
fn interlaced_pngs_need_98_percent_of_the_rows_of_their_last_pass() {
    let noise = noise();
    let pixel = |x: u32, y: u32| &noise[((y * WIDTH + x) * 3) as usize..][..3];
    let pass = |(x, dx, y, dy): (u32, usize, u32, usize)| -> Vec<Vec<u8>> {
        let row = |y| (x..WIDTH).step_by(dx).flat_map(|x| pixel(x, y).to_vec()).collect();
        (y..HEIGHT).step_by(dy).map(row).collect()
    };
    let passes =
        [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)];
    let png = png_of(&passes.into_iter().flat_map(pass).collect::<Vec<_>>(), true);

    // The last pass is half of the file.
    assert_eq!(made(&png).unwrap().warnings, []);
    assert_kept(&png[..png.len() * 992 / 1_000]);
    assert_refused(&png[..png.len() * 988 / 1_000]);
    assert_refused(&png[..png.len() * 400 / 1_000]);
}

/// A PNG of RGB rows that are neither filtered nor compressed.
fn png_of(rows: &[Vec<u8>], interlaced: bool) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::none());
    for row in rows {
        encoder.write_all(&[&[0], row.as_slice()].concat()).unwrap();
    }
    let sides = [WIDTH.to_be_bytes(), HEIGHT.to_be_bytes()].concat();
    let header = [&sides[..], &[8, 2, 0, 0, u8::from(interlaced)]].concat();
    let chunk = |name: &[u8; 4], content: &[u8]| {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(content);
        [&(content.len() as u32).to_be_bytes()[..], name, content, &crc.sum().to_be_bytes()].concat()
    };
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &encoder.finish().unwrap()), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}
