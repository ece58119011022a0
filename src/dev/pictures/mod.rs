//! Pictures rendered by code, each named for what it proves.

mod colors;
mod heif;
mod hostile;
mod inks;
mod tiffs;
mod vp8;

use std::io::Cursor;

use colors::Chunk;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, codecs::gif::GifEncoder};
use moxcms::ColorProfile;
use mozjpeg_rs::{Encoder, Preset, Subsampling};
pub use vp8::lossy_webp;

const WIDTH: u32 = 240;
const HEIGHT: u32 = 160;

/// Kinds of numbers in a TIFF.
const BYTE: u16 = 1;
const SHORT: u16 = 3;

type Render = fn() -> Vec<u8>;

const PICTURES: &[(&str, Render)] = &[
    ("plain.jpg", || jpeg(1, None, false)),
    ("orientation-1.jpg", || jpeg(1, None, false)),
    ("orientation-2.jpg", || jpeg(2, None, false)),
    ("orientation-3.jpg", || jpeg(3, None, false)),
    ("orientation-4.jpg", || jpeg(4, None, false)),
    ("orientation-5.jpg", || jpeg(5, None, false)),
    ("orientation-6.jpg", || jpeg(6, None, false)),
    ("orientation-7.jpg", || jpeg(7, None, false)),
    ("orientation-8.jpg", || jpeg(8, None, false)),
    ("orientation-9.jpg", || jpeg(9, None, false)),
    ("gps.jpg", || jpeg(1, None, true)),
    ("display-p3.jpg", || jpeg(1, Some(ColorProfile::new_display_p3()), false)),
    ("adobe-rgb.jpg", || jpeg(1, Some(ColorProfile::new_adobe_rgb()), false)),
    ("grey-gamma.jpg", grey_of_gamma),
    ("many-scans.jpg", || many_scans(None, 80)),
    ("big-scans.jpg", || many_scans(Some((12_000, 8_300)), 20)),
    ("trailing-zip.jpg", || [jpeg(1, None, false), b"PK\x03\x04 a secret".to_vec()].concat()),
    ("truncated.jpg", || truncated(jpeg(1, None, false))),
    ("alpha.png", || written(scene_with_alpha().into(), ImageFormat::Png)),
    ("plain.png", || written(scene().into(), ImageFormat::Png)),
    ("16-bit.png", || written(DynamicImage::from(scene()).into_rgb16().into(), ImageFormat::Png)),
    ("16-bit.tiff", || written(DynamicImage::from(scene()).into_rgb16().into(), ImageFormat::Tiff)),
    ("grey.png", || written(DynamicImage::from(scene()).into_luma8().into(), ImageFormat::Png)),
    ("linear.png", || colors::linear(&scene())),
    ("srgb-over-gamma.png", || colors::tagged(&scene(), &[Chunk::Srgb, Chunk::Gamma(100_000)])),
    ("chromaticities.png", || colors::tagged(&scene(), &[Chunk::Gamma(45_455), colors::P3])),
    ("profile-over-srgb.png", || colors::tagged(&scene(), &[colors::p3_profile(), Chunk::Srgb])),
    ("code-points.png", || colors::tagged(&scene(), &[Chunk::CodePoints([12, 13, 0, 1])])),
    ("code-points-over-profile.png", || {
        colors::tagged(&scene(), &[Chunk::CodePoints([1, 13, 0, 1]), colors::p3_profile()])
    }),
    ("two-profiles.png", || colors::tagged(&scene(), &[colors::p3_profile(), colors::bomb()])),
    ("two-profiles-bomb-first.png", || colors::tagged(&scene(), &[colors::bomb(), colors::p3_profile()])),
    ("profile-bomb.png", || colors::tagged(&scene(), &[colors::bomb()])),
    ("pq.png", || colors::pq(&scene())),
    ("hlg.png", || colors::hlg(&scene())),
    ("plain.webp", || written(scene().into(), ImageFormat::WebP)),
    ("lossy.webp", || lossy_webp(&scene(), 90.0)),
    ("plain.bmp", || written(scene().into(), ImageFormat::Bmp)),
    ("animated.gif", animated),
    ("huge-header.png", || huge_header(60_000)),
    ("grey-jpeg.tiff", || hostile::jpeg_in_tiff(WIDTH, HEIGHT, SHORT, &grey_of_gamma())),
    ("tile.tiff", || hostile::tiled(64)),
    ("hidden-by-01.jpg", || hostile::behind_bare(0x01, &jpeg(1, None, false))),
    ("hidden-by-d0.jpg", || hostile::behind_bare(0xd0, &jpeg(1, None, false))),
    ("hidden-by-d8.jpg", || hostile::behind_bare(0xd8, &jpeg(1, None, false))),
    ("hidden-by-comments.jpg", || hostile::behind_comments(&jpeg(1, None, false))),
    ("larger-than-canvas.webp", hostile::larger_than_canvas),
    ("larger-than-frame.webp", hostile::larger_than_frame),
    ("frame-off-canvas.webp", hostile::frame_off_canvas),
    ("larger-than-strip.tiff", || hostile::jpeg_in_tiff(16, 16, SHORT, &grey_of_gamma())),
    ("secret-jpeg.tiff", || hostile::jpeg_in_tiff(16, 16, BYTE, &grey_of_gamma())),
    ("large-tile.tiff", || hostile::tiled(20_000)),
    ("two-widths.tiff", hostile::two_widths),
    ("planes-of-tiles.tiff", tiffs::planes_of_tiles),
    ("whole-numbers.tiff", tiffs::whole_numbers),
    ("shared-strips.tiff", hostile::shared_strips),
    ("plain.heic", heif::plain),
    ("grid.heic", heif::grid),
    ("10-bit.heic", heif::deep),
    ("limited.heic", heif::limited),
    ("grey.heic", heif::grey),
    ("display-p3.heic", heif::display_p3),
    ("pq.heic", || heif::high(false, true)),
    ("hlg.heic", || heif::high(true, true)),
    ("pq-untold.heic", || heif::high(false, false)),
    ("turned-1.heic", || heif::turned(1)),
    ("turned-2.heic", || heif::turned(2)),
    ("turned-3.heic", || heif::turned(3)),
    ("turned-4.heic", || heif::turned(4)),
    ("turned-5.heic", || heif::turned(5)),
    ("turned-6.heic", || heif::turned(6)),
    ("turned-7.heic", || heif::turned(7)),
    ("turned-8.heic", || heif::turned(8)),
    ("exif-only.heic", heif::with_place),
    ("cut.heic", heif::cut),
    ("derived.heic", heif::derived),
    ("alpha.heic", || heif::alpha(false, false)),
    ("premultiplied.heic", || heif::alpha(true, false)),
    ("half-alpha.heic", || heif::alpha(false, true)),
    ("plain.avif", || heif::av1("small")),
    ("10-bit.avif", || heif::av1("small-10")),
    ("444.avif", || heif::av1("small-444")),
    ("alpha.avif", heif::av1_alpha),
    ("turned-5.avif", heif::av1_turned),
    ("animated.avif", heif::av1_animated),
    ("endless-box.heic", heif::endless_box),
    ("larger-than-coded.heic", heif::larger_than_coded),
    ("smaller-than-coded.heic", heif::smaller_than_coded),
    ("smaller-than-coded.avif", heif::smaller_than_coded_av1),
    ("huge.heic", heif::huge),
    ("grid-of-itself.heic", heif::grid_of_itself),
    ("circle.heic", heif::circle),
    ("other-tile.heic", heif::other_tile),
    ("other-grid.heic", heif::other_grid),
    ("missing-tile.heic", heif::missing_tile),
    ("many-items.heic", heif::many_items),
    ("many-places.heic", heif::many_places),
    ("many-properties.heic", heif::many_properties),
    ("repeated-bytes.heic", heif::repeated_bytes),
    ("elsewhere.heic", heif::elsewhere),
    ("encrypted.heic", heif::encrypted),
    ("cut-to-nothing.heic", heif::cut_to_nothing),
    ("film.avif", heif::film),
    ("nested.heic", heif::nested),
    ("hidden-frames.avif", heif::hidden_frames),
    ("more-colors.heic", heif::more_colors),
    ("more-colors-in-a-tile.heic", heif::more_colors_in_a_tile),
    ("more-colors.avif", || heif::more_samples_av1("small-444")),
    ("more-bits.avif", || heif::more_samples_av1("small-10")),
    ("frames-in-stock.avif", heif::frames_in_stock),
    ("cmyk.jpg", inks::cmyk),
    ("cmyk-profile.jpg", inks::with_profile),
    ("cmyk-wrong-profile.jpg", inks::with_wrong_profile),
    ("text.jpg", || b"This is no picture at all.".to_vec()),
    ("empty.jpg", Vec::new),
];

