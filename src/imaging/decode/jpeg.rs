//! JPEG → pixels. Files that the decoder does not read right are written anew for it.

use std::borrow::Cow;

use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{Decoded, judge_missing, repeat_last};
use crate::imaging::{
    Limits, coefficients,
    color::inks,
    error::Error,
    header::Header,
    markers,
    raster::{Raster, Samples},
};

/// Pixels across in a multiple of every minimum coded unit.
const PERIOD: usize = 32;

/// From here on a row is taken for paper, of which there is much below products, and not for a filling.
const PAPER: u8 = 250;

pub(super) fn decode(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let (jpeg, mut rows) = readable(original, header)?;
    judge_missing(rows, header.height, limits)?;

    let (mut samples, channels) = pixels(&jpeg, header, limits)?;
    let row_bytes = header.width as usize * usize::from(channels);
    if rows == header.height
        && samples.rchunks_exact(row_bytes).next().is_some_and(|last| is_filling(last, channels))
    {
        // The end marker is there, and yet data is missing before it.
        rows = coefficients::whole_rows(&jpeg)?;
        judge_missing(rows, header.height, limits)?;
    }
    if !header.progressive {
        // The decoder mixes the color of the last row with that of the next one, which is not there.
        repeat_last(&mut samples, rows.saturating_sub(u32::from(rows < header.height)), header.height);
    }
    if header.inks {
        samples = inks::to_srgb(samples, &header.colors);
    }
    let channels = if header.inks { 3 } else { channels };
    let (width, height) = (header.width, header.height);
    let raster = Raster { width, height, channels, samples: Samples::U8(samples) };
    Ok(Decoded { raster, missing_rows: rows < height, colors: None })
}

/// Whether a row repeats itself, as it does where the decoder goes on without data: it may also be a picture.
fn is_filling(row: &[u8], channels: u8) -> bool {
    let period = (PERIOD * usize::from(channels)).min(row.len());
    row.iter().zip(&row[period..]).all(|(left, right)| left == right) && row.iter().any(|s| *s < PAPER)
}

/// The file, or one with the same picture that the decoder reads, and how many rows from the top are there.
fn readable<'a>(original: &'a [u8], header: &Header) -> Result<(Cow<'a, [u8]>, u32), Error> {
    if header.rewritten {
        let (jpeg, rows) = coefficients::rewritten(original)?;
        return Ok((jpeg.into(), rows));
    }
    let rows = if header.complete { header.height } else { coefficients::whole_rows(original)? };
    let jpeg = markers::without_oddities(original).map_or(Cow::Borrowed(original), Cow::Owned);
    Ok((jpeg, rows))
}

/// Samples, and how many make a pixel.
fn pixels(jpeg: &[u8], header: &Header, limits: &Limits) -> Result<(Vec<u8>, u8), Error> {
    let side = limits.max_side as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(header.scans as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(jpeg_error)?;
    if !reads_the_same(&decoder, header) {
        return Err(Error::corrupt("a jpeg that can be read in two ways"));
    }
    let found = decoder.input_colorspace();
    let (space, channels) = match found {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        Some(space @ (ColorSpace::CMYK | ColorSpace::YCCK)) if header.inks => (space, 4),
        _ if header.inks => return Err(Error::corrupt("four colors that are no inks")),
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let mut samples = decoder.decode().map_err(jpeg_error)?;
    match found {
        Some(ColorSpace::YCCK) => samples.chunks_exact_mut(4).for_each(separate),
        // Adobe writes paper, not ink.
        Some(ColorSpace::CMYK) if is_by_adobe(jpeg) => samples.iter_mut().for_each(|ink| *ink = 255 - *ink),
        _ => {}
    }
    Ok((samples, channels))
}

fn is_by_adobe(jpeg: &[u8]) -> bool {
    const APP14: u8 = 0xee;
    markers::segments(jpeg).any(|segment| segment.marker == APP14 && segment.content.starts_with(b"Adobe"))
}

/// Brightness, two colors and black, of paper → inks: what would be red is as much as there is of cyan.
fn separate(pixel: &mut [u8]) {
    let [y, cb, cr] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let inks = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    pixel[..3].iter_mut().zip(inks).for_each(|(sample, ink)| *sample = (ink + 0.5) as u8);
    pixel[3] = 255 - pixel[3];
}

/// Whether the decoder found the frame that the limits and the memory were judged by: a file can hide another one from
/// either reader.
fn reads_the_same(decoder: &JpegDecoder<ZCursor<&[u8]>>, header: &Header) -> bool {
    decoder.info().is_some_and(|info| {
        (u32::from(info.width), u32::from(info.height)) == (header.width, header.height)
            && info.sof.is_progressive() == header.progressive
            && (info.components == 1) == (header.pixel.channels == 1)
    })
}

fn jpeg_error(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::ExhaustedData => Error::truncated("the pixels end too early"),
        other => Error::corrupt(other),
    }
}
