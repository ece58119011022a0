//! Lossy WebP → pixels, by libwebp in a quarter of the time that `image-webp` takes: decision 0026.
//!
//! libwebp is given the bare VP8 of a still picture and nothing else: no container, no alpha, no lossless picture reaches
//! its C.

use std::ptr;

use libwebp_sys::{
    VP8StatusCode as Status, WEBP_CSP_MODE, WebPIDecGetRGB, WebPIDelete, WebPINewRGB, WebPIUpdate,
};

use super::{Decoded, judge_missing, repeat_last};
use crate::imaging::{
    Limits,
    error::Error,
    header::Header,
    limits::check_decoded,
    raster::{Raster, Samples},
};

/// What reads them.
pub(in crate::imaging) const LIBRARY: &str = "libwebp-sys";

const CHANNELS: u8 = 3;

/// Bytes before the first partition of a key frame.
const FRAME_HEADER: usize = 10;

pub(super) fn decode(vp8: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let (width, height) = (header.width, header.height);
    let size = u64::from(width) * u64::from(height) * u64::from(CHANNELS);
    check_decoded(size)?;
    if !has_first_partition(vp8) {
        return Err(Error::truncated("the pixels end before the first of them"));
    }
    let mut samples = vec![0; usize::try_from(size).expect("400 MB at most")];
    let rows = read_rows(vp8, &mut samples, width)?;
    judge_missing(rows, height, limits)?;
    repeat_last(&mut samples, rows, height);
    let raster = Raster { width, height, channels: CHANNELS, samples: Samples::U8(samples) };
    Ok(Decoded { raster, missing_rows: rows < height, colors: None })
}

/// Whether all is there that comes before the first pixels: libwebp takes a part of it for damage. RFC 6386, 9.1.
fn has_first_partition(vp8: &[u8]) -> bool {
    vp8.first_chunk().is_some_and(|&[a, b, c]| {
        let length = u32::from_le_bytes([a, b, c, 0]) >> 5;
        vp8.len() > FRAME_HEADER + length as usize
    })
}

/// Fills the rows; how many from the top were there.
fn read_rows(vp8: &[u8], rgb: &mut [u8], width: u32) -> Result<u32, Error> {
    let stride = i32::try_from(width * u32::from(CHANNELS)).expect("three times 14 bits");
    let mut rows = 0;
    // SAFETY: both slices outlive the decoder, which is told their lengths and refuses a picture that needs more room. It
    // is deleted once, and not used afterwards; where a pointer is null, nothing is written.
    let status = unsafe {
        let decoder = WebPINewRGB(WEBP_CSP_MODE::MODE_RGB, rgb.as_mut_ptr(), rgb.len(), stride);
        if decoder.is_null() {
            return Err(out_of_memory());
        }
        let status = WebPIUpdate(decoder, vp8.as_ptr(), vp8.len());
        WebPIDecGetRGB(decoder, &raw mut rows, ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        WebPIDelete(decoder);
        status
    };
    match status {
        Status::VP8_STATUS_OK | Status::VP8_STATUS_SUSPENDED | Status::VP8_STATUS_NOT_ENOUGH_DATA => {
            Ok(u32::try_from(rows).unwrap_or(0))
        }
        Status::VP8_STATUS_OUT_OF_MEMORY => Err(out_of_memory()),
        other => Err(Error::corrupt(format!("libwebp says {other:?}"))),
    }
}

fn out_of_memory() -> Error {
    Error::TooComplex("the webp decoder's memory".into())
}
