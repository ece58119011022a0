//! TIFF → pixels. Palettes, grey of two or four bits, inks and YCbCr are unknown to the decoder: it is shown the same file with
//! other words in its directory, and what it makes of them is converted here.

use std::{borrow::Cow, io::Cursor};

use image::codecs::tiff::TiffDecoder;

use super::by_image;
use crate::imaging::{
    color::inks,
    error::Error,
    header::{Header, tiff::Directory},
    raster::{Raster, Samples, to_8_bit},
};

const WIDTH: u16 = 256;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const SAMPLES: u16 = 277;
const PLANAR: u16 = 284;
const PREDICTOR: u16 = 317;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const EXTRA_SAMPLES: u16 = 338;
const SUBSAMPLING: u16 = 530;

/// Values of COMPRESSION.
const FAX: std::ops::RangeInclusive<u64> = 2..=4;
const JPEG: u64 = 7;

/// Value of PLANAR.
const SEPARATE: u64 = 2;

/// Values of PHOTOMETRIC.
const BLACK_IS_ZERO: u32 = 1;
const RGB: u32 = 2;
const PALETTE: u64 = 3;
const YCBCR: u64 = 6;

pub(super) fn decode(original: &[u8], header: &Header) -> Result<Raster, Error> {
    let decoded = |bytes: &[u8], width| by_image(TiffDecoder::new(Cursor::new(bytes)), header, width);
    let file = File { bytes: Cow::Borrowed(original) };
    let photometric = file.number(PHOTOMETRIC).unwrap_or_default();
    let bits = file.number(BITS).unwrap_or(1);
    let packed_width = (u64::from(header.width) * bits).div_ceil(8) as u32;
    match (photometric, bits) {
        (PALETTE, _) => {
            let colors = file.colors(bits).ok_or_else(|| Error::corrupt("a palette of another size"))?;
            let shown = file.with(PHOTOMETRIC, BLACK_IS_ZERO).packed(bits)?;
            let indices = decoded(&shown.bytes, packed_width)?;
            let indices = unpacked(indices, bits, header.width)?;
            let samples = indices.iter().flat_map(|index| colors[usize::from(*index)]).collect();
            Ok(raster(header, 3, samples))
        }
        (0 | 1, 2 | 4) => {
            let levels = decoded(&file.packed(bits)?.bytes, packed_width)?;
            let full = (1 << bits) - 1;
            let levels = unpacked(levels, bits, header.width)?;
            Ok(raster(header, 1, levels.iter().map(|level| level * (255 / full)).collect()))
        }
        (YCBCR, _) => {
            if file.number(COMPRESSION) != Some(JPEG) && file.pair(SUBSAMPLING) != Some([1, 1]) {
                return Err(Error::Unsupported("image/tiff with fewer samples of color"));
            }
            Ok(from_ycbcr(decoded(&file.with(PHOTOMETRIC, RGB).bytes, header.width)?))
        }
        _ if header.inks => {
            let shown = decoded(&file.with(PHOTOMETRIC, RGB).bytes, header.width)?.into_8_bit();
            Ok(raster(header, 3, inks::to_srgb(shown.samples, &header.colors)))
        }
        _ if file.has_planes_of_tiles() => {
            let channels = header.pixel.channels as usize;
            let planes =
                (0..channels).map(|plane| decoded(&file.plane(plane, channels)?.bytes, header.width));
            joined(planes.collect::<Result<_, _>>()?)
        }
        _ => decoded(original, header.width),
    }
}

/// A file whose directory is read, and changed in a copy.
struct File<'a> {
    bytes: Cow<'a, [u8]>,
}

