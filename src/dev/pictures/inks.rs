//! JPEGs of cyan, magenta, yellow and black, as Adobe writes them: a scan for each, and paper instead of ink.

use image::{GrayImage, Luma, RgbImage};
use moxcms::ColorProfile;
use mozjpeg_rs::{Encoder, Preset};

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];
const FRAME: u8 = 0xc0;
const SCAN: u8 = 0xda;

/// The scene, as much black as its darkest ink has.
pub(super) fn cmyk() -> Vec<u8> {
    jpeg(&super::scene(), None)
}

/// The same with a profile by which only cyan can be seen, as grey.
pub(super) fn with_profile() -> Vec<u8> {
    jpeg(&super::scene(), Some(only_cyan()))
}

/// The same with a profile of red, green and blue.
pub(super) fn with_wrong_profile() -> Vec<u8> {
    jpeg(&super::scene(), Some(ColorProfile::new_display_p3().encode().expect("a built-in profile")))
}

pub(super) fn sized(picture: &RgbImage) -> Vec<u8> {
    jpeg(picture, None)
}

fn jpeg(picture: &RgbImage, profile: Option<Vec<u8>>) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let mut file = START.to_vec();
    file.extend(segment(0xee, b"Adobe\0\x64\0\0\0\0\0"));
    if let Some(profile) = profile {
        file.extend(segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &profile[..]].concat()));
    }
    let mut framed = false;
    for ink in 0..4_u8 {
        let paper = GrayImage::from_fn(width, height, |x, y| {
            let inks = picture.get_pixel(x, y).0.map(|sample| 255 - sample);
            let black = inks.into_iter().min().unwrap_or_default();
            Luma([255 - inks.get(usize::from(ink)).map_or(black, |ink| ink - black)])
        });
        let grey = Encoder::new(Preset::BaselineFastest).quality(92).encode_gray(&paper, width, height);
        for (marker, content) in segments(&grey.expect("sides that fit")) {
            match marker {
                FRAME if framed => {}
                FRAME => {
                    framed = true;
                    let components = (1..=4).flat_map(|id| [id, 0x11, 0]).collect::<Vec<u8>>();
                    file.extend(segment(FRAME, &[&content[..5], &[4], &components].concat()));
                }
                SCAN => {
                    // Its header of one component, which gets another number, and its data.
                    file.extend([0xff, SCAN, 0, 8, 1, ink + 1]);
                    file.extend_from_slice(&content[2..]);
                }
                0xe0..=0xef => {}
                _ => file.extend(segment(marker, &content)),
            }
        }
    }
    file.extend(END);
    file
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).expect("a short segment").to_be_bytes();
    [&[0xff, marker], &length[..], content].concat()
}

/// The segments of a baseline JPEG of one scan, the last with its data.
fn segments(jpeg: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut found) = (2, Vec::new());
    loop {
        let (marker, length) = (jpeg[at + 1], usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]])));
        let end = if marker == SCAN { jpeg.len() - END.len() } else { at + 2 + length };
        found.push((marker, jpeg[at + 4..end].to_vec()));
        if marker == SCAN {
            return found;
        }
        at = end;
    }
}

/// A profile of inks with one table of two steps: brightness is what cyan leaves of it.
fn only_cyan() -> Vec<u8> {
    const TABLE_AT: u32 = 128 + 4 + 12;
    let identity = [1, 0, 0, 0, 1, 0, 0, 0, 1].map(|one: u32| (one << 16).to_be_bytes()).concat();
    let straight: Vec<u8> = (0..=255).collect();
    // Lab; the first ink changes slowest.
    let corners: Vec<u8> = (0..16).flat_map(|corner| [if corner < 8 { 255 } else { 0 }, 128, 128]).collect();
    let start: &[u8] = b"mft1\0\0\0\0\x04\x03\x02\0";
    let table = [start, &identity, &straight.repeat(4), &corners, &straight.repeat(3)].concat();
    let length = u32::try_from(table.len()).expect("a short table");
    let mut header = vec![0; 128];
    header[..4].copy_from_slice(&(TABLE_AT + length).to_be_bytes());
    header[8..12].copy_from_slice(&0x0240_0000_u32.to_be_bytes());
    header[12..24].copy_from_slice(b"prtrCMYKLab ");
    header[36..40].copy_from_slice(b"acsp");
    // White of the connection space.
    header[68..80].copy_from_slice(&[0xf6d6_u32, 0x1_0000, 0xd32d].map(u32::to_be_bytes).concat());
    let tags = [1_u32.to_be_bytes(), *b"A2B0", TABLE_AT.to_be_bytes(), length.to_be_bytes()].concat();
    [header, tags, table].concat()
}
