//! Blocks of a sequential scan with arithmetic coding: ITU-T T.81, annexes D and F.1.4.

use super::{Block, BlockDecoder, bits::Bad};

/// Contexts of a table for the first coefficient, and of one for the others.
const DC_CONTEXTS: usize = 64;
const AC_CONTEXTS: usize = 256;

/// Where the contexts of great differences begin (table F.4), and the step from a magnitude's context to its bits'.
const DC_GREAT: usize = 20;
const MAGNITUDE_BITS: usize = 14;

/// Where the contexts of great coefficients begin: up to `Conditioning::ac`, and above it (table F.5).
const AC_GREAT: [usize; 2] = [189, 217];

/// Bytes after the end of a cut file that an encoder may have left out, as they are zero.
const SPARE_BYTES: u32 = 2;

/// What a file says of the contexts, for each number of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditioning {
    pub dc: [(u8, u8); 4],
    pub ac: [u8; 4],
}

impl Default for Conditioning {
    fn default() -> Self {
        Self { dc: [(0, 1); 4], ac: [5; 4] }
    }
}

impl Conditioning {
    /// Takes what a DAC segment says.
    pub fn update(&mut self, content: &[u8]) {
        for pair in content.chunks_exact(2) {
            let table = usize::from(pair[0] & 3);
            match pair[0] >> 4 {
                0 => self.dc[table] = (pair[1] & 15, pair[1] >> 4),
                _ => self.ac[table] = pair[1],
            }
        }
    }
}

/// A component's share of a scan.
#[derive(Clone, Copy, Debug)]
struct Part {
    dc_table: usize,
    ac_table: usize,
    last_dc: i32,
    dc_context: usize,
}

/// Reads the blocks of one scan.
#[derive(Debug)]
pub(super) struct Arithmetic<'a> {
    coder: Coder<'a>,
    conditioning: Conditioning,
    dc: [[Context; DC_CONTEXTS]; 4],
    ac: [[Context; AC_CONTEXTS]; 4],
    parts: Vec<Part>,
    /// Whether the data ends with the file.
    cut: bool,
}

impl<'a> Arithmetic<'a> {
    /// `tables` are the numbers of the components' tables.
    pub fn new(data: &'a [u8], conditioning: Conditioning, tables: &[(usize, usize)], cut: bool) -> Self {
        let part = |&(dc_table, ac_table)| Part { dc_table, ac_table, last_dc: 0, dc_context: 0 };
        Self {
            coder: Coder::new(data),
            conditioning,
            dc: [[Context::NEW; DC_CONTEXTS]; 4],
            ac: [[Context::NEW; AC_CONTEXTS]; 4],
            parts: tables.iter().map(part).collect(),
            cut,
        }
    }

    fn dc(&mut self, index: usize) -> Result<i32, Bad> {
        let part = &mut self.parts[index];
        let contexts = &mut self.dc[part.dc_table];
        let at = part.dc_context;
        if !self.coder.bit(&mut contexts[at]) {
            part.dc_context = 0;
            return Ok(part.last_dc);
        }
        let negative = self.coder.bit(&mut contexts[at + 1]);
        let mut at = at + 2 + usize::from(negative);
        let mut magnitude = u32::from(self.coder.bit(&mut contexts[at]));
        if magnitude > 0 {
            at = DC_GREAT;
            (magnitude, at) = self.coder.magnitude(contexts, at, magnitude)?;
        }
        let (low, high) = self.conditioning.dc[part.dc_table];
        part.dc_context = match magnitude {
            small if small < (1 << low) >> 1 => 0,
            great if great > (1 << high) >> 1 => 12,
            _ => 4,
        };
        if part.dc_context > 0 {
            part.dc_context += 4 * usize::from(negative);
        }
        let difference = self.coder.value(&mut contexts[at + MAGNITUDE_BITS], magnitude, negative);
        part.last_dc = i32::from((part.last_dc + difference) as i16);
        Ok(part.last_dc)
    }

    fn ac(&mut self, index: usize, block: &mut Block) -> Result<(), Bad> {
        let table = self.parts[index].ac_table;
        let contexts = &mut self.ac[table];
        let small = usize::from(self.conditioning.ac[table]);
        let mut k = 1;
        while k < 64 {
            let mut at = 3 * (k - 1);
            if self.coder.bit(&mut contexts[at]) {
                break;
            }
            while !self.coder.bit(&mut contexts[at + 1]) {
                (k, at) = (k + 1, at + 3);
                if k > 63 {
                    return Err(Bad);
                }
            }
            let negative = self.coder.bit(&mut Context::FAIR.clone());
            at += 2;
            let mut magnitude = u32::from(self.coder.bit(&mut contexts[at]));
            if magnitude > 0 && self.coder.bit(&mut contexts[at]) {
                at = AC_GREAT[usize::from(k > small)];
                (magnitude, at) = self.coder.magnitude(contexts, at, 2)?;
            }
            block[k] = self.coder.value(&mut contexts[at + MAGNITUDE_BITS], magnitude, negative) as i16;
            k += 1;
        }
        Ok(())
    }
}

