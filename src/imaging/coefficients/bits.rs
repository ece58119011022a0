//! Bits of entropy-coded data, and the codes made of them.

/// Something that no encoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad;

/// Bits of a scan, zeros after its end.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bit is the highest of the lowest `count`.
    hold: u64,
    count: u32,
    /// How many of the bits held are not from the file; they are the last.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, hold: 0, count: 0, made_up: 0 }
    }

    /// Whether bits were taken that the file does not have.
    pub fn ran_dry(&self) -> bool {
        self.count < self.made_up
    }

    /// Goes on behind the next restart marker, if there is one.
    pub fn restart(&mut self) -> bool {
        (self.hold, self.count, self.made_up) = (0, 0, 0);
        let rest = &self.data[self.at..];
        let marker = rest.windows(2).position(|pair| pair[0] == 0xff && matches!(pair[1], 0xd0..=0xd7));
        self.at = marker.map_or(self.data.len(), |found| self.at + found + 2);
        marker.is_some()
    }

    /// At most 16 bits, as a number.
    pub fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.count -= count;
        bits
    }

    /// A number of so many bits, whose first says the sign.
    pub fn take_signed(&mut self, size: u32) -> i32 {
        let bits = self.take(size).cast_signed();
        if size == 0 || bits >> (size - 1) == 1 { bits } else { bits - (1 << size) + 1 }
    }

    fn peek(&mut self, count: u32) -> u32 {
        while self.count < count {
            let byte = self.byte();
            self.made_up += if byte.is_none() { 8 } else { 0 };
            self.hold = self.hold << 8 | u64::from(byte.unwrap_or(0));
            self.count += 8;
        }
        (self.hold >> (self.count - count)) as u32 & ((1 << count) - 1)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        if byte != 0xff {
            self.at += 1;
            return Some(byte);
        }
        let stuffed = self.data.get(self.at + 1) == Some(&0);
        self.at += if stuffed { 2 } else { 0 };
        stuffed.then_some(byte)
    }
}

/// A Huffman table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    symbols: Vec<u8>,
    /// Length and symbol of the code that a byte begins with; length 0: longer than a byte.
    short: [(u8, u8); 256],
    /// For each length: the first code that is longer, as a number of 16 bits, and what to add for its symbol's index.
    lengths: [(u32, i32); 17],
}

impl Table {
    /// Reads a table as a file has it: 16 counts, then the symbols. Also tells how many bytes it took.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (counts, rest) = bytes.split_first_chunk::<16>()?;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let symbols = rest.get(..total)?.to_vec();
        let mut table = Self { symbols, short: [(0, 0); 256], lengths: [(0, 0); 17] };
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, count) in (1_u8..).zip(counts) {
            let shift = 16 - u32::from(length);
            table.lengths[usize::from(length)].1 = index - code.cast_signed();
            for _ in 0..*count {
                if length <= 8 {
                    let (first, many) = ((code << shift) >> 8, 1_usize << (8 - length));
                    let entry = (length, *table.symbols.get(usize::try_from(index).ok()?)?);
                    table.short.get_mut(first as usize..)?.get_mut(..many)?.fill(entry);
                }
                (code, index) = (code + 1, index + 1);
            }
            if code > 1 << length {
                return None;
            }
            table.lengths[usize::from(length)].0 = code << shift;
            code <<= 1;
        }
        Some((table, 16 + total))
    }

    pub fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Bad> {
        let next = bits.peek(16);
        let (length, symbol) = self.short[(next >> 8) as usize];
        if length > 0 {
            bits.count -= u32::from(length);
            return Ok(symbol);
        }
        let length = (9..=16).find(|length| next < self.lengths[*length].0).ok_or(Bad)?;
        bits.count -= u32::try_from(length).expect("at most 16");
        let index = (next >> (16 - length)).cast_signed() + self.lengths[length].1;
        usize::try_from(index).ok().and_then(|index| self.symbols.get(index)).copied().ok_or(Bad)
    }
}
