//! MCUs that come in another order than the file's: those of a turned picture, strip by strip of the stored one.
//!
//! Of each block the AC tokens wait, in half of their bits where those suffice. When they are many, codes are made for what was seen so far, and
//! from then on what waits are the bits of the file. What DC is to be written depends on the MCU before, and so is found last, from the means.

use super::{
    Encoder, Layout,
    tokens::{DC, IDS, MOST, Tokens, dc_token},
    write,
    write::{Head, Writer},
};

/// Chunks from which on bits wait in place of tokens: 8 MB.
const MANY: usize = 64;

/// Words of a chunk.
const CHUNK: usize = 1 << 16;

/// Words of a block at most: how many tokens it has, and two for each of them. Their bits are fewer.
const BLOCK: usize = 2 * MOST;

/// Beside how many tokens a block has: each takes two words.
const WIDE: u16 = 1 << 15;

/// Tokens that are written at once, and a block beyond.
const BATCH: usize = 4096;

/// Where the MCUs of the file come from.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// MCUs in a row of the file.
    pub columns: usize,
    /// Rows of MCUs in the file.
    pub rows: usize,
    /// Whether a strip is a column of the file, and not a row.
    pub swapped: bool,
    /// Whether the first strip is the last column or row.
    pub reversed: bool,
}

impl Order {
    /// Row and column of every MCU, in the order of the file.
    fn places(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows).flat_map(move |row| (0..self.columns).map(move |column| (row, column)))
    }

    /// Which MCU, counted as they came, is at a place of the file.
    fn came_as(self, row: usize, column: usize) -> usize {
        let (strip, at, strips, each) = match self.swapped {
            true => (column, row, self.columns, self.rows),
            false => (row, column, self.rows, self.columns),
        };
        let strip = if self.reversed { strips - 1 - strip } else { strip };
        strip * each + at
    }
}

/// The MCUs that wait.
#[derive(Debug, Default)]
pub struct Deferred {
    chunks: Vec<Vec<u16>>,
    spare: Vec<Vec<u16>>,
    /// Words of the last chunk that are filled.
    at: usize,
    /// Chunk and place in it of each MCU's first word.
    starts: Vec<(u32, u32)>,
    /// Blocks that were taken.
    blocks: usize,
    /// Once there are many tokens: what the codes of AC are made from.
    foreseen: Option<Foreseen>,
}

/// Codes that hold for the whole picture, before all of it is known.
#[derive(Debug)]
struct Foreseen {
    histogram: Box<[u32; IDS]>,
    codes: Box<[(u32, u32); IDS]>,
}

impl Deferred {
    /// Empties it for the next picture; chunks are kept.
    pub fn clear(&mut self) {
        self.spare.append(&mut self.chunks);
        self.starts.clear();
        self.blocks = 0;
        self.foreseen = None;
    }

    /// Memory that is held, bytes.
    pub fn bytes(&self) -> usize {
        let chunks = self.chunks.len() + self.spare.len();
        chunks * CHUNK * size_of::<u16>() + self.starts.capacity() * size_of::<(u32, u32)>()
    }

    /// Takes what was encoded since, whole MCUs.
    pub fn take(&mut self, tokens: &mut Tokens, head: &Head<'_>) {
        let (in_mcu, lengths) = (head.layout.blocks().len(), std::mem::take(&mut tokens.lengths));
        let mut lengths_left = &lengths[..];
        tokens.pour(|mut tokens| {
            while let ([_, ..], Some((&length, left))) = (tokens, lengths_left.split_first()) {
                let (block, rest) = tokens.split_at(length.into());
                self.take_block(&block[1..], in_mcu);
                (tokens, lengths_left) = (rest, left);
            }
        });
        tokens.lengths = lengths;
        tokens.lengths.clear();
        if self.foreseen.is_none() && self.chunks.len() >= MANY {
            self.foresee(tokens, head);
        }
    }

    /// Takes the AC tokens of one block.
    fn take_block(&mut self, tokens: &[u32], in_mcu: usize) {
        if self.blocks.is_multiple_of(in_mcu) {
            self.begin_mcu(in_mcu);
        }
        let chunk = self.chunks.last_mut().expect("an MCU has begun");
        let room = &mut chunk[self.at..];
        self.at += match &self.foreseen {
            None => pack(tokens, room),
            Some(Foreseen { codes, .. }) => pack_bits(tokens, codes, room),
        };
        self.blocks += 1;
    }

    fn begin_mcu(&mut self, blocks: usize) {
        if self.chunks.is_empty() || self.at + blocks * BLOCK > CHUNK {
            self.chunks.push(self.spare.pop().unwrap_or_else(|| vec![0; CHUNK]));
            self.at = 0;
        }
        self.starts.push((self.chunks.len() as u32 - 1, self.at as u32));
    }

