//! JPEG: the markers of the whole file, without its entropy-coded data.

use super::{
    super::{Limits, error::Error},
    Found, Profile, exif, xmp_has_gps,
};

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;

/// Sum of the standard table of brightness at quality 50.
const STANDARD_LUMA_SUM: u32 = 3_688;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let mut walk =
        Walk { found: Found::of_size(0, 0), framed: false, components: 0, separate: false, icc: Vec::new() };
    walk.found.scans = 0;
    walk.found.complete = false;
    let mut at = 2;
    while let Some((marker, body)) = next_marker(bytes, at) {
        at = match marker {
            EOI => {
                walk.found.complete = true;
                break;
            }
            SOI | 0x01 | 0xd0..=0xd7 => body,
            _ => match segment(bytes, body) {
                Some(content) => {
                    walk.take(marker, content, limits)?;
                    let end = body + 2 + content.len();
                    if marker == SOS { after_scan(bytes, end) } else { end }
                }
                // A length that points nowhere: what follows may still be markers.
                None => body,
            },
        };
    }
    walk.finish()
}

struct Walk<'a> {
    found: Found,
    framed: bool,
    /// Of the frame.
    components: u8,
    /// Whether a sequential file has a scan for each component.
    separate: bool,
    icc: Vec<(u8, &'a [u8])>,
}

impl<'a> Walk<'a> {
    fn take(&mut self, marker: u8, content: &'a [u8], limits: &Limits) -> Result<(), Error> {
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => self.frame(marker, content)?,
            SOS => {
                self.found.scans += 1;
                let components = content.first().copied().unwrap_or_default();
                self.separate |= !self.found.progressive && components < self.components;
                limits.check_size(self.found.width, self.found.height)?;
                limits.check_scans(self.found.scans, self.found.width, self.found.height)?;
            }
            DQT if self.found.jpeg_quality.is_none() => self.found.jpeg_quality = quality(content),
            APP1 if content.starts_with(b"Exif\0\0") && self.found.exif.is_none() => {
                self.found.exif = Some(exif::parse(content));
            }
            APP1 => self.found.xmp_gps |= xmp_has_gps(content),
            APP2 if content.starts_with(b"ICC_PROFILE\0") && content.len() > 14 => {
                self.icc.push((content[12], &content[14..]));
            }
            _ => {}
        }
        if matches!(marker, 0xe0..=0xef | 0xfe) {
            self.found.metadata.add(content.len(), limits)?;
        }
        Ok(())
    }

    fn frame(&mut self, marker: u8, content: &[u8]) -> Result<(), Error> {
        if let ([_, h1, h0, w1, w0, components, ..], false) = (content, self.framed) {
            self.found.width = u32::from(u16::from_be_bytes([*w1, *w0]));
            self.found.height = u32::from(u16::from_be_bytes([*h1, *h0]));
            self.found.progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
            self.components = *components;
            self.framed = true;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Found, Error> {
        if !self.framed {
            return Err(if self.found.complete {
                Error::corrupt("a jpeg without a frame")
            } else {
                Error::truncated("a jpeg without a frame")
            });
        }
        if self.found.scans == 0 {
            return Err(Error::truncated("a jpeg without a scan"));
        }
        if self.separate {
            // The decoder would lose the colors, silently.
            return Err(if self.found.scans < u32::from(self.components) {
                Error::corrupt("components without a scan")
            } else {
                Error::Unsupported("image/jpeg with one scan for each component")
            });
        }
        if !self.icc.is_empty() {
            self.icc.sort_by_key(|(number, _)| *number);
            self.found.icc =
                Profile::Bytes(self.icc.iter().flat_map(|(_, part)| part.iter().copied()).collect());
        }
        Ok(self.found)
    }
}

/// The next marker from `at` on, and where its content begins; junk between segments is passed over.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let mut at = at;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        at += bytes[at..].iter().position(|byte| *byte != 0xff)?;
        if bytes[at] != 0 {
            return Some((bytes[at], at + 1));
        }
    }
}

fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    bytes.get(at + 2..at + length.max(2))
}

/// Where the marker begins that ends a scan.
fn after_scan(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        at += found;
        match bytes.get(at + 1) {
            Some(0 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            _ => return at,
        }
    }
    bytes.len()
}

/// The quality that the usual formula would have needed for the first table.
fn quality(content: &[u8]) -> Option<u8> {
    let (kind, table) = content.split_first()?;
    let sum: u32 = match kind >> 4 {
        0 => table.get(..64)?.iter().map(|step| u32::from(*step)).sum(),
        _ => table.get(..128)?.chunks_exact(2).map(|s| u32::from(s[0]) << 8 | u32::from(s[1])).sum(),
    };
    let scale = sum * 100 / STANDARD_LUMA_SUM;
    let quality = if scale <= 100 { (200 - scale) / 2 } else { 5_000 / scale };
    u8::try_from(quality.clamp(1, 100)).ok()
}
