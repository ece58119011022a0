//! Cutting, turning and mirroring, in the order in which a file asks for them.

use super::boxes::Fields;
use crate::imaging::{error::Error, orient::Orientation};

/// What is shown of a coded picture, and how it is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::imaging) struct Shape {
    /// What is shown, as stored: px from the left and the top, and sides.
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
    /// Mirrored left to right first.
    mirrored: bool,
    /// Then turned clockwise so many times.
    quarters: u8,
}

impl Shape {
    /// All of it, as stored.
    pub fn of(width: u32, height: u32) -> Self {
        Self { left: 0, top: 0, width, height, mirrored: false, quarters: 0 }
    }

    /// EXIF's word for it.
    pub fn orientation(&self) -> Orientation {
        let number = match (self.mirrored, self.quarters) {
            (false, 0) => 1,
            (false, 1) => 6,
            (false, 2) => 3,
            (false, _) => 8,
            (true, 0) => 2,
            (true, 1) => 7,
            (true, 2) => 4,
            (true, _) => 5,
        };
        Orientation::new(number).expect("1 to 8")
    }

    /// Takes a property if it is one of these.
    pub fn take(&mut self, name: &[u8; 4], content: &[u8]) -> Result<(), Error> {
        let first = || content.first().copied().unwrap_or_default();
        match name {
            // Counterclockwise.
            b"irot" => self.turn(4 - (first() & 3)),
            b"imir" => {
                // What was turned before is turned the other way by a mirror.
                self.quarters = (4 - self.quarters) % 4;
                self.mirrored = !self.mirrored;
                if first() & 1 == 0 {
                    self.turn(2);
                }
            }
            b"clap" => self.cut(content)?,
            _ => {}
        }
        Ok(())
    }

    fn turn(&mut self, quarters: u8) {
        self.quarters = (self.quarters + quarters) % 4;
    }

    /// `clap`: sides, and how far the middle is from that of the picture, each a fraction.
    fn cut(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut fields = Fields::of(content);
        let mut fraction = || -> Result<f64, Error> {
            let (above, below) = (fields.u32()?.cast_signed(), fields.u32()?);
            if below == 0 {
                return Err(Error::corrupt("a cut of no size"));
            }
            Ok(f64::from(above) / f64::from(below))
        };
        let (width, height, right, down) = (fraction()?, fraction()?, fraction()?, fraction()?);
        let (shown_width, shown_height) = self.orientation().of_size(self.width, self.height);
        let (x, width) = kept(shown_width, width, right)?;
        let (y, height) = kept(shown_height, height, down)?;
        let stored = |at| self.orientation().stored(at, (self.width, self.height));
        let (one, other) = (stored((x, y)), stored((x + width - 1, y + height - 1)));
        self.left += one.0.min(other.0);
        self.top += one.1.min(other.1);
        (self.width, self.height) = self.orientation().of_size(width, height);
        Ok(())
    }
}

/// Where what is kept of a side begins, and how long it is, px; no more than is there.
fn kept(side: u32, length: f64, shift: f64) -> Result<(u32, u32), Error> {
    let side = f64::from(side);
    let start = ((side - length) / 2.0 + shift).round().clamp(0.0, side);
    let end = (start + length.round()).clamp(start, side);
    if end - start < 1.0 {
        return Err(Error::corrupt("a cut that leaves nothing"));
    }
    Ok((start as u32, (end - start) as u32))
}
