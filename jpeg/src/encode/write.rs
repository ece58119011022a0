//! The file: headers, then tokens as bits.

use super::{
    Layout,
    optimal::{self, Codes},
    quant::Quant,
    tokens::IDS,
};

/// Where the identifiers of DC luma, AC luma, DC chroma and AC chroma begin, and how many they are.
const TABLES: [(usize, usize); 4] = [(512, 16), (0, 256), (528, 16), (256, 256)];

/// Bytes collected before they are stuffed.
const BATCH: usize = 8192;

/// Tokens written between looks at the room: at most 27 bits each.
const GROUP: usize = 48;

/// Room for a group of tokens, and for a store beyond.
const WINDOW: usize = 264;

/// How many times as long as what is known a file may be thought to become.
const MOST_FORESEEN: u64 = 16;

/// What a file begins with.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its components.
    pub layout: Layout,
    /// Width and height, px.
    pub sides: (u16, u16),
    /// Segments to keep as they are, such as a color profile.
    pub segments: &'a [u8],
}

impl Head<'_> {
    /// MCUs of the picture.
    pub fn mcus(&self) -> usize {
        let mcus = |side: u16| usize::from(side).div_ceil(self.layout.strip_rows(0));
        mcus(self.sides.0) * mcus(self.sides.1)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// For each identifier its code, with room for the value's bits, and the length of both.
    codes: Box<[(u32, u32); IDS]>,
    /// Bytes before they are stuffed, of which `len` are written.
    raw: Box<[u8; BATCH + WINDOW]>,
    len: usize,
    bits: u64,
    count: u32,
}

impl Writer {
    /// Writes headers, with the shortest codes for what a histogram counts.
    pub fn new(histogram: &[u32; IDS], quants: &[Quant; 2], head: &Head<'_>) -> Self {
        let Head { layout, sides: (width, height), segments } = *head;
        let mut out = Vec::new();
        out.extend_from_slice(&[
            0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0,
        ]);
        out.extend_from_slice(segments);
        for (slot, quant) in (0..).zip(&quants[..layout.tables()]) {
            out.extend_from_slice(&[0xff, 0xdb, 0, 67, slot]);
            out.extend_from_slice(&quant.steps);
        }
        frame_header(&mut out, layout, width, height);
        let (tables, codes) = codes(histogram, layout);
        for (at, table) in tables.iter().enumerate() {
            huffman_table(&mut out, table, ((at % 2) << 4) as u8 | (at / 2) as u8);
        }
        scan_header(&mut out, layout);
        Self { out, codes, raw: Box::new([0; BATCH + WINDOW]), len: 0, bits: 0, count: 0 }
    }

    /// Makes room for what a histogram counts, which is `part` of `whole`.
    pub fn reserve(&mut self, histogram: &[u32; IDS], (part, whole): (usize, usize)) {
        let lengths = histogram
            .iter()
            .zip(&self.codes[..])
            .map(|(&count, &(_, length))| u64::from(count) * u64::from(length));
        let counted = lengths.sum::<u64>() / 8;
        // What is still to come may be nothing.
        let bytes = (counted * whole as u64 / part as u64).min(MOST_FORESEEN * counted);
        let bytes = usize::try_from(bytes).expect("a few times what the tokens take");
        // Zeros are stuffed into one byte of 256, on average, and what is foreseen is not quite what comes.
        let more = if part < whole { bytes / 16 } else { bytes / 128 };
        self.out.reserve_exact(bytes + more + 2 * (BATCH + WINDOW));
    }

    /// Writes tokens, for each of which there must be a code.
    pub fn write(&mut self, tokens: &[u32]) {
        for group in tokens.chunks(GROUP) {
            let codes = &self.codes;
            let coded = group.iter().map(|&token| {
                let (code, length) = codes[token as usize % IDS];
                (code | token >> 10, length)
            });
            (self.bits, self.count, self.len) =
                put((self.bits, self.count), &mut self.raw[self.len..], self.len, coded);
            self.stuff_full();
        }
    }

    /// Writes bits as they are, from the top of each word on.
    pub fn write_bits(&mut self, words: &[u16], bits: usize) {
        for (at, group) in words[..bits.div_ceil(16)].chunks(GROUP).enumerate() {
            let coded =
                group.iter().zip((0..).map(|word| bits - 16 * (GROUP * at + word))).map(|(&word, left)| {
                    let length = left.min(16) as u32;
                    (u32::from(word) >> (16 - length), length)
                });
            (self.bits, self.count, self.len) =
                put((self.bits, self.count), &mut self.raw[self.len..], self.len, coded);
            self.stuff_full();
        }
    }

