//! Coefficients → a sequential JPEG that every decoder reads.

use super::{
    Block, Picture,
    frame::{Component, Process},
};
use crate::imaging::error::Error;

/// Largest sizes that sequential files of 8 bits have, of the first coefficient's difference and of the others.
const MAX_DC_SIZE: u32 = 11;
const MAX_AC_SIZE: u32 = 10;

/// Bits of every code of the first coefficient, and of the others: a code is its symbol. Nobody keeps these files.
const DC_CODE_BITS: u32 = 5;
const AC_CODE_BITS: u32 = 9;

const END_OF_BLOCK: u32 = 0x00;
const SIXTEEN_ZEROS: u32 = 0xf0;

/// Most blocks in a unit of more than one component.
const MAX_UNIT: u32 = 10;

/// Writes a picture, each list of components as one scan.
pub(super) fn jpeg(picture: &Picture, scans: &[&[usize]]) -> Result<Vec<u8>, Error> {
    let mut jpeg = b"\xff\xd8".to_vec();
    for (marker, content) in &picture.applications {
        segment(&mut jpeg, *marker, content);
    }
    let components = &picture.frame.components;
    for (number, quantization) in (0_u8..).zip(&picture.quantization) {
        let mut table = quantization.clone().ok_or_else(|| Error::corrupt("no quantization table"))?;
        table[0] = table[0] & 0xf0 | number;
        segment(&mut jpeg, 0xdb, &table);
    }
    segment(&mut jpeg, 0xc0, &frame(picture));
    segment(&mut jpeg, 0xc4, &tables());
    for scan in scans {
        let unit: u32 = scan.iter().map(|i| components[*i].factor.0 * components[*i].factor.1).sum();
        if scan.len() > 1 && unit > MAX_UNIT {
            return Err(Error::Unsupported("image/jpeg with rare sampling"));
        }
        let parts = scan.iter().flat_map(|index| [number(*index), 0]);
        let content: Vec<u8> = [number(scan.len())].into_iter().chain(parts).chain([0, 63, 0]).collect();
        segment(&mut jpeg, 0xda, &content);
        let mut bits = Bits::new(jpeg);
        let mut last_dc = [0; 4];
        picture.each_block(scan, |index, block| write(&mut bits, &mut last_dc[index], block))?;
        jpeg = bits.finish();
    }
    jpeg.extend(b"\xff\xd9");
    Ok(jpeg)
}

impl Picture {
    /// Calls `each` with the components' blocks in the order of a scan.
    pub(super) fn each_block(
        &self,
        scan: &[usize],
        mut each: impl FnMut(usize, &Block) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let [index] = scan {
            let component = &self.frame.components[*index];
            for y in 0..component.own.1 {
                for x in 0..component.own.0 {
                    each(*index, &self.block(*index, component, x, y))?;
                }
            }
            return Ok(());
        }
        let (across, down) = self.frame.units();
        for unit in 0..across * down {
            let (unit_x, unit_y) = (unit % across, unit / across);
            for index in scan {
                let component = &self.frame.components[*index];
                let (columns, rows) = component.factor;
                for inner in 0..columns * rows {
                    let (x, y) = (unit_x * columns + inner % columns, unit_y * rows + inner / columns);
                    each(*index, &self.block(*index, component, x, y))?;
                }
            }
        }
        Ok(())
    }

    /// A block; one that only fills up the last unit has the color of its neighbour.
    fn block(&self, index: usize, component: &Component, x: u32, y: u32) -> Block {
        let (own_x, own_y) = (x.min(component.own.0 - 1), y.min(component.own.1 - 1));
        let block = self.planes[index][(own_y * component.padded.0 + own_x) as usize];
        if (x, y) == (own_x, own_y) {
            return block;
        }
        let mut flat = [0; 64];
        flat[0] = block[0];
        flat
    }
}

fn frame(picture: &Picture) -> Vec<u8> {
    let frame = &picture.frame;
    debug_assert!(frame.process != Process::Progressive, "a band is not a picture");
    let [_, _, w1, w0] = frame.width.to_be_bytes();
    let [_, _, h1, h0] = frame.height.to_be_bytes();
    let mut content = vec![8, h1, h0, w1, w0, number(frame.components.len())];
    for (index, component) in frame.components.iter().enumerate() {
        let factor = component.factor.0 << 4 | component.factor.1;
        content.extend([number(index), u8::try_from(factor).expect("4 bits each"), number(index)]);
    }
    content
}

/// One table for every first coefficient, and one for every other.
fn tables() -> Vec<u8> {
    let table = |class: u8, bits: u32, last_symbol: u8| {
        let mut counts = [0; 16];
        counts[bits as usize - 1] = last_symbol + 1;
        [&[class][..], &counts, &(0..=last_symbol).collect::<Vec<u8>>()].concat()
    };
    [table(0x00, DC_CODE_BITS, number(MAX_DC_SIZE as usize)), table(0x10, AC_CODE_BITS, 0xfe)].concat()
}

fn write(bits: &mut Bits, last_dc: &mut i32, block: &Block) -> Result<(), Error> {
    let difference = i32::from(block[0]) - *last_dc;
    *last_dc = i32::from(block[0]);
    let size = size_of(difference, MAX_DC_SIZE)?;
    bits.put(size, DC_CODE_BITS);
    bits.put_signed(difference, size);
    let mut zeros = 0;
    for value in block[1..].iter().map(|value| i32::from(*value)) {
        if value == 0 {
            zeros += 1;
            continue;
        }
        while zeros > 15 {
            bits.put(SIXTEEN_ZEROS, AC_CODE_BITS);
            zeros -= 16;
        }
        let size = size_of(value, MAX_AC_SIZE)?;
        bits.put(zeros << 4 | size, AC_CODE_BITS);
        bits.put_signed(value, size);
        zeros = 0;
    }
    if zeros > 0 {
        bits.put(END_OF_BLOCK, AC_CODE_BITS);
    }
    Ok(())
}

/// Bits of a coefficient without its leading zeros.
fn size_of(value: i32, most: u32) -> Result<u32, Error> {
    let size = i32::BITS - value.unsigned_abs().leading_zeros();
    if size > most { Err(Error::corrupt("a coefficient that cannot be")) } else { Ok(size) }
}

fn number(small: usize) -> u8 {
    u8::try_from(small).expect("a few components or symbols")
}

fn segment(jpeg: &mut Vec<u8>, marker: u8, content: &[u8]) {
    let length = u16::try_from(content.len() + 2).expect("read from a segment, or a small one");
    jpeg.extend([0xff, marker]);
    jpeg.extend(length.to_be_bytes());
    jpeg.extend(content);
}

/// Entropy-coded data in the making.
struct Bits {
    bytes: Vec<u8>,
    hold: u64,
    count: u32,
}

impl Bits {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, hold: 0, count: 0 }
    }

    /// At most 16 bits.
    fn put(&mut self, value: u32, count: u32) {
        self.hold = self.hold << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.hold >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    fn put_signed(&mut self, value: i32, size: u32) {
        let value = if value < 0 { value - 1 } else { value };
        self.put(value.cast_unsigned() & ((1 << size) - 1), size);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            let free = 8 - self.count;
            self.put((1 << free) - 1, free);
        }
        self.bytes
    }
}