    /// Makes the codes, and bits of what waits.
    fn foresee(&mut self, tokens: &Tokens, head: &Head<'_>) {
        let (histogram, blocks) = (tokens.foresight(), head.layout.blocks());
        self.foreseen = Some(Foreseen { codes: write::codes(&histogram, head.layout).1, histogram });
        let (chunks, starts) = (std::mem::take(&mut self.chunks), std::mem::take(&mut self.starts));
        (self.blocks, self.at) = (0, 0);
        let (mut out, mut starts) = ([0; MOST], starts.into_iter().peekable());
        for (number, chunk) in (0..).zip(chunks) {
            while let Some((_, at)) = starts.next_if(|start| start.0 == number) {
                let mut packed = &chunk[at as usize..];
                for &component in blocks {
                    let (rest, count) = unpack(packed, component, &mut out);
                    self.take_block(&out[..count], blocks.len());
                    packed = rest;
                }
            }
            self.spare.push(chunk);
        }
    }

    /// The whole file. Afterwards the encoder's means are in the order of the file.
    pub fn finish(&self, encoder: &mut Encoder, order: Order, head: &Head<'_>) -> Vec<u8> {
        sort_means(encoder, order, head.layout);
        let (means, blocks) = (&encoder.tokens.means, head.layout.blocks());
        let mut counts = encoder.tokens.histogram.clone();
        counts[DC..].fill(0);
        let mut dc = Differences::default();
        for &component in order.places().flat_map(|_| blocks) {
            counts[dc.next(means, component) as usize % IDS] += 1;
        }

        let mut histogram = counts.clone();
        if let Some(foreseen) = &self.foreseen {
            histogram[..DC].copy_from_slice(&foreseen.histogram[..DC]);
        }
        let mut writer = Writer::new(&histogram, &encoder.quants, head);
        writer.reserve(&counts, (1, 1));
        match self.foreseen {
            None => self.write_tokens(&mut writer, (order, means, blocks)),
            Some(_) => self.write_bits(&mut writer, (order, means, blocks)),
        }
        writer.finish()
    }

    /// Where an MCU of the file begins.
    fn mcu(&self, order: Order, (row, column): (usize, usize)) -> &[u16] {
        let (chunk, at) = self.starts[order.came_as(row, column)];
        &self.chunks[chunk as usize][at as usize..]
    }

    fn write_tokens(&self, writer: &mut Writer, (order, means, blocks): (Order, &[Vec<i16>; 3], &[usize])) {
        let (mut tokens, mut len) = (vec![0; BATCH + 1 + MOST], 0);
        let mut dc = Differences::default();
        for place in order.places() {
            let mut packed = self.mcu(order, place);
            for &component in blocks {
                tokens[len] = dc.next(means, component);
                let (rest, count) = unpack(packed, component, &mut tokens[len + 1..]);
                (packed, len) = (rest, len + 1 + count);
                if len > BATCH {
                    writer.write(&tokens[..len]);
                    len = 0;
                }
            }
        }
        writer.write(&tokens[..len]);
    }

    fn write_bits(&self, writer: &mut Writer, (order, means, blocks): (Order, &[Vec<i16>; 3], &[usize])) {
        let mut dc = Differences::default();
        for place in order.places() {
            let mut packed = self.mcu(order, place);
            for &component in blocks {
                writer.write(&[dc.next(means, component)]);
                let (&bits, words) = packed.split_first().expect("a chunk ends behind its last block");
                writer.write_bits(words, bits.into());
                packed = &words[usize::from(bits).div_ceil(16)..];
            }
        }
    }
}

/// The tokens of DC, block by block in the order of the file.
#[derive(Default)]
struct Differences {
    predictors: [i32; 3],
    taken: [usize; 3],
}

impl Differences {
    fn next(&mut self, means: &[Vec<i16>; 3], component: usize) -> u32 {
        let dc = means[component][self.taken[component]];
        self.taken[component] += 1;
        dc_token(dc, component, &mut self.predictors[component])
    }
}

/// From the order in which MCUs came to that of the file.
fn sort_means(encoder: &mut Encoder, order: Order, layout: Layout) {
    for (component, means) in encoder.tokens.means.iter_mut().enumerate() {
        let each = layout.blocks().iter().filter(|&&of| of == component).count();
        let mut sorted = Vec::with_capacity(means.len());
        for (row, column) in order.places() {
            sorted.extend_from_slice(&means[order.came_as(row, column) * each..][..each]);
        }
        *means = sorted;
    }
}

/// Packs the AC tokens of a block; how many words that are.
fn pack(tokens: &[u32], out: &mut [u16]) -> usize {
    let (head, out) = out.split_first_mut().expect("a chunk has room for one more block");
    *head = tokens.len() as u16;
    let mut bits = 0;
    for (&token, word) in tokens.iter().zip(&mut *out) {
        *word = (token & 0xff | token >> 10 << 8) as u16;
        bits |= token >> 10;
    }
    if bits < 256 {
        return 1 + tokens.len();
    }
    *head |= WIDE;
    for (token, words) in tokens.iter().zip(out.as_chunks_mut().0) {
        *words = [(token & 0xff) as u16, (token >> 10) as u16];
    }
    1 + 2 * tokens.len()
}