/// Every picture's name.
pub fn names() -> impl Iterator<Item = &'static str> {
    PICTURES.iter().map(|(name, _)| *name)
}

/// The picture of a name. Rendered anew each time, always the same.
pub fn picture(name: &str) -> Option<Vec<u8>> {
    PICTURES.iter().find(|(other, _)| *other == name).map(|(_, render)| render())
}

/// Kinds of [`sized`].
pub const KINDS: [&str; 23] = [
    "jpeg",
    "jpeg-444",
    "jpeg-progressive",
    "jpeg-progressive-444",
    "jpeg-grey",
    "jpeg-cut",
    "png",
    "png-alpha",
    "png-16",
    "webp",
    "webp-lossy",
    "gif",
    "bmp",
    "tiff",
    "tiff-16",
    "tiff-palette",
    "heic",
    "heic-grid",
    "heic-10",
    "heic-alpha",
    "avif",
    "avif-10",
    "jpeg-cmyk",
];

/// A photo-like scene of any size, of one of [`KINDS`].
pub fn sized(kind: &str, width: u32, height: u32) -> Option<Vec<u8>> {
    let scene = || painted(width, height);
    let lossy = |subsampling, progressive| {
        let encoder = Encoder::new(Preset::BaselineFastest).quality(85);
        let encoder = encoder.subsampling(subsampling).progressive(progressive);
        encoder.encode_rgb(&scene(), width, height).expect("sides that fit")
    };
    let deep = || DynamicImage::from(DynamicImage::from(scene()).into_rgb16());
    Some(match kind {
        "jpeg" => lossy(Subsampling::S420, false),
        "jpeg-444" => lossy(Subsampling::S444, false),
        "jpeg-progressive" => lossy(Subsampling::S420, true),
        "jpeg-progressive-444" => lossy(Subsampling::S444, true),
        "jpeg-grey" => {
            let grey = DynamicImage::from(scene()).into_luma8();
            let encoder = Encoder::new(Preset::BaselineFastest).quality(85);
            encoder.encode_gray(&grey, width, height).expect("sides that fit")
        }
        "jpeg-cut" => {
            let mut whole = lossy(Subsampling::S420, true);
            whole.truncate(whole.len() - 2);
            whole
        }
        "png" => written(scene().into(), ImageFormat::Png),
        "png-alpha" => written(DynamicImage::from(scene()).into_rgba8().into(), ImageFormat::Png),
        "png-16" => written(deep(), ImageFormat::Png),
        "webp" => written(scene().into(), ImageFormat::WebP),
        "webp-lossy" => lossy_webp(&scene(), 85.0),
        "gif" => written(scene().into(), ImageFormat::Gif),
        "bmp" => written(scene().into(), ImageFormat::Bmp),
        "tiff" => written(scene().into(), ImageFormat::Tiff),
        "tiff-16" => written(deep(), ImageFormat::Tiff),
        "tiff-palette" => palette_tiff(width, height),
        "heic" | "heic-grid" | "heic-10" | "heic-alpha" => heif::sized(kind, width, height),
        "avif" => heif::av1_sized("large", width, height),
        "avif-10" => heif::av1_sized("large-10", width, height),
        "jpeg-cmyk" => inks::sized(&scene()),
        _ => return None,
    })
}

