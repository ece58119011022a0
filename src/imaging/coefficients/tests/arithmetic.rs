//! An encoder of annex D, to have something to decode.

use super::{
    super::{arithmetic::STATES, *},
    encoded,
};
use mozjpeg_rs::Subsampling;

#[test]
fn arithmetic_coding_is_read_coefficient_by_coefficient() {
    for subsampling in [Subsampling::S444, Subsampling::S420] {
        for interval in [0, 7] {
            let jpeg = encoded(subsampling, false, 0, (80, 64));
            let (before, _) = read(&jpeg, true).unwrap();

            let (after, rows) = read(&arithmetic(&before, interval), true).unwrap();

            assert_eq!((after.frame.process, rows), (Process::Arithmetic, 64));
            assert!(after.planes == before.planes, "{subsampling:?}, interval {interval}");
        }
    }
}

#[test]
fn a_cut_in_arithmetic_coding_is_seen() {
    let (picture, _) = read(&encoded(Subsampling::S420, false, 0, (64, 640)), true).unwrap();
    let jpeg = arithmetic(&picture, 0);

    let rows = whole_rows(&jpeg[..jpeg.len() / 2]).unwrap();

    assert_eq!(whole_rows(&jpeg).unwrap(), 640);
    assert!((240..=400).contains(&rows), "{rows}");
}

/// The picture as a JPEG with arithmetic coding.
fn arithmetic(picture: &Picture, interval: usize) -> Vec<u8> {
    let all: Vec<usize> = (0..picture.frame.components.len()).collect();
    let huffman = write::jpeg(picture, &[&all]).unwrap();
    let mut jpeg = b"\xff\xd8".to_vec();
    for segment in markers::segments(&huffman).filter(|segment| !matches!(segment.marker, DHT | 0xd9)) {
        if segment.marker == SOS && interval > 0 {
            jpeg.extend([0xff, DRI, 0, 4, 0, u8::try_from(interval).unwrap()]);
        }
        let marker = if segment.marker == 0xc0 { 0xc9 } else { segment.marker };
        jpeg.extend([0xff, marker]);
        jpeg.extend(u16::try_from(segment.content.len() + 2).unwrap().to_be_bytes());
        jpeg.extend(segment.content);
    }
    let blocks_in_unit: u32 = picture.frame.components.iter().map(|c| c.factor.0 * c.factor.1).sum();
    let blocks_in_interval = interval * blocks_in_unit as usize;
    let (mut model, mut number) = (Model::new(), 0);
    picture
        .each_block(&all, |component, block| {
            if blocks_in_interval > 0 && number > 0 && number % blocks_in_interval == 0 {
                jpeg.extend(std::mem::replace(&mut model, Model::new()).coder.finish());
                jpeg.extend([0xff, 0xd0 + ((number / blocks_in_interval - 1) % 8) as u8]);
            }
            number += 1;
            model.block(component, block);
            Ok(())
        })
        .unwrap();
    jpeg.extend(model.coder.finish());
    jpeg.extend(b"\xff\xd9");
    jpeg
}

/// State of an estimate, and whether the likely bit is set.
type Context = (u8, bool);

struct Model {
    coder: Coder,
    dc: [Context; 64],
    ac: [Context; 256],
    last_dc: [i32; 4],
    dc_context: [usize; 4],
}

impl Model {
    fn new() -> Self {
        let coder =
            Coder { code: 0, interval: 0x1_0000, stacked: 0, zeros: 0, left: 11, held: None, out: vec![] };
        Self { coder, dc: [(0, false); 64], ac: [(0, false); 256], last_dc: [0; 4], dc_context: [0; 4] }
    }

    fn block(&mut self, component: usize, block: &Block) {
        self.first(component, i32::from(block[0]));
        let last = (1..64).rev().find(|k| block[*k] != 0).unwrap_or(0);
        let mut k = 1;
        while k <= last {
            let mut at = 3 * (k - 1);
            self.coder.bit(&mut self.ac[at], false);
            while block[k] == 0 {
                self.coder.bit(&mut self.ac[at + 1], false);
                (at, k) = (at + 3, k + 1);
            }
            self.coder.bit(&mut self.ac[at + 1], true);
            self.coder.bit(&mut (113, false), block[k] < 0);
            let size = u32::from(block[k].unsigned_abs()) - 1;
            at += 2;
            self.coder.bit(&mut self.ac[at], size > 0);
            if size > 0 {
                self.coder.bit(&mut self.ac[at], size > 1);
                if size > 1 {
                    at = if k <= 5 { 189 } else { 217 };
                    at = self.coder.magnitude(&mut self.ac, at, size >> 1);
                }
            }
            self.coder.low_bits(&mut self.ac[at + 14], size);
            k += 1;
        }
        if last < 63 {
            self.coder.bit(&mut self.ac[3 * last], true);
        }
    }

