//! Huffman tables, and the bits of one block.
//!
//! Tables are built for a scan from what it uses: a file may define thousands that nobody reads.

use crate::error::Error;

/// Bits that one look into a table takes.
pub const LOOKUP_BITS: u32 = 12;

/// Bytes that decoding one block may look at: at most 64 codes of 16 bits with 15 of value, and a load beyond.
pub const WINDOW: usize = 264;

/// Zigzag position to natural position (row × 8 + column), T.81 figure 5.
pub const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Zigzag position to where the coefficient is kept: column × 8 + row. Whatever is beyond the block goes to its last place.
pub const PLACE: [u8; 256] = {
    let mut place = [63; 256];
    let mut at = 0;
    while at < 64 {
        place[at] = (ZIGZAG[at] & 7) * 8 + (ZIGZAG[at] >> 3);
        at += 1;
    }
    place
};

/// The step of an end of block: whatever comes after it is beyond the block.
const END_OF_BLOCK: u32 = 63;

/// A table as a file defines it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// How many codes there are of each length, 1 to 16 bits.
    pub counts: [u8; 16],
    /// Their symbols, by code.
    pub symbols: Vec<u8>,
}

/// What the codes of a table stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Sizes of differences of DC, baseline.
    Dc,
    /// Runs and sizes of AC, baseline.
    Ac,
    /// Bare symbols, for progressive scans.
    Symbols,
}

/// A table that answers 12 bits with one look.
///
/// An entry of [`Class::Dc`] and [`Class::Ac`] holds in bits 0–5 the bits of code and value, in 6–9 those of the value, in 10–15 the step along
/// the zigzag; one of [`Class::Symbols`] the bits of the code, and the symbol from bit 8 on. 0 asks [`Table::long`].
#[derive(Debug)]
pub struct Table {
    lookup: [u16; 1 << LOOKUP_BITS],
    /// For each length, one more than its greatest code.
    end: [u32; 17],
    /// For each length, what a code and its symbol's place differ by.
    offset: [i32; 17],
    symbols: [u8; 256],
    class: Class,
}

impl Table {
    /// # Errors
    ///
    /// [`Error::Corrupt`] when there are more codes than bits can tell apart, or more than 256.
    pub fn new(definition: &Definition, class: Class) -> Result<Box<Self>, Error> {
        let mut table = Box::new(Self {
            lookup: [0; 1 << LOOKUP_BITS],
            end: [0; 17],
            offset: [0; 17],
            symbols: [0; 256],
            class,
        });
        let symbols =
            table.symbols.get_mut(..definition.symbols.len()).ok_or(Error::Corrupt("a Huffman table"))?;
        symbols.copy_from_slice(&definition.symbols);
        let (mut code, mut at) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(&definition.counts) {
            if code + u32::from(count) > 1 << length {
                return Err(Error::Corrupt("a Huffman table"));
            }
            table.offset[length as usize] = at as i32 - code as i32;
            for _ in 0..count {
                let symbol = *definition.symbols.get(at).ok_or(Error::Corrupt("a Huffman table"))?;
                if length <= LOOKUP_BITS {
                    let spare = LOOKUP_BITS - length;
                    let range = (code << spare) as usize..((code + 1) << spare) as usize;
                    table.lookup[range].fill(entry(class, length, symbol));
                }
                (code, at) = (code + 1, at + 1);
            }
            table.end[length as usize] = code;
            code <<= 1;
        }
        Ok(table)
    }

    /// The entry for the next bits, which begin at the top. What is no code sets `invalid` and ends the block.
    #[inline(always)]
    pub fn look(&self, bits: u64, invalid: &mut bool) -> u32 {
        match self.lookup[(bits >> (64 - LOOKUP_BITS)) as usize] {
            0 => self.long(bits, invalid),
            entry => u32::from(entry),
        }
    }

    #[cold]
    #[inline(never)]
    fn long(&self, bits: u64, invalid: &mut bool) -> u32 {
        for length in LOOKUP_BITS + 1..=16 {
            let code = (bits >> (64 - length)) as u32;
            if code < self.end[length as usize] {
                let symbol = self.symbols[(code as i32 + self.offset[length as usize]) as usize & 255];
                let found = u32::from(entry(self.class, length, symbol));
                if found != 0 {
                    return found;
                }
                break;
            }
        }
        *invalid = true;
        match self.class {
            Class::Symbols => 1,
            _ => 1 | END_OF_BLOCK << 10,
        }
    }
}

/// 0 for symbols that an 8-bit photo cannot have: two of them then always fit into one refill.
fn entry(class: Class, length: u32, symbol: u8) -> u16 {
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    let step = match class {
        Class::Symbols => return length as u16 | u16::from(symbol) << 8,
        Class::Dc if symbol <= 11 => 1,
        Class::Ac if symbol == 0 => END_OF_BLOCK,
        Class::Ac if symbol == 0xf0 => 16,
        Class::Ac if (1..=10).contains(&size) => run + 1,
        _ => return 0,
    };
    ((length + size) | (size << 6) | (step << 10)) as u16
}