/// The bits of a block's AC tokens behind how many they are, from the top of each word on; how many words that is.
fn pack_bits(tokens: &[u32], codes: &[(u32, u32); IDS], out: &mut [u16]) -> usize {
    let (head, out) = out.split_first_mut().expect("a chunk has room for one more block");
    let (mut bits, mut count, mut words) = (0_u64, 0, 0);
    for &token in tokens {
        let (code, length) = codes[token as usize % IDS];
        bits = bits << length | u64::from(code | token >> 10);
        count += length;
        while count >= 16 {
            count -= 16;
            out[words] = (bits >> count) as u16;
            words += 1;
        }
    }
    *head = (16 * words) as u16 + count as u16;
    if count > 0 {
        out[words] = (bits << (16 - count)) as u16;
        words += 1;
    }
    1 + words
}

/// The reverse of [`pack`]; what follows, and how many tokens there are.
fn unpack<'a>(packed: &'a [u16], component: usize, out: &mut [u32]) -> (&'a [u16], usize) {
    let (&head, packed) = packed.split_first().expect("a chunk ends behind its last block");
    let (count, table) = (usize::from(head & !WIDE), u32::from(component > 0) << 8);
    if head & WIDE == 0 {
        let (words, rest) = packed.split_at(count);
        for (&word, token) in words.iter().zip(out) {
            *token = table | u32::from(word & 0xff) | u32::from(word >> 8) << 10;
        }
        return (rest, count);
    }
    let (words, rest) = packed.split_at(2 * count);
    for ([symbol, bits], token) in words.as_chunks().0.iter().zip(out) {
        *token = table | u32::from(*symbol) | u32::from(*bits) << 10;
    }
    (rest, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Strips;

    #[test]
    fn tokens_come_back_as_they_were_with_short_bits_and_long_ones() {
        let short = [0x21 | 1 << 10, 0xf0, 0x18 | 255 << 10, 0];
        let long = [0x1a | 1023 << 10, 0x01, 0];
        for block in [&short[..], &long, &[]] {
            for (component, table) in [(0, 0), (2, 256)] {
                let block: Vec<u32> = block.iter().map(|token| token | table).collect();
                let (mut packed, mut out) = ([7; BLOCK], [0; MOST]);

                let words = pack(&block, &mut packed);
                let (rest, count) = unpack(&packed, component, &mut out);

                assert_eq!((&out[..count], rest.len()), (&block[..], BLOCK - words));
            }
        }
    }

    const LAYOUTS: [Layout; 3] = [Layout::Grey, Layout::Full, Layout::Half];

    /// Pixels that are read from a file of noise, of which the strips from number `foreseen` on wait as bits; and its bytes.
    fn written(layout: Layout, order: Order, foreseen: usize) -> (Vec<u8>, usize) {
        let side = layout.strip_rows(0);
        let sides = ((order.columns * side) as u16, (order.rows * side) as u16);
        let head = Head { layout, sides, segments: &[] };
        let (strips, mcus) = match order.swapped {
            true => (order.columns, order.rows),
            false => (order.rows, order.columns),
        };
        let (mut random, stride) = (fastrand::Rng::with_seed(4), side * mcus);
        let mut encoder = Encoder::new(92, Tokens::default());
        let mut deferred = Deferred::default();
        for strip in 0..strips {
            // Calm ones, and one that is full of coefficients.
            let most = if strip == 1 { 255 } else { 60 };
            let pixels: Vec<u8> = (0..side * stride).map(|_| random.u8(..most)).collect();
            crate::Kernels::Portable.strip(
                &mut encoder,
                Strips { planes: [(&pixels, stride); 3], mcus },
                layout,
            );
            deferred.take(&mut encoder.tokens, &head);
            if strip == foreseen {
                deferred.foresee(&encoder.tokens, &head);
            }
        }
        let jpeg = deferred.finish(&mut encoder, order, &head);
        let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(&jpeg));
        (decoder.decode().expect("a photo"), jpeg.len())
    }

    #[test]
    fn what_waits_as_bits_makes_the_same_picture() {
        for layout in LAYOUTS {
            for (swapped, reversed) in [(false, true), (true, false), (true, true)] {
                let order = Order { columns: 5, rows: 4, swapped, reversed };

                let (wanted, shortest) = written(layout, order, usize::MAX);
                for foreseen in [0, 2] {
                    let (made, bytes) = written(layout, order, foreseen);

                    assert!(made == wanted, "{layout:?}, {order:?}, {foreseen}");
                    // The tables alone have codes for all that might have come.
                    assert!((shortest..shortest + 800).contains(&bytes), "{bytes} and {shortest} bytes");
                }
            }
        }
    }

    #[test]
    fn every_mcu_of_the_file_came_once() {
        for (swapped, reversed) in [(false, false), (false, true), (true, false), (true, true)] {
            let order = Order { columns: 3, rows: 2, swapped, reversed };
            let mut came: Vec<_> = order.places().map(|(row, column)| order.came_as(row, column)).collect();
            let (first, last) = (came[0], came[5]);
            came.sort_unstable();

            assert_eq!(came, [0, 1, 2, 3, 4, 5]);
            let expected = match (swapped, reversed) {
                (_, false) => (0, 5),
                (false, true) => (3, 2),
                (true, true) => (4, 1),
            };
            assert_eq!((first, last), expected);
        }
    }
}