/// A TIFF of 16 shades of red, two pixels in each byte.
fn palette_tiff(width: u32, height: u32) -> Vec<u8> {
    const COUNT: u32 = 9;
    const MAP_AT: u32 = hostile::behind_entries(COUNT);
    const PIXELS_AT: u32 = MAP_AT + 3 * 16 * 2;
    let row = width.div_ceil(2);
    let entries: [hostile::Entry; COUNT as usize] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 4),
        (259, 3, 1, 1),
        (262, 3, 1, 3),
        (273, 4, 1, PIXELS_AT),
        (278, 4, 1, height),
        (279, 4, 1, row * height),
        (320, 3, 3 * 16, MAP_AT),
    ];
    let red = (0..16_u16).flat_map(|shade| (shade * 0x1111).to_le_bytes());
    let pixels =
        (0..height).flat_map(|_| (0..row).map(|x| ((x % 8) as u8 * 2) << 4 | ((x % 8) as u8 * 2 + 1)));
    hostile::tiff(&entries, &red.chain([0; 2 * 16 * 2]).chain(pixels).collect::<Vec<_>>())
}

/// A photo-like scene of any size, encoded as JPEG.
pub fn photo(width: u32, height: u32) -> Vec<u8> {
    encoded(&painted(width, height), 1, None, false)
}

fn scene() -> RgbImage {
    painted(WIDTH, HEIGHT)
}