impl BlockDecoder for Arithmetic<'_> {
    fn block(&mut self, part: usize, block: &mut Block) -> Result<(), Bad> {
        block[0] = self.dc(part)? as i16;
        self.ac(part, block)
    }

    fn restart(&mut self) -> bool {
        self.dc = [[Context::NEW; DC_CONTEXTS]; 4];
        self.ac = [[Context::NEW; AC_CONTEXTS]; 4];
        for part in &mut self.parts {
            (part.last_dc, part.dc_context) = (0, 0);
        }
        self.coder.restart()
    }

    fn ran_dry(&self) -> bool {
        self.cut && self.coder.made_up > SPARE_BYTES
    }
}

/// What was learned about one decision.
#[derive(Clone, Copy, Debug)]
struct Context {
    state: u8,
    likely: bool,
}

impl Context {
    const NEW: Self = Self { state: 0, likely: false };
    /// Never learns.
    const FAIR: Self = Self { state: 113, likely: false };
}

/// The decoder of annex D.
#[derive(Debug)]
struct Coder<'a> {
    data: &'a [u8],
    at: usize,
    /// The code register, its interval, and how many bits of the last byte are left.
    code: u64,
    interval: u32,
    left: i32,
    /// Bytes behind the end that were taken for zeros.
    made_up: u32,
}

impl<'a> Coder<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, code: 0, interval: 0, left: -16, made_up: 0 }
    }

    fn restart(&mut self) -> bool {
        let rest = &self.data[self.at.min(self.data.len())..];
        let marker = rest.windows(2).position(|pair| pair[0] == 0xff && matches!(pair[1], 0xd0..=0xd7));
        let at = marker.map_or(self.data.len(), |found| self.at + found + 2);
        *self = Self { at, ..Self::new(self.data) };
        marker.is_some()
    }

    fn bit(&mut self, context: &mut Context) -> bool {
        self.renormalize();
        let (estimate, after_unlikely, after_likely, switches) = STATES[usize::from(context.state)];
        let estimate = u32::from(estimate);
        self.interval -= estimate;
        let likely_part = u64::from(self.interval) << self.left;
        let likely = context.likely;
        let upper = self.code >= likely_part;
        if upper {
            self.code -= likely_part;
        } else if self.interval >= 0x8000 {
            return likely;
        }
        // The smaller of both parts is the unlikely one, whichever of them it is.
        let unlikely = upper != (self.interval < estimate);
        if upper {
            self.interval = estimate;
        }
        if unlikely {
            *context = Context { state: after_unlikely, likely: likely != (switches == 1) };
        } else {
            context.state = after_likely;
        }
        likely != unlikely
    }

    fn renormalize(&mut self) {
        while self.interval < 0x8000 {
            self.left -= 1;
            if self.left < 0 {
                self.code = self.code << 8 | u64::from(self.byte());
                self.left += 8;
                if self.left < 0 {
                    self.left += 1;
                    if self.left == 0 {
                        self.interval = 0x8000;
                    }
                }
            }
            self.interval <<= 1;
        }
    }

    fn byte(&mut self) -> u8 {
        match (self.data.get(self.at), self.data.get(self.at + 1)) {
            (Some(0xff), Some(0)) => {
                self.at += 2;
                0xff
            }
            (None | Some(0xff), _) => {
                self.made_up += 1;
                0
            }
            (Some(byte), _) => {
                self.at += 1;
                *byte
            }
        }
    }

    /// Doubles a magnitude as long as the contexts from `at` on say so; also tells the context that ended it.
    fn magnitude(
        &mut self,
        contexts: &mut [Context],
        mut at: usize,
        mut magnitude: u32,
    ) -> Result<(u32, usize), Bad> {
        while self.bit(contexts.get_mut(at).ok_or(Bad)?) {
            (magnitude, at) = (magnitude << 1, at + 1);
            if magnitude == 0x8000 {
                return Err(Bad);
            }
        }
        Ok((magnitude, at))
    }

    /// The bits below the highest one of a magnitude.
    fn value(&mut self, context: &mut Context, magnitude: u32, negative: bool) -> i32 {
        let (mut value, mut bit) = (magnitude, magnitude >> 1);
        while bit > 0 {
            if self.bit(context) {
                value |= bit;
            }
            bit >>= 1;
        }
        let value = value.cast_signed() + 1;
        if negative { -value } else { value }
    }
}

