//! Scans of AC, of one component each.

use super::{Component, Entropy};
use crate::{
    dct::Block,
    error::Error,
    header::{Scan, Tables},
    huffman::{Bits, Class, PLACE, Table, WINDOW},
};

/// Correction bits that one refill serves.
const BITS_A_REFILL: u32 = 48;

pub(super) fn read(
    scan: &Scan,
    component: &mut Component,
    tables: &Tables,
    entropy: &mut Entropy<'_, '_>,
) -> Result<(), Error> {
    let definition = tables.ac[scan.components[0].2].as_ref().ok_or(Error::Corrupt("a Huffman table"))?;
    let table = Table::new(definition, Class::Symbols)?;
    let (first, last) = (scan.band.0 as u32, scan.band.1 as u32);
    let mut reader = Reader { table, first, last, low: scan.approximation.1, end_run: 0, invalid: false };
    let refines = scan.approximation.0 > 0;
    for row in 0..component.rows {
        let places = row * component.stride..row * component.stride + component.columns;
        for (block, mask) in component.blocks[places.clone()].iter_mut().zip(&mut component.masks[places]) {
            if entropy.restart()? {
                reader.invalid |= reader.end_run > 0;
                reader.end_run = 0;
            }
            if reader.end_run > 0 && !refines {
                reader.end_run -= 1;
                continue;
            }
            entropy.source.ensure(&mut entropy.position, WINDOW);
            let mut bits = Bits::at(entropy.source.bytes(), entropy.position);
            if refines {
                reader.refine(&mut bits, block, mask);
            } else {
                reader.first(&mut bits, block, mask);
            }
            entropy.position = bits.position(entropy.position);
        }
        entropy.check(reader.invalid)?;
    }
    entropy.check(reader.end_run > 0)
}

struct Reader {
    table: Box<Table>,
    first: u32,
    last: u32,
    low: u32,
    /// Blocks that still end without a bit of their own.
    end_run: u32,
    invalid: bool,
}

impl Reader {
    /// Blocks that are at their end with this one, T.81 G.1.2.2.
    #[inline(always)]
    fn end_of_band(&mut self, bits: &mut Bits<'_>, exponent: u32) -> u32 {
        (1 << exponent) + bits.take(exponent)
    }

    #[inline(always)]
    fn first(&mut self, bits: &mut Bits<'_>, block: &mut Block, mask: &mut u64) {
        let mut at = self.first;
        while at <= self.last {
            bits.refill();
            let symbol = bits.symbol(&self.table, &mut self.invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            if size == 0 && run < 15 {
                self.end_run = self.end_of_band(bits, run) - 1;
                break;
            }
            at += run;
            if size > 0 {
                let value = bits.value(size) << self.low;
                block[usize::from(PLACE[at as usize & 255]) & 63] = value as i16;
                *mask |= 1_u64.wrapping_shl(at);
                self.invalid |= at > self.last || size > 10;
            }
            at += 1;
        }
    }

    #[inline(always)]
    fn refine(&mut self, bits: &mut Bits<'_>, block: &mut Block, mask: &mut u64) {
        let band = (u64::MAX >> (63 - self.last)) & (u64::MAX << self.first);
        let (mut known, mut zeros) = (*mask & band, !*mask & band);
        let one = 1_i16 << self.low;
        let mut added = 0;
        while self.end_run == 0 && known | zeros != 0 {
            bits.refill();
            let symbol = bits.symbol(&self.table, &mut self.invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            let mut value = 0;
            if size > 0 {
                value = if bits.sign() == 0 { -one } else { one };
                self.invalid |= size != 1;
            } else if run < 15 {
                self.end_run = self.end_of_band(bits, run);
                break;
            }
            let target = nth_set(zeros, run);
            if target == 0 {
                // Fewer zeros than the run passes: nothing of the band is left.
                correct(bits, block, known, one);
                self.invalid |= value != 0;
                known = 0;
                break;
            }
            let below = target - 1;
            correct(bits, block, known & below, one);
            known &= !below;
            zeros &= !(below | target);
            if value != 0 {
                block[usize::from(PLACE[target.trailing_zeros() as usize & 63])] = value;
                added |= target;
            }
        }
        if self.end_run > 0 {
            correct(bits, block, known, one);
            self.end_run -= 1;
        }
        *mask |= added;
    }
}

/// The set bit number `n`, counted from the lowest as 0; 0 when there are not so many.
#[inline(always)]
fn nth_set(mut set: u64, n: u32) -> u64 {
    for _ in 0..n {
        set &= set.wrapping_sub(1);
    }
    set & set.wrapping_neg()
}

/// Reads a bit for each known coefficient of a set: 1 makes it larger.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, block: &mut Block, mut set: u64, one: i16) {
    while set != 0 {
        bits.refill();
        let mut left = BITS_A_REFILL;
        while set != 0 && left > 0 {
            let value = &mut block[usize::from(PLACE[set.trailing_zeros() as usize & 63])];
            set &= set - 1;
            left -= 1;
            *value = value.wrapping_add(((*value >> 15) | 1).wrapping_mul(one) & bits.sign());
        }
    }
}