/// A sky with a sun on the left over a field: no two of its four corners are alike.
fn painted(width: u32, height: u32) -> RgbImage {
    let byte = |share: f32| (share.clamp(0.0, 1.0) * 255.0) as u8;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let sun = (u - 0.2).hypot(v - 0.25) < 0.12;
        if sun {
            Rgb([250, 220, 60])
        } else if v < 0.6 {
            Rgb([byte(0.2 + u * 0.5), byte(0.4 + v * 0.5), byte(0.9 - u * 0.3)])
        } else {
            Rgb([byte(0.1 + u * 0.3), byte(0.6 - v * 0.2), byte(0.1 + (v - 0.6))])
        }
    })
}

fn scene_with_alpha() -> RgbaImage {
    let mut picture = DynamicImage::from(scene()).into_rgba8();
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        pixel[3] = u8::try_from(x * 255 / WIDTH).expect("less than 255");
    }
    picture
}

fn written(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).expect("the encoder takes these pixels");
    bytes
}

fn animated() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    let second = RgbaImage::from_pixel(WIDTH, HEIGHT, Rgba([255, 0, 0, 255]));
    for picture in [DynamicImage::from(scene()).into_rgba8(), second] {
        encoder.encode_frame(Frame::new(picture)).expect("the encoder takes these pixels");
    }
    drop(encoder);
    bytes
}

fn jpeg(orientation: u16, profile: Option<ColorProfile>, gps: bool) -> Vec<u8> {
    encoded(&scene(), orientation, profile, gps)
}

fn encoded(picture: &RgbImage, orientation: u16, profile: Option<ColorProfile>, gps: bool) -> Vec<u8> {
    let mut encoder = Encoder::new(Preset::BaselineFastest).quality(92).exif_data(exif(orientation, gps));
    if let Some(profile) = profile {
        encoder = encoder.icc_profile(profile.encode().expect("a built-in profile"));
    }
    encoder.encode_rgb(picture, picture.width(), picture.height()).expect("sides that fit")
}

/// A slope of grey whose light is its samples to the power of 1.8, and a profile that says so.
fn grey_of_gamma() -> Vec<u8> {
    let grey = image::GrayImage::from_fn(WIDTH, HEIGHT, |x, _| image::Luma([(x * 255 / (WIDTH - 1)) as u8]));
    let profile = ColorProfile::new_gray_with_gamma(1.8).encode().expect("a built-in profile");
    let encoder = Encoder::new(Preset::BaselineFastest).quality(92).icc_profile(profile);
    encoder.encode_gray(&grey, WIDTH, HEIGHT).expect("sides that fit")
}

/// A progressive JPEG whose last scan comes again until there are so many, and which perhaps claims other sides.
fn many_scans(sides: Option<(u16, u16)>, scans: usize) -> Vec<u8> {
    const SCAN: [u8; 2] = [0xff, 0xda];
    const FRAME: [u8; 2] = [0xff, 0xc2];
    let encoder = Encoder::new(Preset::BaselineFastest).quality(92).progressive(true);
    let mut bytes = encoder.encode_rgb(&scene(), WIDTH, HEIGHT).expect("sides that fit");
    let starts = |bytes: &[u8], marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    let last = starts(&bytes, SCAN).expect("a jpeg has a scan");
    let (before, end) = bytes.split_at(last);
    let end = end[..end.len() - 2].repeat(scans);
    bytes = [before, &end, b"\xff\xd9"].concat();
    if let (Some((width, height)), Some(frame)) = (sides, starts(&bytes, FRAME)) {
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    }
    bytes
}

/// One or two entries: orientation, and a directory that holds a latitude's letter.
fn exif(orientation: u16, gps: bool) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
    };
    let [high, low] = orientation.to_be_bytes();
    let mut entries = vec![entry(0x0112, 3, 1, [high, low, 0, 0])];
    if gps {
        entries.push(entry(0x8825, 4, 1, 38_u32.to_be_bytes()));
    }
    let count = u16::try_from(entries.len()).expect("two at most").to_be_bytes();
    let first = [b"MM\0\x2a\0\0\0\x08".as_slice(), &count, &entries.concat(), &[0; 4]].concat();
    let directory = [&[0, 1][..], &entry(1, 2, 2, *b"N\0\0\0"), &[0; 4]].concat();
    if gps { [first, directory].concat() } else { first }
}

fn truncated(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn huge_header(side: u32) -> Vec<u8> {
    let mut bytes = written(RgbImage::new(1, 1).into(), ImageFormat::Png);
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    bytes
}