/// Table D.3: the estimate of the unlikely, the state after it and after the likely, and whether the two then change
/// places. The last never learns.
#[rustfmt::skip]
pub(super) const STATES: [(u16, u8, u8, u8); 114] = [
    (0x5a1d, 1, 1, 1), (0x2586, 14, 2, 0), (0x1114, 16, 3, 0), (0x080b, 18, 4, 0), (0x03d8, 20, 5, 0),
    (0x01da, 23, 6, 0), (0x00e5, 25, 7, 0), (0x006f, 28, 8, 0), (0x0036, 30, 9, 0), (0x001a, 33, 10, 0),
    (0x000d, 35, 11, 0), (0x0006, 9, 12, 0), (0x0003, 10, 13, 0), (0x0001, 12, 13, 0), (0x5a7f, 15, 15, 1),
    (0x3f25, 36, 16, 0), (0x2cf2, 38, 17, 0), (0x207c, 39, 18, 0), (0x17b9, 40, 19, 0), (0x1182, 42, 20, 0),
    (0x0cef, 43, 21, 0), (0x09a1, 45, 22, 0), (0x072f, 46, 23, 0), (0x055c, 48, 24, 0), (0x0406, 49, 25, 0),
    (0x0303, 51, 26, 0), (0x0240, 52, 27, 0), (0x01b1, 54, 28, 0), (0x0144, 56, 29, 0), (0x00f5, 57, 30, 0),
    (0x00b7, 59, 31, 0), (0x008a, 60, 32, 0), (0x0068, 62, 33, 0), (0x004e, 63, 34, 0), (0x003b, 32, 35, 0),
    (0x002c, 33, 9, 0), (0x5ae1, 37, 37, 1), (0x484c, 64, 38, 0), (0x3a0d, 65, 39, 0), (0x2ef1, 67, 40, 0),
    (0x261f, 68, 41, 0), (0x1f33, 69, 42, 0), (0x19a8, 70, 43, 0), (0x1518, 72, 44, 0), (0x1177, 73, 45, 0),
    (0x0e74, 74, 46, 0), (0x0bfb, 75, 47, 0), (0x09f8, 77, 48, 0), (0x0861, 78, 49, 0), (0x0706, 79, 50, 0),
    (0x05cd, 48, 51, 0), (0x04de, 50, 52, 0), (0x040f, 50, 53, 0), (0x0363, 51, 54, 0), (0x02d4, 52, 55, 0),
    (0x025c, 53, 56, 0), (0x01f8, 54, 57, 0), (0x01a4, 55, 58, 0), (0x0160, 56, 59, 0), (0x0125, 57, 60, 0),
    (0x00f6, 58, 61, 0), (0x00cb, 59, 62, 0), (0x00ab, 61, 63, 0), (0x008f, 61, 32, 0), (0x5b12, 65, 65, 1),
    (0x4d04, 80, 66, 0), (0x412c, 81, 67, 0), (0x37d8, 82, 68, 0), (0x2fe8, 83, 69, 0), (0x293c, 84, 70, 0),
    (0x2379, 86, 71, 0), (0x1edf, 87, 72, 0), (0x1aa9, 87, 73, 0), (0x174e, 72, 74, 0), (0x1424, 72, 75, 0),
    (0x119c, 74, 76, 0), (0x0f6b, 74, 77, 0), (0x0d51, 75, 78, 0), (0x0bb6, 77, 79, 0), (0x0a40, 77, 48, 0),
    (0x5832, 80, 81, 1), (0x4d1c, 88, 82, 0), (0x438e, 89, 83, 0), (0x3bdd, 90, 84, 0), (0x34ee, 91, 85, 0),
    (0x2eae, 92, 86, 0), (0x299a, 93, 87, 0), (0x2516, 86, 71, 0), (0x5570, 88, 89, 1), (0x4ca9, 95, 90, 0),
    (0x44d9, 96, 91, 0), (0x3e22, 97, 92, 0), (0x3824, 99, 93, 0), (0x32b4, 99, 94, 0), (0x2e17, 93, 86, 0),
    (0x56a8, 95, 96, 1), (0x4f46, 101, 97, 0), (0x47e5, 102, 98, 0), (0x41cf, 103, 99, 0), (0x3c3d, 104, 100, 0),
    (0x375e, 99, 93, 0), (0x5231, 105, 102, 0), (0x4c0f, 106, 103, 0), (0x4639, 107, 104, 0), (0x415e, 103, 99, 0),
    (0x5627, 105, 106, 1), (0x50e7, 108, 107, 0), (0x4b85, 109, 103, 0), (0x5597, 110, 109, 0),
    (0x504f, 111, 107, 0), (0x5a10, 110, 111, 1), (0x5522, 112, 109, 0), (0x59eb, 112, 111, 1),
    (0x5a1d, 113, 113, 0),
];