/// Where the bits of a scan are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    bits: u64,
    count: u32,
    /// Of the next byte, in the buffer of the source.
    pub byte: usize,
}

impl Position {
    /// Bits that were used, counted from the start of the buffer.
    pub fn used_bits(&self) -> usize {
        self.byte * 8 - (self.count & 63) as usize
    }
}

/// Reads bits from a window on the source, without a check for each.
#[derive(Debug)]
pub struct Bits<'w> {
    window: &'w [u8; WINDOW],
    bits: u64,
    /// Valid ones, modulo 64.
    count: u32,
    offset: usize,
}

impl<'w> Bits<'w> {
    /// Goes on at a position of a buffer in which a window of bytes follows it.
    #[inline(always)]
    pub fn at(buffer: &'w [u8], position: Position) -> Self {
        let window = buffer[position.byte..].first_chunk().expect("the source tops up a window");
        Self { window, bits: position.bits, count: position.count, offset: 0 }
    }

    /// Whence the next block goes on.
    #[inline(always)]
    pub fn position(self, from: Position) -> Position {
        Position { bits: self.bits, count: self.count & 63, byte: from.byte + self.offset }
    }

    /// At least 56 bits are valid after it.
    #[inline(always)]
    pub fn refill(&mut self) {
        let next = self.window[self.offset & 255..].first_chunk::<8>().expect("264 are 255 and more than 8");
        self.count &= 63;
        self.bits |= u64::from_be_bytes(*next) >> self.count;
        self.offset += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// Looks up the next code and passes it, value and all.
    #[inline(always)]
    fn step(&mut self, table: &Table, invalid: &mut bool) -> (u32, i32) {
        let entry = table.look(self.bits, invalid);
        let (total, size) = (entry & 63, (entry >> 6) & 15);
        let value = extend(self.bits << ((total - size) & 63), size);
        self.drop(entry);
        (entry >> 10, value)
    }

    /// The next symbol of a progressive scan.
    #[inline(always)]
    pub fn symbol(&mut self, table: &Table, invalid: &mut bool) -> u32 {
        let entry = table.look(self.bits, invalid);
        self.drop(entry & 63);
        entry >> 8
    }

    /// A signed value of so many bits, as T.81 F.2.2.1 extends them.
    #[inline(always)]
    pub fn value(&mut self, size: u32) -> i32 {
        let value = extend(self.bits, size);
        self.drop(size);
        value
    }

    /// The next bits as they are.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u32 {
        let value = ((self.bits >> 1) >> (63 - (count & 63))) as u32;
        self.drop(count);
        value
    }

    /// One bit as 0 or −1.
    #[inline(always)]
    pub fn sign(&mut self) -> i16 {
        let sign = ((self.bits as i64) >> 63) as i16;
        self.drop(1);
        sign
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.bits <<= count & 63;
        self.count = self.count.wrapping_sub(count);
    }
}

/// The topmost `size` bits as a value: the lower half of what they can say is negative.
#[inline(always)]
fn extend(bits: u64, size: u32) -> i32 {
    let negative = !((bits as i64) >> 63);
    let value = (bits >> 1) >> (63 - size);
    value.wrapping_add(((negative << size).wrapping_sub(negative)) as u64) as i32
}

/// Decodes one block of a baseline scan into an empty one. `true` when it was not valid.
#[inline(always)]
pub fn block(
    buffer: &[u8],
    position: &mut Position,
    (dc, ac): (&Table, &Table),
    predictor: &mut i32,
    block: &mut [i16; 64],
) -> bool {
    let mut invalid = false;
    let mut bits = Bits::at(buffer, *position);
    bits.refill();
    let (_, difference) = bits.step(dc, &mut invalid);
    *predictor = predictor.wrapping_add(difference);
    block[0] = *predictor as i16;
    let mut at = 0_u8;
    let last_step = loop {
        bits.refill();
        // Two symbols of at most 26 bits: one refill serves both.
        let (step, value) = bits.step(ac, &mut invalid);
        at = at.wrapping_add(step as u8);
        block[usize::from(PLACE[usize::from(at)] & 63)] = value as i16;
        if at >= 63 {
            break step;
        }
        let (step, value) = bits.step(ac, &mut invalid);
        at = at.wrapping_add(step as u8);
        block[usize::from(PLACE[usize::from(at)] & 63)] = value as i16;
        if at >= 63 {
            break step;
        }
    };
    *position = bits.position(*position);
    invalid || (at > 63 && last_step != END_OF_BLOCK)
}
