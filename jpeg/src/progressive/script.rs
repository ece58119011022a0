//! Whether the scans of a photo follow one another as T.81 G.1.1.1 wants, and what they cost.

use crate::{
    error::Error,
    header::{Frame, Scan},
    limits::Limits,
};

/// Most bits that a first scan leaves to come.
const MAX_APPROXIMATION: u32 = 13;

/// What is known so far.
#[derive(Debug)]
pub struct Script {
    /// For each component and zigzag position, the bits that are still to come; nothing before its first scan.
    to_come: Vec<[Option<u32>; 64]>,
    /// Of each component.
    blocks: Vec<u64>,
    scans: usize,
    work: u64,
    limits: Limits,
}

impl Script {
    pub fn new(frame: &Frame, limits: &Limits) -> Self {
        Self {
            to_come: vec![[None; 64]; frame.components.len()],
            blocks: (0..frame.components.len()).map(|component| frame.blocks(component)).collect(),
            scans: 0,
            work: 0,
            limits: *limits,
        }
    }

    /// Looks at a scan before it is read.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] and [`Error::Corrupt`].
    pub fn check(&mut self, scan: &Scan) -> Result<(), Error> {
        const BROKEN: Error = Error::Corrupt("the order of scans");
        let ((first, last), (high, low)) = (scan.band, scan.approximation);
        let is_dc = first == 0 && last == 0;
        let is_ac = first > 0 && first <= last && last < 64 && scan.components.len() == 1;
        if !(is_dc || is_ac) || low > MAX_APPROXIMATION || (high > 0 && high != low + 1) {
            return Err(BROKEN);
        }
        for &(component, ..) in &scan.components {
            // AC refines blocks whose DC is known, as every encoder writes them.
            if is_ac && self.to_come[component][0].is_none() {
                return Err(BROKEN);
            }
            for to_come in &mut self.to_come[component][first..=last] {
                if *to_come != (high > 0).then_some(high) {
                    return Err(BROKEN);
                }
                *to_come = Some(low);
            }
            self.work += self.blocks[component] * 64;
        }
        self.scans += 1;
        if self.scans > self.limits.max_scans || self.work > self.limits.max_work {
            return Err(Error::Limit("the number of scans"));
        }
        Ok(())
    }

    /// Whether every coefficient is known to its last bit.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`].
    pub fn complete(&self) -> Result<(), Error> {
        let complete = |to_come: &[Option<u32>; 64]| to_come.iter().all(|bits| *bits == Some(0));
        if self.to_come.iter().all(complete) { Ok(()) } else { Err(Error::Truncated) }
    }
}