    #[inline(always)]
    fn stuff_full(&mut self) {
        if self.len > BATCH - 1 {
            stuff(&self.raw[..self.len], &mut self.out);
            // The bits of an unfinished byte are in `bits`.
            self.len = 0;
        }
    }

    /// The whole file.
    pub fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            let spare = 8 - self.count;
            self.raw[self.len] = (self.bits << spare) as u8 | ((1_u16 << spare) - 1) as u8;
            self.len += 1;
        }
        stuff(&self.raw[..self.len], &mut self.out);
        self.out.extend_from_slice(&[0xff, 0xd9]);
        self.out
    }
}

/// The shortest codes for what a histogram counts: tables for the file, and for each identifier its code, with room for the value's bits, and the
/// length of both.
pub fn codes(histogram: &[u32; IDS], layout: Layout) -> (Vec<Codes>, Box<[(u32, u32); IDS]>) {
    let mut written = Box::new([(0, 0); IDS]);
    let tables = TABLES[..2 * layout.tables()].iter().enumerate().map(|(at, &(first, count))| {
        let table = optimal::codes(&histogram[first..first + count]);
        for (symbol, &(code, length)) in table.codes.iter().enumerate() {
            // The value's bits follow the code: room for them is made beforehand.
            let size = if at % 2 == 1 { symbol & 15 } else { symbol } as u32;
            written[first + symbol] = (code << size, length + size);
        }
        table
    });
    (tables.collect(), written)
}

/// Appends a group of codes and values behind bits that are no byte yet; those bits afterwards, and the length of all.
#[inline(always)]
fn put(
    (mut bits, mut count): (u64, u32),
    raw: &mut [u8],
    len: usize,
    coded: impl Iterator<Item = (u32, u32)>,
) -> (u64, u32, usize) {
    let window: &mut [u8; WINDOW] = raw.first_chunk_mut().expect("a batch has room for one more group");
    let mut at = 0_usize;
    for (value, length) in coded {
        bits = bits << (length & 63) | u64::from(value);
        count += length;
        let place = at & 255;
        window[place..place + 8].copy_from_slice(&(bits << (64_u32.wrapping_sub(count) & 63)).to_be_bytes());
        at += (count >> 3) as usize;
        count &= 7;
    }
    (bits, count, len + at)
}

fn frame_header(out: &mut Vec<u8>, layout: Layout, width: u16, height: u16) {
    let components: &[[u8; 3]] = match layout {
        Layout::Grey => &[[1, 0x11, 0]],
        Layout::Full => &[[1, 0x11, 0], [2, 0x11, 1], [3, 0x11, 1]],
        Layout::Half => &[[1, 0x22, 0], [2, 0x11, 1], [3, 0x11, 1]],
    };
    let count = components.len() as u8;
    let ([h1, h0], [w1, w0]) = (height.to_be_bytes(), width.to_be_bytes());
    out.extend_from_slice(&[0xff, 0xc0, 0, 8 + 3 * count, 8, h1, h0, w1, w0, count]);
    out.extend(components.as_flattened());
}

fn huffman_table(out: &mut Vec<u8>, codes: &Codes, head: u8) {
    let length = 19 + codes.symbols.len() as u16;
    out.extend_from_slice(&[0xff, 0xc4]);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(head);
    out.extend_from_slice(&codes.counts);
    out.extend_from_slice(&codes.symbols);
}

fn scan_header(out: &mut Vec<u8>, layout: Layout) {
    match layout {
        Layout::Grey => out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]),
        _ => out.extend_from_slice(&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]),
    }
}

/// 0xff is followed by 0, so that it is no marker.
fn stuff(raw: &[u8], out: &mut Vec<u8>) {
    let most = 2 * raw.len();
    if out.capacity() - out.len() < most {
        // By a quarter: doubled, a large file would hold twice what it needs.
        out.reserve_exact(most.max(out.len() / 4));
    }
    let mut from = 0;
    for at in memchr::memchr_iter(0xff, raw) {
        out.extend_from_slice(&raw[from..=at]);
        out.push(0);
        from = at + 1;
    }
    out.extend_from_slice(&raw[from..]);
}
