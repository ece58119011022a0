//! Files that show their reader one picture and their decoder another.

/// Side that no picture of this file has but by its lies, px.
const LARGE: u16 = 5_000;

/// A JPEG that has the real frame behind a marker without a length, which some read with one and pass over; the frame
/// that they find instead is large.
pub(super) fn behind_bare(marker: u8, jpeg: &[u8]) -> Vec<u8> {
    let (start, frame, rest) = parts(jpeg);
    let length = u16::try_from(frame.len() + 2).expect("a frame is short").to_be_bytes();
    [&start[..2], &[0xff, marker], &length, frame, &start[2..], &large(frame), rest].concat()
}

/// A JPEG whose two frames are each behind what one of both readers passes over, in a way that cannot be cut out.
pub(super) fn behind_comments(jpeg: &[u8]) -> Vec<u8> {
    /// Passed over by those who skip zeros behind 0xff; the others find a comment that ends behind the file.
    const ENDLESS: &[u8] = b"\xff\xfe\xff\xff";
    let (start, frame, rest) = parts(jpeg);
    let stuffed = |marker: &[u8], content: &[u8]| {
        let length = u16::try_from(content.len() + 2).expect("a frame is short").to_be_bytes();
        [b"\xff\0", marker, &length, content].concat()
    };
    let ours = stuffed(b"\xfe", &[ENDLESS, frame].concat());
    let theirs = [b"\xff\0", &large(frame)[1..], &stuffed(b"\xfe", ENDLESS)].concat();
    [start, &ours, &theirs, rest].concat()
}

/// What is before the frame of a JPEG, the frame, and what comes after it.
fn parts(jpeg: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a jpeg has a frame");
    let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    (&jpeg[..at], &jpeg[at..end], &jpeg[end..])
}

fn large(frame: &[u8]) -> Vec<u8> {
    let side = LARGE.to_be_bytes();
    [&frame[..5], &side, &side, &frame[9..]].concat()
}

/// A WebP of one pixel that holds a larger picture.
pub(super) fn larger_than_canvas() -> Vec<u8> {
    webp(&[extended(0, 1), chunk(b"VP8 ", &large_key_frame())])
}

/// An animation whose first frame is on the canvas, and the picture in it larger than both.
pub(super) fn larger_than_frame() -> Vec<u8> {
    const ANIMATED: u8 = 2;
    let frame = [vec![0; 16], chunk(b"VP8 ", &large_key_frame())].concat();
    webp(&[extended(ANIMATED, 1), chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)])
}

/// An animation whose first frame is larger than its canvas.
pub(super) fn frame_off_canvas() -> Vec<u8> {
    const ANIMATED: u8 = 2;
    let side = u32::from(LARGE - 1).to_le_bytes();
    let head = [&[0; 6], &side[..3], &side[..3], &[0; 4]].concat();
    let frame = [head, chunk(b"VP8 ", &large_key_frame())].concat();
    webp(&[extended(ANIMATED, 1), chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)])
}

fn large_key_frame() -> Vec<u8> {
    let side = LARGE.to_le_bytes();
    [b"\x10\x20\0\x9d\x01\x2a".as_slice(), &side, &side, &[0; 1_000]].concat()
}

fn extended(flags: u8, side: u32) -> Vec<u8> {
    let side = (side - 1).to_le_bytes();
    chunk(b"VP8X", &[&[flags, 0, 0, 0], &side[..3], &side[..3]].concat())
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short chunk").to_le_bytes();
    [name.as_slice(), &length, content, &vec![0; content.len() % 2]].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

/// An entry of a TIFF: its tag, kind, count and value.
pub(super) type Entry = (u16, u16, u32, u32);

/// Offset of what follows the directory of a TIFF of so many entries.
pub(super) const fn behind_entries(count: u32) -> u32 {
    8 + 2 + count * 12 + 4
}

pub(super) fn tiff(entries: &[Entry], rest: &[u8]) -> Vec<u8> {
    let count = u16::try_from(entries.len()).expect("a few entries").to_le_bytes();
    let mut bytes = [b"II*\0\x08\0\0\0".as_slice(), &count].concat();
    for (tag, kind, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    [&bytes[..], &[0; 4], rest].concat()
}

/// A TIFF of these sides whose only strip is a JPEG; its compression may be told by a number of another kind.
pub(super) fn jpeg_in_tiff(width: u32, height: u32, kind: u16, jpeg: &[u8]) -> Vec<u8> {
    const COUNT: u32 = 8;
    let length = u32::try_from(jpeg.len()).expect("a small picture");
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, kind, 1, 7),
        (262, 3, 1, 1),
        (273, 4, 1, behind_entries(COUNT)),
        (277, 3, 1, 1),
        (279, 4, 1, length),
    ];
    tiff(&entries, jpeg)
}

/// A TIFF of 16 × 16 px in one tile of this side.
pub(super) fn tiled(side: u32) -> Vec<u8> {
    const COUNT: u32 = 9;
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, 16),
        (257, 4, 1, 16),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (322, 4, 1, side),
        (323, 4, 1, side),
        (324, 4, 1, behind_entries(COUNT)),
        (325, 4, 1, 4_096),
    ];
    tiff(&entries, &[90; 4_096])
}

/// A TIFF that says its width twice.
pub(super) fn two_widths() -> Vec<u8> {
    const COUNT: u32 = 8;
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, 16),
        (256, 4, 1, u32::from(LARGE)),
        (257, 4, 1, 16),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, behind_entries(COUNT)),
        (279, 4, 1, 256),
    ];
    tiff(&entries, &[90; 256])
}

/// A TIFF whose strips are all the same JPEG, but for the last, which begins within it and says it is larger.
pub(super) fn shared_strips() -> Vec<u8> {
    const COUNT: u32 = 9;
    const STRIPS: u32 = 16;
    const LENGTH: u32 = 64;
    let at = behind_entries(COUNT);
    let jpegs = at + STRIPS * 8;
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, 16),
        (257, 4, 1, 16),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 1),
        (273, 4, STRIPS, at),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, STRIPS, at + STRIPS * 4),
    ];
    let last = STRIPS - 1;
    let offsets = (0..STRIPS).map(|strip| jpegs + if strip == last { LENGTH / 2 } else { 0 });
    let numbers: Vec<u8> = offsets.chain([LENGTH; STRIPS as usize]).flat_map(u32::to_le_bytes).collect();
    let mut bytes = [0; 2 * LENGTH as usize];
    // Behind the end of all strips but the last.
    bytes[LENGTH as usize..][..13].copy_from_slice(&[0xff, 0xc0, 0, 11, 8, 0x40, 0, 0x40, 0, 1, 1, 0x11, 0]);
    tiff(&entries, &[&numbers[..], &bytes].concat())
}
