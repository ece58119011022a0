//! What a header may announce, before anything is allocated for it.

use super::{Limits, error::Error};

/// Below this both sides may be in any ratio, px.
const FREE_RATIO_SIDE: u32 = 4_096;

/// Largest picture in memory before it is made small; deeper than 8 bits it is reached below `max_pixels`.
const MAX_DECODED_BYTES: u64 = 400_000_000;

impl Limits {
    pub(super) fn check_size(&self, width: u32, height: u32) -> Result<(), Error> {
        let refuse = |limit: String| Err(Error::Dimensions { width, height, limit });
        let (long, short) = (width.max(height), width.min(height));
        if short == 0 {
            return refuse("at least 1 × 1 px".into());
        }
        if long > self.max_side {
            return refuse(format!("at most {} px a side", self.max_side));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return refuse(format!("at most {} pixels", self.max_pixels));
        }
        if long > FREE_RATIO_SIDE && u64::from(long) > u64::from(short) * u64::from(self.max_aspect_ratio) {
            return refuse(format!("at most {} times as long as wide", self.max_aspect_ratio));
        }
        Ok(())
    }

    pub(super) fn check_scans(&self, scans: u32, width: u32, height: u32) -> Result<(), Error> {
        let work = u64::from(width) * u64::from(height) * u64::from(scans);
        if scans > self.max_jpeg_scans {
            return Err(Error::TooComplex(format!("{scans} scans, at most {}", self.max_jpeg_scans)));
        }
        if work > self.max_decode_work {
            return Err(Error::TooComplex(format!(
                "{work} pixels in all scans, at most {}",
                self.max_decode_work
            )));
        }
        Ok(())
    }

    pub(super) fn check_metadata(&self, bytes: u64, chunks: u32) -> Result<(), Error> {
        if bytes > self.max_metadata_bytes {
            return Err(Error::TooComplex(format!("over {} bytes of metadata", self.max_metadata_bytes)));
        }
        if chunks > self.max_metadata_chunks {
            return Err(Error::TooComplex(format!("over {} pieces of metadata", self.max_metadata_chunks)));
        }
        Ok(())
    }
}

/// Refuses what would be too large in memory.
pub(super) fn check_decoded(bytes: u64) -> Result<(), Error> {
    if bytes > MAX_DECODED_BYTES {
        return Err(Error::TooComplex(format!("{bytes} bytes when decoded, at most {MAX_DECODED_BYTES}")));
    }
    Ok(())
}
