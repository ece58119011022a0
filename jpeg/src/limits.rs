//! What a photo may cost, looked at before anything is allocated for it.

use crate::{error::Error, header::Frame};

/// What a photo may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels.
    pub max_pixels: u64,
    /// Longest side, px.
    pub max_side: u32,
    /// Most scans of a progressive photo.
    pub max_scans: usize,
    /// Most work: coefficients of the blocks that all scans visit.
    pub max_work: u64,
}

impl Limits {
    pub(crate) fn check(&self, frame: &Frame) -> Result<(), Error> {
        let pixels = frame.width as u64 * frame.height as u64;
        if pixels > self.max_pixels || frame.width.max(frame.height) > self.max_side as usize {
            return Err(Error::Limit("the size"));
        }
        // The least that its scans can be; a progressive photo is looked at again before each of them.
        if (0..frame.components.len()).map(|component| frame.blocks(component) * 64).sum::<u64>()
            > self.max_work
        {
            return Err(Error::Limit("the work"));
        }
        Ok(())
    }
}
