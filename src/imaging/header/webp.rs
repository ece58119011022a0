//! WebP: its chunks.

use super::{
    super::{Limits, error::Error},
    Found, Pixel, Profile, exif,
    reader::little,
    xmp_has_gps,
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let mut found = Found::of_size(0, 0);
    found.frames = 0;
    let mut at = 12;
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), little(bytes).u32(at + 4)) {
        let start = at + 8;
        let end = start.saturating_add(length as usize);
        let content = &bytes[start..end.min(bytes.len())];
        take(&mut found, name, content, limits)?;
        found.complete = end <= bytes.len();
        at = end.saturating_add(length as usize & 1);
    }
    if found.width == 0 {
        return Err(Error::truncated("a webp without a header"));
    }
    found.animated = found.frames > 1;
    found.frames = found.frames.max(1);
    Ok(found)
}

fn take(found: &mut Found, name: &[u8], content: &[u8], limits: &Limits) -> Result<(), Error> {
    match name {
        b"VP8X" | b"VP8 " | b"VP8L" if found.width == 0 => {
            (found.width, found.height) =
                sides(name, content).ok_or_else(|| Error::truncated("a webp header"))?;
            if has_alpha(name, content) {
                found.pixel = Pixel::RGBA;
            }
        }
        b"ANMF" => found.frames += 1,
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

fn has_alpha(name: &[u8], content: &[u8]) -> bool {
    match name {
        b"VP8X" => content.first().is_some_and(|flags| flags & 0x10 != 0),
        b"VP8L" => content.get(4).is_some_and(|bits| bits & 0x10 != 0),
        _ => false,
    }
}

fn sides(name: &[u8], content: &[u8]) -> Option<(u32, u32)> {
    let numbers = little(content);
    match name {
        b"VP8X" => {
            let three =
                |at: usize| Some(u32::from(numbers.u16(at)?) | u32::from(*content.get(at + 2)?) << 16);
            Some((three(4)? + 1, three(7)? + 1))
        }
        b"VP8L" => {
            let bits = numbers.u32(1)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => Some((u32::from(numbers.u16(6)? & 0x3fff), u32::from(numbers.u16(8)? & 0x3fff))),
    }
}
