//! The two things that EXIF is asked: how the camera was held, and whether it told where.

use super::{super::orient::Orientation, tiff::Directory};

const ORIENTATION: u16 = 0x0112;
const GPS: u16 = 0x8825;
const SHORT: u16 = 3;

/// What EXIF says.
#[derive(Debug, Default)]
pub(super) struct Exif {
    pub orientation: Option<Orientation>,
    pub had_gps: bool,
    /// Something in it is impossible.
    pub invalid: bool,
}

/// Reads EXIF, with or without the `Exif\0\0` before it.
pub(super) fn parse(bytes: &[u8]) -> Exif {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    match Directory::first(bytes) {
        Some(first) => from_directory(bytes, &first),
        None => Exif { invalid: true, ..Exif::default() },
    }
}

/// Reads the first directory of EXIF or of a TIFF.
pub(super) fn from_directory(bytes: &[u8], first: &Directory<'_>) -> Exif {
    let mut exif = Exif { invalid: first.is_broken() || first.loops(), ..Exif::default() };
    if let Some(entry) = first.entry(ORIENTATION) {
        exif.orientation = match (entry.kind, entry.count, first.number(&entry)) {
            (SHORT, 1, Some(value)) => u32::try_from(value).ok().and_then(Orientation::new),
            _ => None,
        };
        exif.invalid |= exif.orientation.is_none();
    }
    if let Some(entry) = first.entry(GPS) {
        match first.number(&entry).and_then(|offset| Directory::at(bytes, offset)) {
            Some(gps) => exif.had_gps = gps.entries > 0,
            None => exif.invalid = true,
        }
    }
    exif
}
