//! Bytes → pixels, with the decoders on the list and no other.

pub(super) mod heif;
mod jpeg;
mod png;
mod tiff;
pub(super) mod vp8;

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, webp::WebPDecoder},
};

use super::{
    Limits,
    error::Error,
    header::{Header, colors::Colors, webp},
    limits::check_decoded,
    raster::Raster,
    sniff::Format,
};

/// A decoded picture.
pub(super) struct Decoded {
    pub raster: Raster,
    /// Some of the last rows were not in the file, fewer than matter.
    pub missing_rows: bool,
    /// What the pixels' own code says of their colors, where the header is silent.
    pub colors: Option<Colors>,
}

pub(super) fn decode(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let bytes = Cursor::new(original);
    let mut decoded = match header.format {
        Format::Jpeg => jpeg::decode(original, header, limits),
        Format::Png => png::decode(original, header, limits),
        Format::Heic | Format::Avif => heif::decode(original, header, limits),
        Format::WebP if let Some(vp8) = webp::lone_vp8(original) => vp8::decode(vp8, header, limits),
        Format::WebP => by_image(WebPDecoder::new(bytes), header, header.width).map(Decoded::whole),
        Format::Gif => by_image(GifDecoder::new(bytes), header, header.width).map(Decoded::whole),
        Format::Bmp => by_image(BmpDecoder::new(bytes), header, header.width).map(Decoded::whole),
        Format::Tiff => tiff::decode(original, header).map(Decoded::whole),
    }?;
    if header.premultiplied {
        decoded.raster = decoded.raster.divided_by_alpha();
    }
    Ok(decoded)
}

impl Decoded {
    /// A picture of which nothing is missing, and whose header says all.
    fn whole(raster: Raster) -> Self {
        Self { raster, missing_rows: false, colors: None }
    }
}

/// `width` is what the decoder is to find, which is shown some files as narrower than they are.
fn by_image(
    decoder: Result<impl ImageDecoder, ImageError>,
    header: &Header,
    width: u32,
) -> Result<Raster, Error> {
    let failed = |error| by_image_error(error, header.format);
    let mut decoder = decoder.map_err(failed)?;
    check_announced((width, header.height), header, decoder.dimensions(), decoder.total_bytes())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(decoder.total_bytes().saturating_mul(2).max(64 << 20));
    decoder.set_limits(limits).map_err(failed)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Raster::from_image(decoded)
}

/// Refuses what a decoder reads otherwise than the header by which limits and memory were judged.
fn check_announced(
    announced: (u32, u32),
    header: &Header,
    found: (u32, u32),
    bytes: u64,
) -> Result<(), Error> {
    let pixels = u64::from(announced.0) * u64::from(announced.1);
    if found != announced || bytes > pixels * header.pixel.size() {
        return Err(Error::corrupt("a header that can be read in two ways"));
    }
    check_decoded(bytes)
}

fn by_image_error(error: ImageError, format: Format) -> Error {
    match error {
        ImageError::IoError(_) => Error::truncated("the pixels end too early"),
        ImageError::Unsupported(_) => Error::Unsupported(format.media_type()),
        ImageError::Limits(error) => Error::TooComplex(error.to_string()),
        other => Error::corrupt(other),
    }
}

/// Refuses a picture of which too few rows are there.
fn judge_missing(rows: u32, height: u32, limits: &Limits) -> Result<(), Error> {
    let kept = f64::from(rows) / f64::from(height);
    // As the limit is written: 0.98 in 64 bits is less than 0.98 in 32.
    if (kept as f32) < limits.min_decoded_fraction {
        return Err(Error::truncated(format!("{:.1} % of the rows are there", kept * 100.0)));
    }
    Ok(())
}

/// Fills what is missing below the first `rows` with the last of them.
fn repeat_last(samples: &mut [u8], rows: u32, height: u32) {
    if rows == 0 || rows >= height {
        return;
    }
    let row_bytes = samples.len() / height as usize;
    let (there, missing) = samples.split_at_mut(rows as usize * row_bytes);
    let last = &there[there.len() - row_bytes..];
    missing.chunks_exact_mut(row_bytes).for_each(|row| row.copy_from_slice(last));
}
