//! The strips or tiles of a TIFF. Each may be a JPEG, with a frame of its own that its decoder believes.

use std::ops::Range;

use super::{
    super::{
        error::Error,
        markers::{self, EOI},
    },
    tiff::{Directory, Entry},
};

const COMPRESSION: u16 = 259;
const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_LENGTHS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_LENGTHS: u16 = 325;
const JPEG_TABLES: u16 = 347;

/// Value of COMPRESSION.
const JPEG: u64 = 7;

/// Most strips or tiles of a picture.
const MAX_PARTS: u64 = 65_536;

/// Side up to which a tile may be larger than its picture, px.
const FREE_TILE_SIDE: u64 = 1_024;

/// How many times its length a file may be decoded: parts may share bytes, but not without end.
const MAX_DECODED: u64 = 16;

/// Checks the parts of a picture; what a decoder needs to open one of them, bytes.
pub(super) fn check(bytes: &[u8], first: &Directory<'_>, sides: (u32, u32)) -> Result<u64, Error> {
    let tiled = first.entry(TILE_OFFSETS).is_some();
    if tiled && first.entry(STRIP_OFFSETS).is_some() {
        return Err(Error::corrupt("strips and tiles"));
    }
    let (offsets, lengths) =
        if tiled { (TILE_OFFSETS, TILE_LENGTHS) } else { (STRIP_OFFSETS, STRIP_LENGTHS) };
    if first.entry(offsets).is_some_and(|entry| entry.count > MAX_PARTS) {
        return Err(Error::TooComplex(format!("over {MAX_PARTS} strips or tiles")));
    }
    let part = sides_of_parts(first, sides, tiled)?;
    if !may_be_jpeg(first) {
        return Ok(0);
    }
    let numbers = |tag| first.entry(tag).and_then(|entry| first.numbers(&entry));
    let (Some(offsets), Some(lengths)) = (numbers(offsets), numbers(lengths)) else {
        return Err(Error::corrupt("strips or tiles without places"));
    };
    if lengths.iter().fold(0, |sum: u64, length| sum.saturating_add(*length))
        > bytes.len() as u64 * MAX_DECODED
    {
        return Err(Error::TooComplex("strips or tiles that overlap".into()));
    }
    if let Some(tables) = first.entry(JPEG_TABLES) {
        check_tables(first.data(&tables).unwrap_or_default())?;
    }
    for range in joined(&offsets, &lengths, bytes.len()) {
        check_frames(&bytes[range], part)?;
    }
    let samples = part.0 * part.1 * 4;
    Ok(samples + lengths.into_iter().max().unwrap_or_default().min(bytes.len() as u64))
}

/// Where parts are, those that share bytes as one: every byte is looked at once.
fn joined(offsets: &[u64], lengths: &[u64], end: usize) -> Vec<Range<usize>> {
    let within = |at: u64| usize::try_from(at).unwrap_or(end).min(end);
    let places = offsets.iter().zip(lengths);
    let mut parts: Vec<_> =
        places.map(|(at, length)| within(*at)..within(at.saturating_add(*length))).collect();
    parts.sort_unstable_by_key(|part| part.start);
    parts.dedup_by(|next, part| {
        let shared = next.start < part.end;
        if shared {
            part.end = part.end.max(next.end);
        }
        shared
    });
    parts
}

fn sides_of_parts(first: &Directory<'_>, sides: (u32, u32), tiled: bool) -> Result<(u64, u64), Error> {
    let number = |tag| first.entry(tag).and_then(|entry| first.number(&entry));
    let (width, height) = (u64::from(sides.0), u64::from(sides.1));
    if !tiled {
        return Ok((width, number(ROWS_PER_STRIP).unwrap_or(height).min(height)));
    }
    let (Some(across), Some(down)) = (number(TILE_WIDTH), number(TILE_HEIGHT)) else {
        return Err(Error::corrupt("tiles without sides"));
    };
    if across > width.max(FREE_TILE_SIDE) || down > height.max(FREE_TILE_SIDE) {
        return Err(Error::corrupt("tiles that are larger than the picture"));
    }
    Ok((across, down))
}

/// A compression that is not understood here may be understood by the decoder.
fn may_be_jpeg(first: &Directory<'_>) -> bool {
    let known = |entry: &Entry| if entry.count == 1 { first.number(entry) } else { None };
    first.entry(COMPRESSION).is_some_and(|entry| known(&entry).is_none_or(|value| value == JPEG))
}

/// Tables come before every part; nothing of them may be completed by its bytes.
fn check_tables(tables: &[u8]) -> Result<(), Error> {
    let mut end = 2;
    for segment in markers::segments(tables) {
        let whole = segment.starts_at(end) && !segment.short;
        end = segment.end();
        match segment.marker {
            EOI if whole && end == tables.len() => return Ok(()),
            0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe if whole => {}
            _ => break,
        }
    }
    Err(Error::corrupt("jpeg tables that are none"))
}

/// Whatever a decoder may take for a frame, hidden or not, has at most the sides of its part.
fn check_frames(jpeg: &[u8], part: (u64, u64)) -> Result<(), Error> {
    for found in jpeg.windows(10) {
        let [0 | 0xff, marker @ 0xc0..=0xc2, 0, length, 8, h1, h0, w1, w0, components @ 1..=4] = *found
        else {
            continue;
        };
        if length != 8 + 3 * components {
            continue;
        }
        if marker == 0xc2 {
            return Err(Error::Unsupported("image/tiff of progressive jpegs"));
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        if u64::from(width) > part.0 || u64::from(height) > part.1 {
            return Err(Error::corrupt("a strip or tile that is larger than its place"));
        }
    }
    Ok(())
}
