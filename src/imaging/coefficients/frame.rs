//! What a frame and its scans say of themselves.

use super::super::error::Error;

/// How the coefficients of a frame are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Sequential,
    Progressive,
    Arithmetic,
}

/// Sides, and what they are made of.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub process: Process,
    pub width: u32,
    pub height: u32,
    pub components: Vec<Component>,
    /// Most samples of a component in a minimum coded unit, in both directions, in blocks.
    pub most: (u32, u32),
}

/// One component of a frame. Blocks are 8 × 8 samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    id: u8,
    /// Blocks in a minimum coded unit.
    pub factor: (u32, u32),
    pub quantization: u8,
    /// Blocks that have samples of the picture.
    pub own: (u32, u32),
    /// Blocks up to the end of the last unit.
    pub padded: (u32, u32),
}

/// What a scan says of itself.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient, in zigzag order.
    pub band: (u8, u8),
    /// Bits that were left out before this scan and are left out after it.
    pub approximation: (u8, u8),
}

/// A component of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Which component of the frame.
    pub component: usize,
    pub dc_table: usize,
    pub ac_table: usize,
}

impl Frame {
    pub fn read(marker: u8, content: &[u8]) -> Result<Self, Error> {
        let process = match marker {
            0xc0 | 0xc1 => Process::Sequential,
            0xc2 => Process::Progressive,
            0xc9 => Process::Arithmetic,
            _ => return Err(Error::Unsupported("image/jpeg of a rare process")),
        };
        let damaged = || Error::corrupt("a frame that contradicts itself");
        let (head, list) = content.split_first_chunk::<6>().ok_or_else(damaged)?;
        let [precision, h1, h0, w1, w0, count] = *head;
        if precision != 8 {
            return Err(Error::Unsupported("image/jpeg of more than 8 bits"));
        }
        let (width, height) = (u32::from_be_bytes([0, 0, w1, w0]), u32::from_be_bytes([0, 0, h1, h0]));
        let list = list.get(..usize::from(count) * 3).ok_or_else(damaged)?;
        let mut factors: Vec<_> =
            list.chunks_exact(3).map(|part| (u32::from(part[1] >> 4), u32::from(part[1] & 15))).collect();
        if factors.len() == 1 {
            factors = vec![(1, 1)]; // an only component has no unit but its block, whatever it says
        }
        let valid = |factor: &(u32, u32)| (1..=4).contains(&factor.0) && (1..=4).contains(&factor.1);
        if !(1..=4).contains(&count) || width == 0 || height == 0 || !factors.iter().all(valid) {
            return Err(damaged());
        }
        let most = factors.iter().fold((1, 1), |most, factor| (most.0.max(factor.0), most.1.max(factor.1)));
        let components = list.chunks_exact(3).zip(&factors);
        let components = components
            .map(|(part, factor)| Component::new(part[0], part[2], *factor, most, (width, height)))
            .collect();
        Ok(Self { process, width, height, components, most })
    }

    /// Minimum coded units across and down.
    pub fn units(&self) -> (u32, u32) {
        (self.width.div_ceil(8 * self.most.0), self.height.div_ceil(8 * self.most.1))
    }
}

impl Component {
    fn new(
        id: u8,
        quantization: u8,
        factor: (u32, u32),
        most: (u32, u32),
        (width, height): (u32, u32),
    ) -> Self {
        let own = |side: u32, factor: u32, most: u32| (side * factor).div_ceil(most).div_ceil(8);
        let padded = |side: u32, factor: u32, most: u32| side.div_ceil(8 * most) * factor;
        Self {
            id,
            factor,
            quantization,
            own: (own(width, factor.0, most.0), own(height, factor.1, most.1)),
            padded: (padded(width, factor.0, most.0), padded(height, factor.1, most.1)),
        }
    }

    pub fn blocks(&self) -> usize {
        self.padded.0 as usize * self.padded.1 as usize
    }
}

impl Scan {
    pub fn read(content: &[u8], frame: &Frame) -> Result<Self, Error> {
        let damaged = || Error::corrupt("a scan that contradicts its frame");
        let (count, rest) = content.split_first().ok_or_else(damaged)?;
        let (list, rest) = rest.split_at_checked(usize::from(*count) * 2).ok_or_else(damaged)?;
        let [first, last, bits, ..] = rest else { return Err(damaged()) };
        let part = |pair: &[u8]| {
            let component = frame.components.iter().position(|component| component.id == pair[0])?;
            Some(Part { component, dc_table: usize::from(pair[1] >> 4), ac_table: usize::from(pair[1] & 15) })
        };
        let parts: Vec<Part> = list.chunks_exact(2).map(part).collect::<Option<_>>().ok_or_else(damaged)?;
        let band = if frame.process == Process::Progressive { (*first, *last) } else { (0, 63) };
        let approximation =
            if frame.process == Process::Progressive { (bits >> 4, bits & 15) } else { (0, 0) };
        let band_is_valid = match band {
            (0, 0) => true,
            (0, last) => frame.process != Process::Progressive && last == 63,
            (first, last) => first <= last && last <= 63 && parts.len() == 1,
        };
        let twice = (1..parts.len()).any(|i| parts[..i].iter().any(|p| p.component == parts[i].component));
        let tables_exist = parts.iter().all(|part| part.dc_table < 4 && part.ac_table < 4);
        if parts.is_empty() || twice || !band_is_valid || !tables_exist || approximation.1 > 13 {
            return Err(damaged());
        }
        Ok(Self { parts, band, approximation })
    }
}
