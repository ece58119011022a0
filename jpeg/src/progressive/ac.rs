//! Scans of AC, of one component each.

use super::{Component, Entropy};
use crate::{
    dct::Block,
    error::Error,
    header::{self, Tables},
    huffman::{Bits, Class, PLACE, Position, Table, WINDOW},
};

/// Correction bits that one refill serves.
const BITS_A_REFILL: u32 = 48;

/// What a scan brings.
#[derive(Debug)]
pub struct Scan {
    table: Box<Table>,
    /// First and last zigzag position.
    first: u32,
    last: u32,
    /// Bits that are left to come.
    low: u32,
    /// Whether it brings the next bit of what is known.
    refines: bool,
}

impl Scan {
    /// # Errors
    ///
    /// [`Error::Corrupt`] when its table is missing, or none.
    pub fn new(scan: &header::Scan, tables: &Tables) -> Result<Self, Error> {
        let definition = tables.ac[scan.components[0].2].as_ref().ok_or(Error::Corrupt("a Huffman table"))?;
        Ok(Self {
            table: Table::new(definition, Class::Symbols)?,
            first: scan.band.0 as u32,
            last: scan.band.1 as u32,
            low: scan.approximation.1,
            refines: scan.approximation.0 > 0,
        })
    }
}

/// Reads a scan, for every processor; tells where it ended.
pub fn portable(scan: &Scan, component: &mut Component, entropy: Entropy<'_, '_>) -> Result<Position, Error> {
    read(scan, component, entropy, nth_set)
}

/// As [`portable`], with instructions for bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
pub fn bits(scan: &Scan, component: &mut Component, entropy: Entropy<'_, '_>) -> Result<Position, Error> {
    read(scan, component, entropy, nth_set)
}

/// As [`portable`], for processors whose PDEP is fast.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
pub fn deposit(scan: &Scan, component: &mut Component, entropy: Entropy<'_, '_>) -> Result<Position, Error> {
    read(scan, component, entropy, |set, n| std::arch::x86_64::_pdep_u64(1 << n, set))
}

#[inline(always)]
fn read(
    scan: &Scan,
    component: &mut Component,
    mut entropy: Entropy<'_, '_>,
    nth_set: impl Fn(u64, u32) -> u64,
) -> Result<Position, Error> {
    let (mut end_run, mut invalid) = (0, false);
    for row in 0..component.rows {
        let places = row * component.stride..row * component.stride + component.columns;
        let kept = &mut component.kept;
        for (block, mask) in kept.blocks[places.clone()].iter_mut().zip(&mut kept.masks[places]) {
            if entropy.restart()? {
                invalid |= end_run > 0;
                end_run = 0;
            }
            if end_run > 0 && !scan.refines {
                end_run -= 1;
                continue;
            }
            entropy.source.ensure(&mut entropy.position, WINDOW);
            let mut bits = Bits::at(entropy.source.bytes(), entropy.position);
            end_run = if scan.refines {
                scan.refine(&mut bits, (block, mask), end_run, &mut invalid, &nth_set)
            } else {
                scan.bring(&mut bits, (block, mask), &mut invalid)
            };
            entropy.position = bits.position(entropy.position);
        }
        entropy.check(invalid)?;
    }
    entropy.check(end_run > 0)?;
    Ok(entropy.position)
}

impl Scan {
    /// The first bits of a block's coefficients. Tells how many more blocks have none.
    #[inline(always)]
    fn bring(&self, bits: &mut Bits<'_>, (block, mask): (&mut Block, &mut u64), invalid: &mut bool) -> u32 {
        let mut at = self.first;
        while at <= self.last {
            bits.refill();
            let symbol = bits.symbol(&self.table, invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            if size == 0 && run < 15 {
                return end_of_band(bits, run) - 1;
            }
            at += run;
            if size > 0 {
                let value = bits.value(size) << self.low;
                block[usize::from(PLACE[at as usize & 255]) & 63] = value as i16;
                *mask |= 1_u64.wrapping_shl(at);
                *invalid |= at > self.last || size > 10;
            }
            at += 1;
        }
        0
    }

    /// The next bit of a block's known coefficients, and those that begin with it. `end_run`: how many blocks from this one on bring no new ones;
    /// tells how many there are after it.
    #[inline(always)]
    fn refine(
        &self,
        bits: &mut Bits<'_>,
        (block, mask): (&mut Block, &mut u64),
        mut end_run: u32,
        invalid: &mut bool,
        nth_set: &impl Fn(u64, u32) -> u64,
    ) -> u32 {
        let band = (u64::MAX >> (63 - self.last)) & (u64::MAX << self.first);
        let (mut known, mut zeros) = (*mask & band, !*mask & band);
        let one = 1_i16 << self.low;
        let mut added = 0;
        while end_run == 0 && known | zeros != 0 {
            bits.refill();
            let symbol = bits.symbol(&self.table, invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            let mut value = 0;
            if size > 0 {
                value = if bits.sign() == 0 { -one } else { one };
                *invalid |= size != 1;
            } else if run < 15 {
                end_run = end_of_band(bits, run);
                break;
            }
            let target = nth_set(zeros, run);
            if target == 0 {
                // Fewer zeros than the run passes: nothing of the band is left.
                correct(bits, block, known, one);
                *invalid |= value != 0;
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
        *mask |= added;
        if end_run > 0 {
            correct(bits, block, known, one);
            end_run -= 1;
        }
        end_run
    }
}

/// Blocks that are at their end with this one, T.81 G.1.2.2.
#[inline(always)]
fn end_of_band(bits: &mut Bits<'_>, exponent: u32) -> u32 {
    (1 << exponent) + bits.take(exponent)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_set_bit_is_found_or_there_is_none() {
        assert_eq!(nth_set(0b1011_0100, 0), 0b100);
        assert_eq!(nth_set(0b1011_0100, 3), 0b1000_0000);
        assert_eq!(nth_set(0b1011_0100, 4), 0);
        assert_eq!(nth_set(0, 0), 0);
        assert_eq!(nth_set(u64::MAX, 15), 1 << 15);
    }
}
