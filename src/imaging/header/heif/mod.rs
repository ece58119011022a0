//! HEIF, which HEIC and AVIF are kinds of: boxes, items in them, and the picture that is meant.

pub(in crate::imaging) mod boxes;
mod items;
pub(in crate::imaging) mod picture;
mod shape;

use boxes::boxes;
use picture::{Codec, Layer, Picture};

use super::{
    super::{Limits, error::Error},
    Found, Pixel, Profile,
    colors::Colors,
    exif, xmp_has_gps,
};

/// Bytes for each sample of a tile while it is decoded, and for each byte that it is coded in; measured, see `memory`.
const HEVC_SAMPLE: u64 = 5;
const HEVC_BYTE: u64 = 3;
const AV1_SAMPLE: u64 = 3;
const AV1_BYTE: u64 = 1;

/// Most frames of AV1 that are held at once: one for each place to refer to.
const AV1_HELD: u32 = 8;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let picture = Picture::read(bytes, limits)?;
    let shape = picture.shape;
    let mut found = Found::of_size(shape.width, shape.height);
    found.pixel = pixel(&picture);
    found.decoder_bytes = decoder_bytes(&picture);
    found.premultiplied = picture.premultiplied;
    found.frames = picture.frames;
    found.animated = picture.frames > 1;
    found.icc = picture.icc.map_or(Profile::None, |icc| Profile::Bytes(icc.to_vec()));
    found.colors = picture.color.meaning.and_then(|meaning| meaning.colors());
    take_metadata(&mut found, &picture, limits)?;
    // How EXIF turns a picture does not count here.
    let exif = found.exif.get_or_insert_default();
    exif.orientation = Some(shape.orientation());
    Ok(found)
}

/// The box that describes pictures, if the file has it. What is cut off behind it is missed where it is needed.
fn meta(file: &[u8]) -> Result<Option<&[u8]>, Error> {
    for found in boxes(file) {
        let found = found?;
        if found.name == *b"meta" {
            return Ok(Some(found.content));
        }
    }
    Ok(None)
}

fn pixel(picture: &Picture<'_>) -> Pixel {
    let channels = match (picture.color.samples.grey && picture.has_grey_profile(), &picture.alpha) {
        (true, None) => 1,
        (true, Some(_)) => 2,
        (false, None) => 3,
        (false, Some(_)) => 4,
    };
    Pixel { channels, bytes: if picture.color.samples.bits > 8 { 2 } else { 1 } }
}

/// The greediest tile, and alpha before it is put beside the colors.
fn decoder_bytes(picture: &Picture<'_>) -> u64 {
    let depth = if picture.color.samples.bits > 8 { 2 } else { 1 };
    let tile = |layer: &Layer<'_>| {
        let pixels = u64::from(layer.tile.0) * u64::from(layer.tile.1);
        let samples = pixels * u64::from(layer.samples.quarters) / 4;
        let lengths = layer.tiles.iter().filter_map(|tile| picture.items.length(tile.id).ok());
        let longest = lengths.max().unwrap_or_default();
        match layer.tiles[0].codec {
            Codec::Hevc => samples * HEVC_SAMPLE + longest * HEVC_BYTE,
            Codec::Av1 => {
                let held = u64::from(layer.frames.clamp(1, AV1_HELD));
                samples * AV1_SAMPLE * depth * held + longest * AV1_BYTE
            }
        }
    };
    let alpha = |layer: &Layer<'_>| tile(layer) + u64::from(layer.width) * u64::from(layer.height) * depth;
    tile(&picture.color).max(picture.alpha.as_ref().map_or(0, alpha))
}

/// EXIF and XMP of any picture in the file: what one of them tells, the file tells.
fn take_metadata(found: &mut Found, picture: &Picture<'_>, limits: &Limits) -> Result<(), Error> {
    const XMP: &[u8] = b"application/rdf+xml";
    for (id, item) in picture.items.all() {
        let is_xmp = item.kind == *b"mime" && item.content_type == XMP;
        if item.kind != *b"Exif" && !is_xmp {
            continue;
        }
        let length = picture.items.length(id).unwrap_or_default();
        found.metadata.add(usize::try_from(length).unwrap_or(usize::MAX), limits)?;
        let Ok(data) = picture.items.data(id) else {
            found.exif.get_or_insert_default().invalid = true;
            continue;
        };
        if is_xmp {
            found.xmp_gps |= xmp_has_gps(&data);
        } else {
            let read = exif::parse(behind_offset(&data));
            let exif = found.exif.get_or_insert_default();
            exif.had_gps |= read.had_gps;
            exif.invalid |= read.invalid;
        }
    }
    Ok(())
}

/// EXIF in an item follows the number of bytes before it.
fn behind_offset(data: &[u8]) -> &[u8] {
    let offset = super::reader::big(data).u32(0).and_then(|offset| usize::try_from(offset).ok());
    offset.and_then(|offset| data.get(offset.checked_add(4)?..)).unwrap_or_default()
}

impl picture::CodePoints {
    /// What the colors are, if it is said. Curves of film are taken for that of sRGB, as everyone does who shows them.
    pub(in crate::imaging) fn colors(&self) -> Option<Colors> {
        const NOT_SAID: u16 = 2;
        const SRGB: (u8, u8) = (1, 13);
        if (self.primaries, self.transfer) == (NOT_SAID, NOT_SAID) {
            return None;
        }
        let primaries = match u8::try_from(self.primaries) {
            Ok(2) | Err(_) => SRGB.0,
            Ok(primaries) => primaries,
        };
        let transfer = match u8::try_from(self.transfer) {
            Ok(1 | 2 | 6 | 14 | 15) | Err(_) => SRGB.1,
            Ok(transfer) => transfer,
        };
        Some(Colors::of_code_points(primaries, transfer))
    }
}