impl File<'_> {
    fn number(&self, tag: u16) -> Option<u64> {
        let directory = Directory::first(&self.bytes)?;
        directory.number(&directory.entry(tag)?)
    }

    /// Two small numbers that stand in the entry itself, one after the other.
    fn pair(&self, tag: u16) -> Option<[u16; 2]> {
        let directory = Directory::first(&self.bytes)?;
        directory.pair(&directory.entry(tag)?)
    }

    /// Red, green and blue of each index.
    fn colors(&self, bits: u64) -> Option<Vec<[u8; 3]>> {
        let count = 1_usize.checked_shl(u32::try_from(bits).ok()?).filter(|count| *count <= 256)?;
        let directory = Directory::first(&self.bytes)?;
        let map = directory.shorts(&directory.entry(COLOR_MAP)?)?;
        // Some writers take 255 for full, instead of 65,535.
        let small = map.iter().all(|value| *value < 256);
        let sample = |value: u16| if small { value as u8 } else { to_8_bit(value) };
        let channels: Vec<&[u16]> = map.chunks_exact(count).collect();
        let [red, green, blue] = channels.as_slice() else { return None };
        Some((0..count).map(|index| [red[index], green[index], blue[index]].map(sample)).collect())
    }

    /// Whether each channel has tiles of its own.
    fn has_planes_of_tiles(&self) -> bool {
        self.number(PLANAR) == Some(SEPARATE) && self.number(TILE_WIDTH).is_some()
    }

    /// A grey picture of the tiles of one of so many channels: of all but the first the decoder does not know where they end.
    fn plane(&self, plane: usize, channels: usize) -> Result<File<'static>, Error> {
        let edits = || {
            let directory = Directory::first(&self.bytes)?;
            let part = |tag, first, count| directory.part(&directory.entry(tag)?, first, count);
            let tiles = usize::try_from(directory.entry(TILE_OFFSETS)?.count).ok()? / channels;
            let extra = directory.entry(EXTRA_SAMPLES).map(|extra| directory.unnamed(&extra));
            let parts = [
                part(BITS, 0, 1)?,
                part(TILE_OFFSETS, plane * tiles, tiles)?,
                part(TILE_BYTES, plane * tiles, tiles)?,
            ];
            Some(parts.into_iter().chain(extra).collect::<Vec<_>>())
        };
        let edits = edits().ok_or_else(|| Error::corrupt("tiles that are not there"))?;
        let file = File { bytes: self.bytes.to_vec().into() };
        Ok(file.edited(edits).with(SAMPLES, 1).with(PHOTOMETRIC, BLACK_IS_ZERO))
    }

    /// The same with another number in an entry of the directory that has one.
    fn with(self, tag: u16, value: u32) -> Self {
        let place =
            Directory::first(&self.bytes).and_then(|first| Some(first.place(&first.entry(tag)?, value)));
        self.edited(place)
    }

    /// The same with other bytes at some places.
    fn edited(self, edits: impl IntoIterator<Item = (usize, Vec<u8>)>) -> Self {
        let mut bytes = self.bytes.into_owned();
        for (at, value) in edits {
            bytes[at..at + value.len()].copy_from_slice(&value);
        }
        File { bytes: bytes.into() }
    }

    /// The same with every byte for one sample, however many are in it.
    fn packed(self, bits: u64) -> Result<Self, Error> {
        let plain = self.number(PREDICTOR).unwrap_or(1) == 1
            && !self.number(COMPRESSION).is_some_and(|kind| FAX.contains(&kind) || kind == JPEG);
        let bytes = |tag: u16| self.number(tag).map(|width| (width * bits).div_ceil(8));
        match (bits, bytes(WIDTH), bytes(TILE_WIDTH)) {
            (8, ..) => Ok(self),
            (1 | 2 | 4, Some(width), tile_width) if plain => {
                let (width, tile_width) = (width as u32, tile_width.unwrap_or_default() as u32);
                Ok(self.with(BITS, 8).with(WIDTH, width).with(TILE_WIDTH, tile_width))
            }
            _ => Err(Error::Unsupported("image/tiff of rare depth")),
        }
    }
}

/// One picture of grey ones, each a channel of it.
fn joined(planes: Vec<Raster>) -> Result<Raster, Error> {
    fn interleaved<S: Copy>(planes: &[Vec<S>]) -> Vec<S> {
        let pixels = planes.iter().map(Vec::len).min().unwrap_or_default();
        (0..pixels).flat_map(|at| planes.iter().map(move |plane| plane[at])).collect()
    }
    let Some(&Raster { width, height, .. }) = planes.first() else {
        return Err(Error::corrupt("a picture without channels"));
    };
    let channels = u8::try_from(planes.len()).expect("at most 4");
    let (mut shallow, mut deep) = (Vec::new(), Vec::new());
    for plane in planes {
        match plane.samples {
            Samples::U8(samples) => shallow.push(samples),
            Samples::U16(samples) => deep.push(samples),
        }
    }
    let samples = match (shallow.is_empty(), deep.is_empty()) {
        (false, true) => Samples::U8(interleaved(&shallow)),
        (true, false) => Samples::U16(interleaved(&deep)),
        _ => return Err(Error::corrupt("channels of several depths")),
    };
    Ok(Raster { width, height, channels, samples })
}

/// Samples of fewer bits, from bytes that hold several of them.
fn unpacked(packed: Raster, bits: u64, width: u32) -> Result<Vec<u8>, Error> {
    let (Samples::U8(bytes), 1) = (packed.samples, packed.channels) else {
        return Err(Error::corrupt("indices of more than one channel"));
    };
    if bits == 8 {
        return Ok(bytes);
    }
    let (bits, row_bytes) = (bits as u32, packed.width as usize);
    let per_byte = 8 / bits;
    let row = |row: &[u8]| -> Vec<u8> {
        let samples = row.iter().flat_map(|byte| (1..=per_byte).map(move |i| byte >> (8 - i * bits)));
        samples.map(|sample| sample & ((1 << bits) - 1)).take(width as usize).collect()
    };
    Ok(bytes.chunks_exact(row_bytes).flat_map(row).collect())
}

fn raster(header: &Header, channels: u8, samples: Vec<u8>) -> Raster {
    Raster { width: header.width, height: header.height, channels, samples: Samples::U8(samples) }
}

/// ITU-R BT.601, full range, as in JPEG.
fn from_ycbcr(mut raster: Raster) -> Raster {
    if let Samples::U8(samples) = &mut raster.samples {
        for pixel in samples.chunks_exact_mut(3) {
            let [y, cb, cr] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
            let (cb, cr) = (cb - 128.0, cr - 128.0);
            let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
            // The cast rounds towards zero, and keeps to the range.
            pixel.copy_from_slice(&rgb.map(|sample| (sample + 0.5) as u8));
        }
    }
    raster
}
