//! WebP: its chunks.

use super::{
    super::{Limits, error::Error},
    Found, Pixel, Profile, exif,
    reader::little,
    xmp_has_gps,
};

/// Bytes before the chunks of a file, and of a frame of an animation.
const FILE_HEAD: usize = 12;
const FRAME_HEAD: usize = 16;

/// Bytes of a pixel on the canvas, or in other colors, beside the result; lossy pictures come row by row.
const CANVAS_BYTES: u64 = 4;

/// Flags of an extended file, and what a key frame of VP8 has from its fourth byte on.
const ALPHA: u8 = 0x10;
const ANIMATED: u8 = 0x02;
const START_CODE: &[u8] = b"\x9d\x01\x2a";

struct Chunk<'a> {
    name: &'a [u8],
    /// As far as it is there.
    content: &'a [u8],
    whole: bool,
}

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let mut found = Found::of_size(0, 0);
    found.frames = 0;
    for chunk in chunks(bytes, FILE_HEAD) {
        take(&mut found, chunk.name, chunk.content, limits)?;
        found.complete = chunk.whole;
    }
    if found.width == 0 {
        return Err(Error::truncated("a webp without a header"));
    }
    if lone_vp8(bytes).is_none() {
        found.decoder_bytes = u64::from(found.width) * u64::from(found.height) * CANVAS_BYTES;
    }
    found.animated = found.frames > 1;
    found.frames = found.frames.max(1);
    Ok(found)
}

/// The VP8 of a picture that is this alone, without alpha and animation; as far as it is there.
pub fn lone_vp8(bytes: &[u8]) -> Option<&[u8]> {
    for Chunk { name, content, .. } in chunks(bytes, FILE_HEAD) {
        match name {
            b"VP8X" if content.first()? & (ALPHA | ANIMATED) != 0 => return None,
            b"VP8 " => {
                // Neither a container nor a lossless picture begins so.
                let is_key_frame = content.first()? & 1 == 0 && content.get(3..6)? == START_CODE;
                return is_key_frame.then_some(content);
            }
            b"VP8L" | b"ALPH" | b"ANMF" => return None,
            _ => {}
        }
    }
    None
}

fn chunks(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (name, length) = (bytes.get(at..at.checked_add(4)?)?, little(bytes).u32(at + 4)? as usize);
        let (start, end) = (at + 8, (at + 8).saturating_add(length));
        at = end.saturating_add(length & 1);
        Some(Chunk { name, content: &bytes[start..end.min(bytes.len())], whole: end <= bytes.len() })
    })
}

fn take(found: &mut Found, name: &[u8], content: &[u8], limits: &Limits) -> Result<(), Error> {
    match name {
        b"VP8X" | b"VP8 " | b"VP8L" if found.width == 0 => {
            (found.width, found.height) = sides(name, content).ok_or_else(early)?;
            limits.check_size(found.width, found.height)?;
            if has_alpha(name, content) {
                found.pixel = Pixel::RGBA;
            }
        }
        b"VP8 " | b"VP8L" => check_sides(name, content, (found.width, found.height))?,
        b"ANMF" => {
            if found.frames == 0 {
                check_frame(content, (found.width, found.height))?;
            }
            found.frames += 1;
        }
        b"ICCP" => found.icc = Profile::Bytes(content.to_vec()),
        b"EXIF" => found.exif = Some(exif::parse(content)),
        b"XMP " => found.xmp_gps = xmp_has_gps(content),
        _ => {}
    }
    if !matches!(name, b"VP8X" | b"VP8 " | b"VP8L" | b"ANMF" | b"ALPH") {
        found.metadata.add(content.len(), limits)?;
    }
    Ok(())
}

fn early() -> Error {
    Error::truncated("a webp header")
}

/// A picture has the sides of its canvas or frame: what it says itself is what is decoded.
fn check_sides(name: &[u8], content: &[u8], expected: (u32, u32)) -> Result<(), Error> {
    if sides(name, content).ok_or_else(early)? != expected {
        return Err(Error::corrupt("a picture of other sides than its frame"));
    }
    Ok(())
}

/// The first frame of an animation is on the canvas, and so is the picture in it, which may follow its alpha.
fn check_frame(content: &[u8], canvas: (u32, u32)) -> Result<(), Error> {
    let three = |at| little(content).u24(at).ok_or_else(early);
    let (left, top) = (three(0)? * 2, three(3)? * 2);
    let frame = (three(6)? + 1, three(9)? + 1);
    if left + frame.0 > canvas.0 || top + frame.1 > canvas.1 {
        return Err(Error::corrupt("the first frame is outside the canvas"));
    }
    for chunk in chunks(content, FRAME_HEAD).filter(|chunk| matches!(chunk.name, b"VP8 " | b"VP8L")) {
        check_sides(chunk.name, chunk.content, frame)?;
    }
    Ok(())
}

fn has_alpha(name: &[u8], content: &[u8]) -> bool {
    match name {
        b"VP8X" => content.first().is_some_and(|flags| flags & ALPHA != 0),
        b"VP8L" => content.get(4).is_some_and(|bits| bits & 0x10 != 0),
        _ => false,
    }
}

fn sides(name: &[u8], content: &[u8]) -> Option<(u32, u32)> {
    let numbers = little(content);
    match name {
        b"VP8X" => Some((numbers.u24(4)? + 1, numbers.u24(7)? + 1)),
        b"VP8L" => {
            let bits = numbers.u32(1)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => Some((u32::from(numbers.u16(6)? & 0x3fff), u32::from(numbers.u16(8)? & 0x3fff))),
    }
}
