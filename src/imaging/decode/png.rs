//! PNG → pixels, row by row: the rows before a cut are kept, and nothing behind the last one is inflated.

use std::io::Cursor;

use png::{DecodingError, InterlaceInfo, Reader};

use super::{Decoded, check_announced, judge_missing, repeat_last};
use crate::imaging::{
    Limits,
    error::Error,
    header::Header,
    raster::{Raster, Samples},
};

pub(super) fn decode(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let mut decoder = png::Decoder::new(Cursor::new(original));
    decoder.set_limits(png::Limits { bytes: 64 << 20 });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(png_error)?;
    let (color, depth) = reader.output_color_type();
    let size = reader.output_buffer_size().ok_or_else(|| Error::corrupt("a png without a size"))?;
    let (width, height) = (reader.info().width, reader.info().height);
    check_announced((header.width, header.height), header, (width, height), size as u64)?;
    let mut bytes = vec![0; size];
    let rows = if reader.info().interlaced {
        read_passes(&mut reader, &mut bytes, height)?
    } else {
        let rows = read_rows(&mut reader, &mut bytes, height)?;
        repeat_last(&mut bytes, rows, height);
        rows
    };
    judge_missing(rows, height, limits)?;
    let channels = u8::try_from(color.samples()).expect("1 to 4");
    let samples = match depth {
        png::BitDepth::Sixteen => {
            Samples::U16(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        _ => Samples::U8(bytes),
    };
    let raster = Raster { width, height, channels, samples };
    Ok(Decoded { raster, missing_rows: rows < height, colors: None })
}

/// Fills the rows; how many from the top were there.
fn read_rows(reader: &mut Reader<Cursor<&[u8]>>, bytes: &mut [u8], height: u32) -> Result<u32, Error> {
    let row_bytes = bytes.len() / height as usize;
    for (y, row) in (0..height).zip(bytes.chunks_exact_mut(row_bytes)) {
        match reader.read_row(row) {
            Ok(Some(_)) => {}
            Ok(None) | Err(DecodingError::IoError(_)) => return Ok(y),
            Err(error) => return Err(png_error(error)),
        }
    }
    Ok(height)
}

/// Rows of each pass but the last: columns to the left of it, and its distance and offset in rows.
const PASSES: [(u32, u32, u32); 6] = [(0, 8, 0), (4, 8, 0), (0, 8, 4), (2, 4, 0), (0, 4, 2), (1, 2, 0)];

/// Fills the picture pass by pass, a pixel's neighbours with it until their own pass comes; how many rows from the top
/// were there. Every second row comes in the last pass alone: before it no more than none is whole.
fn read_passes(reader: &mut Reader<Cursor<&[u8]>>, bytes: &mut [u8], height: u32) -> Result<u32, Error> {
    let row_bytes = bytes.len() / height as usize;
    let (color, depth) = reader.output_color_type();
    let bits = u8::try_from(color.samples()).expect("1 to 4") * depth as u8;
    let width = reader.info().width;
    let passes = PASSES.iter().filter(|(left, _, _)| *left < width);
    let earlier: u32 =
        passes.map(|(_, distance, offset)| height.saturating_sub(*offset).div_ceil(*distance)).sum();
    let mut read: u32 = 0;
    loop {
        match reader.next_interlaced_row() {
            Ok(Some(row)) => {
                let InterlaceInfo::Adam7(pass) = row.interlace() else {
                    return Err(Error::corrupt("a row of no pass"));
                };
                png::splat_interlaced_row(bytes, row_bytes, row.data(), pass, bits);
                read += 1;
            }
            Ok(None) => return Ok(height),
            Err(DecodingError::IoError(_)) => {
                return Ok(read.checked_sub(earlier).map_or(0, |last| (2 * last + 1).min(height)));
            }
            Err(error) => return Err(png_error(error)),
        }
    }
}

fn png_error(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(_) => Error::truncated("the pixels end too early"),
        DecodingError::LimitsExceeded => Error::TooComplex("the png decoder's memory".into()),
        other => Error::corrupt(other),
    }
}
