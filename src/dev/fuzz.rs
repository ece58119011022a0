//! What a stranger's bytes reach, one function each, with what must hold whatever they are. `fuzz/` calls them with the
//! inputs of libFuzzer, and a test with inputs of its own.

use std::sync::LazyLock;

use darkroom_jobs::Blame;

use super::pictures::{names, picture, sized};
use crate::imaging::{Limits, Preset, clean, header::Header, normalize, sniff::sniff};

/// A parser, or all of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its file in `fuzz/fuzz_targets` as well.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    Target { name: "sniff", run: sniffed, seeds: pictures },
    Target { name: "header", run: header, seeds: pictures },
    Target { name: "exif", run: exif, seeds: segments_of_exif },
    Target { name: "icc", run: icc, seeds: segments_of_icc },
    Target { name: "jpeg", run: lane, seeds: photos },
    Target { name: "normalize", run: whole, seeds: pictures },
];

/// Longest content of a segment of a JPEG, bytes.
const MAX_SEGMENT: usize = 65_533;
const EXIF: &[u8] = b"Exif\0\0";
const ICC: &[u8] = b"ICC_PROFILE\0\x01\x01";

/// A picture for what is tried beside it.
static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| sized("jpeg", 16, 16).expect("a known kind"));

/// What is slow is not more likely to fail.
fn limits() -> Limits {
    Limits { max_pixels: 1 << 18, max_decode_work: 1 << 21, ..Limits::default() }
}

fn sniffed(bytes: &[u8]) {
    assert_eq!(sniff(bytes), sniff(bytes));
}

fn header(bytes: &[u8]) {
    let limits = limits();
    let Ok(header) = Header::read(bytes, &limits) else { return };
    let (width, height) = header.oriented();
    assert!(width > 0 && height > 0 && u64::from(width) * u64::from(height) <= limits.max_pixels);
    assert!(header.peak_bytes(&Preset::USER_PHOTO) < 1 << 30);
}

/// Bytes as the EXIF of a good picture: whatever they are, they cost no picture.
fn exif(bytes: &[u8]) {
    let jpeg = beside(0xe1, EXIF, bytes);
    let made = normalize(&jpeg, &Preset::USER_PHOTO, &limits(), &mut |_| {});
    assert!(made.is_ok_and(|made| clean::sides(&made.jpeg).is_some()));
}

/// Bytes as the color profile of a good picture.
fn icc(bytes: &[u8]) {
    let jpeg = beside(0xe2, ICC, bytes);
    let made = normalize(&jpeg, &Preset::USER_PHOTO, &limits(), &mut |_| {});
    let icc = made.expect("a profile costs no picture").facts.icc;
    assert!(icc.is_none_or(|text| text.chars().count() <= 64 && !text.contains(char::is_control)));
}

/// Any bytes through the lane alone: all kernels make the same clean JPEG, or none.
fn lane(bytes: &[u8]) {
    use darkroom_jpeg::{Kernels, Limits, Orientation, Plan, Scratch, normalize};

    let limits = Limits { max_pixels: 1 << 18, max_side: 20_000, max_scans: 64, max_work: 1 << 21 };
    let plan = Plan {
        max_side: 100,
        quality: 82,
        full_chroma: bytes.len() % 16 > 7,
        orientation: Orientation::from_exif(bytes.len() as u8 % 8 + 1),
        ..Plan::default()
    };
    let made = normalize(bytes, &plan, &limits, &mut Scratch::default());
    assert!(made == normalize(bytes, &plan, &limits, &mut Scratch::new(Kernels::Portable)));
    if let Ok(made) = made {
        assert_eq!(clean::sides(&made.jpeg), Some((made.width as u32, made.height as u32)));
    }
}

/// Any bytes: a clean JPEG, or one of the codes that blame the file.
fn whole(bytes: &[u8]) {
    let preset = Preset::USER_PHOTO;
    match normalize(bytes, &preset, &limits(), &mut |_| {}) {
        Ok(made) => {
            assert_eq!(clean::sides(&made.jpeg), Some((made.width, made.height)));
            assert!(made.width.max(made.height) <= preset.max_side);
        }
        Err(error) => assert_eq!(error.code().blame(), Blame::Image, "{error}"),
    }
}

fn beside(marker: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let content = &content[..content.len().min(MAX_SEGMENT - name.len())];
    let len = u16::try_from(name.len() + content.len() + 2).expect("a segment's length");
    let (start, rest) = SMALL.split_at(2);
    [start, &[0xff, marker], &len.to_be_bytes(), name, content, rest].concat()
}

fn pictures() -> Vec<(String, Vec<u8>)> {
    let rendered = |name: &str| Some((name.to_owned(), picture(name)?));
    // A file of many scans is slow by design.
    names().filter(|name| !name.contains("scans")).filter_map(rendered).collect()
}

fn photos() -> Vec<(String, Vec<u8>)> {
    pictures().into_iter().filter(|(_, bytes)| bytes.starts_with(b"\xff\xd8")).collect()
}

fn segments_of_exif() -> Vec<(String, Vec<u8>)> {
    segments(EXIF)
}

fn segments_of_icc() -> Vec<(String, Vec<u8>)> {
    segments(ICC)
}

/// What follows such a name in rendered JPEGs: the rest of the file is more than the segment, which is no harm.
fn segments(name: &[u8]) -> Vec<(String, Vec<u8>)> {
    const ENOUGH: usize = 4 << 10;
    let tail = |(file, bytes): (String, Vec<u8>)| {
        let at = bytes.windows(name.len()).position(|window| window == name)? + name.len();
        Some((file, bytes[at..bytes.len().min(at + ENOUGH)].to_vec()))
    };
    pictures().into_iter().filter_map(tail).collect()
}