    fn first(&mut self, component: usize, value: i32) {
        let difference = value - self.last_dc[component];
        self.last_dc[component] = value;
        let mut at = self.dc_context[component];
        self.coder.bit(&mut self.dc[at], difference != 0);
        self.dc_context[component] = 0;
        if difference == 0 {
            return;
        }
        let negative = usize::from(difference < 0);
        self.coder.bit(&mut self.dc[at + 1], difference < 0);
        at += 2 + negative;
        let size = difference.unsigned_abs() - 1;
        self.coder.bit(&mut self.dc[at], size > 0);
        if size > 0 {
            at = self.coder.magnitude(&mut self.dc, 20, size);
        }
        let great = size > 1;
        self.dc_context[component] = 4 + 4 * negative + if great { 8 } else { 0 };
        self.coder.low_bits(&mut self.dc[at + 14], size);
    }
}

struct Coder {
    code: u64,
    interval: u64,
    /// Bytes of 0xff and of 0 that a carry may still change.
    stacked: usize,
    zeros: usize,
    left: u32,
    held: Option<u8>,
    out: Vec<u8>,
}

impl Coder {
    fn bit(&mut self, context: &mut Context, bit: bool) {
        let (estimate, after_unlikely, after_likely, switches) = STATES[usize::from(context.0)];
        let estimate = u64::from(estimate);
        self.interval -= estimate;
        let unlikely = bit != context.1;
        if !unlikely && self.interval >= 0x8000 {
            return;
        }
        if unlikely == (self.interval >= estimate) {
            self.code += self.interval;
            self.interval = estimate;
        }
        *context =
            if unlikely { (after_unlikely, context.1 != (switches == 1)) } else { (after_likely, context.1) };
        while self.interval < 0x8000 {
            self.interval <<= 1;
            self.code <<= 1;
            self.left -= 1;
            if self.left == 0 {
                self.byte();
                self.left = 8;
            }
        }
    }

    fn byte(&mut self) {
        let byte = self.code >> 19;
        self.code &= 0x7_ffff;
        if byte == 0xff {
            self.stacked += 1;
        } else {
            self.release(byte > 0xff);
            self.held = Some(byte as u8);
        }
    }

    /// Writes what a carry can no longer reach.
    fn release(&mut self, carry: bool) {
        match (self.held, carry) {
            (Some(held), true) => {
                self.put(held + 1);
                self.zeros += self.stacked;
                self.stacked = 0;
            }
            (Some(held), false) => self.put(held),
            (None, _) => {}
        }
        while self.stacked > 0 {
            self.put(0xff);
            self.stacked -= 1;
        }
    }

    /// Zeros are kept back, as those at the end are left out.
    fn put(&mut self, byte: u8) {
        if byte == 0 {
            self.zeros += 1;
            return;
        }
        self.out.extend(vec![0; std::mem::take(&mut self.zeros)]);
        self.out.push(byte);
        if byte == 0xff {
            self.out.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let top = (self.interval - 1 + self.code) & 0xffff_0000;
        self.code = if top < self.code { top + 0x8000 } else { top } << self.left;
        self.release(self.code & 0xf800_0000 > 0);
        self.put((self.code >> 19) as u8);
        self.put((self.code >> 11) as u8);
        self.out
    }

    /// Each doubling of a size above one; also tells the context that ended it.
    fn magnitude(&mut self, contexts: &mut [Context], mut at: usize, size: u32) -> usize {
        for _ in 0..size.ilog2() {
            self.bit(&mut contexts[at], true);
            at += 1;
        }
        self.bit(&mut contexts[at], false);
        at
    }

    fn low_bits(&mut self, context: &mut Context, size: u32) {
        let highest = if size > 0 { size.ilog2() } else { 0 };
        (0..highest).rev().for_each(|bit| self.bit(context, size >> bit & 1 == 1));
    }
}
