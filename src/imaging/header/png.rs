//! PNG: its chunks. Text is never inflated, a color profile only up to its limit.

use std::io::Read;

use super::{
    super::{Limits, error::Error},
    Found, Pixel, Profile, exif,
    reader::big,
    xmp_has_gps,
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let numbers = big(bytes);
    let early = || Error::truncated("a png without a header");
    if bytes.get(12..16) != Some(b"IHDR") {
        return Err(if bytes.len() < 16 { early() } else { Error::corrupt("a png without a header") });
    }
    let mut found = Found::of_size(numbers.u32(16).ok_or_else(early)?, numbers.u32(20).ok_or_else(early)?);
    found.complete = false;
    found.pixel = pixel(bytes);
    let mut at = 8;
    while let Some(length) = numbers.u32(at) {
        let Some(name) = bytes.get(at + 4..at + 8) else { break };
        let start = at + 8;
        let end = start.saturating_add(length as usize);
        let Some(content) = bytes.get(start..end) else { break };
        if name == b"IEND" {
            found.complete = true;
            break;
        }
        take(&mut found, name, content, limits)?;
        at = end.saturating_add(4);
    }
    Ok(found)
}

/// By depth and kind of color, which the decoder expands.
fn pixel(bytes: &[u8]) -> Pixel {
    let channels = match bytes.get(25) {
        Some(0) => 1,
        Some(4) => 2,
        Some(6) => 4,
        _ => 3,
    };
    Pixel { channels, bytes: if bytes.get(24) == Some(&16) { 2 } else { 1 } }
}

fn take(found: &mut Found, name: &[u8], content: &[u8], limits: &Limits) -> Result<(), Error> {
    match name {
        // The first alone: each is inflated.
        b"iCCP" if matches!(found.icc, Profile::None) => found.icc = profile(content, limits),
        // Transparent colors become a channel.
        b"tRNS" => found.pixel.channels += found.pixel.channels % 2,
        b"eXIf" => found.exif = Some(exif::parse(content)),
        b"iTXt" | b"tEXt" => found.xmp_gps |= xmp_has_gps(content),
        b"acTL" => {
            found.frames = big(content).u32(0).unwrap_or(1).max(1);
            found.animated = found.frames > 1;
        }
        _ => found.png_colors.take(name, content),
    }
    if !matches!(name, b"IHDR" | b"PLTE" | b"IDAT" | b"fdAT" | b"fcTL") {
        found.metadata.add(content.len(), limits)?;
    }
    Ok(())
}

/// Name, zero, method, then the profile, deflated.
fn profile(content: &[u8], limits: &Limits) -> Profile {
    let Some(zero) = content.iter().take(80).position(|byte| *byte == 0) else { return Profile::Broken };
    let Some(deflated) = content.get(zero + 2..) else { return Profile::Broken };
    let mut bytes = Vec::new();
    let inflated =
        flate2::read::ZlibDecoder::new(deflated).take(limits.max_icc_bytes + 1).read_to_end(&mut bytes);
    match inflated {
        Ok(_) => Profile::Bytes(bytes),
        Err(_) => Profile::Broken,
    }
}
