//! Bytes → pixels, with the decoders on the list and no other.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder, webp::WebPDecoder},
};
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

use super::{
    Limits,
    error::Error,
    header::Header,
    limits::check_decoded,
    raster::{Raster, Samples},
    sniff::Format,
};

/// A decoded picture.
pub(super) struct Decoded {
    pub raster: Raster,
    /// Some of the last rows were not in the file, fewer than matter.
    pub missing_rows: bool,
}

pub(super) fn decode(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let bytes = Cursor::new(original);
    let raster = match header.format {
        Format::Jpeg => return jpeg(original, header, limits),
        Format::Png => return png(original, limits),
        Format::WebP => by_image(WebPDecoder::new(bytes), header),
        Format::Gif => by_image(GifDecoder::new(bytes), header),
        Format::Bmp => by_image(BmpDecoder::new(bytes), header),
        Format::Tiff => by_image(TiffDecoder::new(bytes), header),
    }?;
    let raster = if header.premultiplied { raster.divided_by_alpha() } else { raster };
    Ok(Decoded { raster, missing_rows: false })
}

fn by_image(decoder: Result<impl ImageDecoder, ImageError>, header: &Header) -> Result<Raster, Error> {
    let failed = |error| by_image_error(error, header.format);
    let mut decoder = decoder.map_err(failed)?;
    check_decoded(decoder.total_bytes())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(decoder.total_bytes().saturating_mul(2).max(64 << 20));
    decoder.set_limits(limits).map_err(failed)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Raster::from_image(decoded)
}

fn by_image_error(error: ImageError, format: Format) -> Error {
    match error {
        ImageError::IoError(_) => Error::truncated("the pixels end too early"),
        ImageError::Unsupported(_) => Error::Unsupported(format.media_type()),
        ImageError::Limits(error) => Error::TooComplex(error.to_string()),
        other => Error::corrupt(other),
    }
}

fn jpeg(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let side = |px: u32| px as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(side(limits.max_side))
        .set_max_height(side(limits.max_side))
        .jpeg_set_max_scans(limits.max_jpeg_scans as usize);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(original), options);
    decoder.decode_headers().map_err(jpeg_error)?;
    let space = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let samples = decoder.decode().map_err(jpeg_error)?;
    let channels: u8 = if space == ColorSpace::Luma { 1 } else { 3 };
    let missing = if header.complete {
        0
    } else {
        missing_rows(&samples, header.width as usize * usize::from(channels))
    };
    judge_missing(missing, header.height, limits)?;
    let raster =
        Raster { width: header.width, height: header.height, channels, samples: Samples::U8(samples) };
    Ok(Decoded { raster, missing_rows: missing > 0 })
}

/// Rows at the end that the decoder made up: one color, as nothing was left to read. Fewer than a block are none.
fn missing_rows(samples: &[u8], row_bytes: usize) -> u32 {
    const BLOCK: usize = 16;
    let mut rows = samples.chunks_exact(row_bytes).rev();
    let Some(last) = rows.next() else { return 0 };
    let same = 1 + rows.take_while(|row| *row == last).count();
    if same <= BLOCK { 0 } else { u32::try_from(same).unwrap_or(u32::MAX) }
}

fn judge_missing(missing: u32, height: u32, limits: &Limits) -> Result<(), Error> {
    let kept = 1.0 - f64::from(missing) / f64::from(height);
    if kept < f64::from(limits.min_decoded_fraction) {
        return Err(Error::truncated(format!("{:.0} % of the rows are there", kept * 100.0)));
    }
    Ok(())
}

fn jpeg_error(error: zune_jpeg::errors::DecodeErrors) -> Error {
    match error {
        zune_jpeg::errors::DecodeErrors::ExhaustedData => Error::truncated("the pixels end too early"),
        other => Error::corrupt(other),
    }
}

/// Row by row, so that the rows before a cut are kept and nothing behind the last one is inflated.
fn png(original: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let mut decoder = png::Decoder::new(Cursor::new(original));
    decoder.set_limits(png::Limits { bytes: 64 << 20 });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(png_error)?;
    let (color, depth) = reader.output_color_type();
    let size = reader.output_buffer_size().ok_or_else(|| Error::corrupt("a png without a size"))?;
    check_decoded(size as u64)?;
    let (width, height) = (reader.info().width, reader.info().height);
    let mut bytes = vec![0; size];
    let missing = if reader.info().interlaced {
        reader.next_frame(&mut bytes).map_err(png_error)?;
        0
    } else {
        read_rows(&mut reader, &mut bytes, size / height as usize)?
    };
    judge_missing(missing, height, limits)?;
    let channels = u8::try_from(color.samples()).expect("1 to 4");
    let samples = match depth {
        png::BitDepth::Sixteen => {
            Samples::U16(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        _ => Samples::U8(bytes),
    };
    Ok(Decoded { raster: Raster { width, height, channels, samples }, missing_rows: missing > 0 })
}

/// Fills the rows; how many at the end were not there.
fn read_rows(
    reader: &mut png::Reader<Cursor<&[u8]>>,
    bytes: &mut [u8],
    row_bytes: usize,
) -> Result<u32, Error> {
    let mut rows = bytes.chunks_exact_mut(row_bytes);
    while let Some(row) = rows.next() {
        match reader.read_row(row) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(u32::try_from(rows.len() + 1).unwrap_or(u32::MAX)),
            Err(png::DecodingError::IoError(_)) => {
                return Ok(u32::try_from(rows.len() + 1).unwrap_or(u32::MAX));
            }
            Err(error) => return Err(png_error(error)),
        }
    }
    Ok(0)
}

fn png_error(error: png::DecodingError) -> Error {
    match error {
        png::DecodingError::IoError(_) => Error::truncated("the pixels end too early"),
        png::DecodingError::LimitsExceeded => Error::TooComplex("the png decoder's memory".into()),
        other => Error::corrupt(other),
    }
}
