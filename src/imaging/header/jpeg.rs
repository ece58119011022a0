//! JPEG: the markers of the whole file, without its entropy-coded data.

use super::{
    super::{
        Limits,
        error::Error,
        markers::{self, EOI, SOS, Segment},
    },
    Found, Profile, exif, xmp_has_gps,
};

const DQT: u8 = 0xdb;
/// The frame of another standard, ITU-T T.87.
const JPEG_LS: u8 = 0xf7;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;

/// Sum of the standard table of brightness at quality 50.
const STANDARD_LUMA_SUM: u32 = 3_688;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let mut found = Found::of_size(0, 0);
    found.scans = 0;
    found.complete = false;
    let mut walk = Walk {
        found,
        framed: false,
        components: 0,
        samples: 0,
        separate: false,
        arithmetic: false,
        listed: 0,
        icc: Vec::new(),
    };
    for segment in markers::segments(bytes) {
        walk.take(&segment, limits)?;
    }
    walk.finish()
}

struct Walk<'a> {
    found: Found,
    framed: bool,
    /// Of the frame.
    components: u8,
    /// Of all components, for 100 pixels.
    samples: u64,
    /// Whether a sequential file has a scan for each component.
    separate: bool,
    arithmetic: bool,
    /// Components of all scans.
    listed: u32,
    icc: Vec<(u8, &'a [u8])>,
}

impl<'a> Walk<'a> {
    fn take(&mut self, segment: &Segment<'a>, limits: &Limits) -> Result<(), Error> {
        let Segment { marker, content, .. } = *segment;
        match marker {
            EOI => self.found.complete = true,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => self.frame(marker, content)?,
            JPEG_LS => return Err(Error::Unsupported("image/jls")),
            SOS => {
                self.found.scans += 1;
                let components = content.first().copied().unwrap_or_default();
                self.listed += u32::from(components);
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
        if let ([bits, h1, h0, w1, w0, components, ..], false) = (content, self.framed) {
            self.found.width = u32::from(u16::from_be_bytes([*w1, *w0]));
            self.found.height = u32::from(u16::from_be_bytes([*h1, *h0]));
            self.found.progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
            self.components = *components;
            self.samples = samples(&content[6..]);
            self.arithmetic = marker == 0xc9;
            self.framed = true;
            if !matches!(marker, 0xc0..=0xc2 | 0xc9) {
                return Err(Error::Unsupported("image/jpeg of a rare process"));
            }
            if *bits == 12 {
                return Err(Error::Unsupported("image/jpeg of more than 8 bits"));
            }
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
        if self.separate && self.listed < u32::from(self.components) {
            return Err(Error::corrupt("components without a scan"));
        }
        if self.components == 1 {
            self.found.pixel.channels = 1;
        }
        self.found.rewritten = self.separate || self.arithmetic;
        if self.found.progressive || self.found.rewritten {
            let pixels = u64::from(self.found.width) * u64::from(self.found.height);
            self.found.decoder_bytes = pixels * self.samples / 100 * 2;
        }
        if self.components == 4 {
            // A sample more until they are converted.
            self.found.inks = true;
            self.found.decoder_bytes += u64::from(self.found.width) * u64::from(self.found.height);
        }
        if !self.icc.is_empty() {
            self.icc.sort_by_key(|(number, _)| *number);
            self.found.icc =
                Profile::Bytes(self.icc.iter().flat_map(|(_, part)| part.iter().copied()).collect());
        }
        Ok(self.found)
    }
}

/// Samples of all components for 100 pixels, by their factors.
fn samples(components: &[u8]) -> u64 {
    let factors =
        || components.chunks_exact(3).map(|part| (u64::from(part[1] >> 4), u64::from(part[1] & 15)));
    let most = factors().fold((1, 1), |most, factor| (most.0.max(factor.0), most.1.max(factor.1)));
    factors().map(|(across, down)| (100 * across * down).div_ceil(most.0 * most.1)).sum()
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
