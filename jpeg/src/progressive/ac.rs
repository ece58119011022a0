//! Scans of AC, of one component each.

use super::{
    Component, Entropy,
    great::{ELSEWHERE, Pass},
    small::{Small, nonzero_portable},
};
use crate::{
    error::Error,
    header::{self, Tables},
    huffman::{Bits, Class, Position, Table, WINDOW},
};

/// Correction bits that one refill serves.
const BITS_A_REFILL: u32 = 48;

const TOO_GREAT: Error = Error::Unsupported("so many great coefficients");

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
    read(scan, component, entropy, nonzero_portable, nth_set)
}

/// As [`portable`], with instructions for bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub fn bits(scan: &Scan, component: &mut Component, entropy: Entropy<'_, '_>) -> Result<Position, Error> {
    read(scan, component, entropy, |block| super::small::nonzero_avx2(block), nth_set)
}

/// As [`portable`], for processors whose PDEP is fast.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub fn deposit(scan: &Scan, component: &mut Component, entropy: Entropy<'_, '_>) -> Result<Position, Error> {
    let nth_set = |set: u64, n: u32| std::arch::x86_64::_pdep_u64(1_u64 << n, set);
    read(scan, component, entropy, |block| super::small::nonzero_avx2(block), nth_set)
}

/// One block, and what of it is kept elsewhere.
struct Place<'b, 'r> {
    block: &'b mut Small,
    column: usize,
    great: &'b mut Pass<'r>,
    invalid: &'b mut bool,
}

#[inline(always)]
fn read(
    scan: &Scan,
    component: &mut Component,
    mut entropy: Entropy<'_, '_>,
    nonzero: impl Fn(&Small) -> u64,
    nth_set: impl Fn(u64, u32) -> u64,
) -> Result<Position, Error> {
    let (mut end_run, mut invalid) = (0, false);
    let kept = &mut component.kept;
    for (blocks, great) in
        kept.ac.chunks_exact_mut(component.stride).zip(&mut kept.great).take(component.rows)
    {
        let mut great = Pass::new(great);
        for (column, block) in blocks[..component.columns].iter_mut().enumerate() {
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
            let mut place = Place { block, column, great: &mut great, invalid: &mut invalid };
            end_run = if scan.refines {
                let known = nonzero(place.block);
                scan.refine(&mut bits, &mut place, known, end_run, &nth_set)
            } else {
                scan.bring(&mut bits, &mut place)
            };
            entropy.position = bits.position(entropy.position);
        }
        component.room = component.room.checked_sub(great.finish()).ok_or(TOO_GREAT)?;
        entropy.check(invalid)?;
    }
    entropy.check(end_run > 0)?;
    Ok(entropy.position)
}

impl Scan {
    /// The first bits of a block's coefficients. Tells how many more blocks have none.
    #[inline(always)]
    fn bring(&self, bits: &mut Bits<'_>, place: &mut Place<'_, '_>) -> u32 {
        let mut at = self.first;
        while at <= self.last {
            bits.refill();
            let symbol = bits.symbol(&self.table, place.invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            if size == 0 && run < 15 {
                return end_of_band(bits, run) - 1;
            }
            at += run;
            if size > 0 {
                place.begin(at & 63, bits.value(size) << self.low);
                *place.invalid |= at > self.last || size > 10;
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
        place: &mut Place<'_, '_>,
        nonzero: u64,
        mut end_run: u32,
        nth_set: &impl Fn(u64, u32) -> u64,
    ) -> u32 {
        let band = (u64::MAX >> (63 - self.last)) & (u64::MAX << self.first);
        let (mut known, mut zeros) = (nonzero & band, !nonzero & band);
        let one = 1 << self.low;
        while end_run == 0 && known | zeros != 0 {
            bits.refill();
            let symbol = bits.symbol(&self.table, place.invalid);
            let (run, size) = ((symbol >> 4) & 15, symbol & 15);
            let mut value = 0;
            if size > 0 {
                value = if bits.sign() == 0 { -one } else { one };
                *place.invalid |= size != 1;
            } else if run < 15 {
                end_run = end_of_band(bits, run);
                break;
            }
            let target = nth_set(zeros, run);
            if target == 0 {
                // Fewer zeros than the run passes: nothing of the band is left.
                place.correct(bits, known, one);
                *place.invalid |= value != 0;
                known = 0;
                break;
            }
            let below = target - 1;
            place.correct(bits, known & below, one);
            known &= !below;
            zeros &= !(below | target);
            if value != 0 {
                place.begin(target.trailing_zeros() & 63, value);
            }
        }
        if end_run > 0 {
            place.correct(bits, known, one);
            end_run -= 1;
        }
        end_run
    }
}

impl Place<'_, '_> {
    /// A coefficient that was 0.
    #[inline(always)]
    fn begin(&mut self, position: u32, value: i32) {
        let small = value as i8;
        if i32::from(small) != value || small == ELSEWHERE {
            self.block[position as usize & 63] = ELSEWHERE;
            *self.invalid |= self.great.add(self.column, position, value).is_none();
        } else {
            self.block[position as usize & 63] = small;
        }
    }

    /// Reads a bit for each known coefficient of a set: 1 makes it larger.
    #[inline(always)]
    fn correct(&mut self, bits: &mut Bits<'_>, mut set: u64, one: i32) {
        while set != 0 {
            bits.refill();
            let mut left = BITS_A_REFILL;
            while set != 0 && left > 0 {
                let position = set.trailing_zeros();
                let value = &mut self.block[position as usize & 63];
                set &= set - 1;
                left -= 1;
                let larger = (((i32::from(*value) >> 31) | 1) * one) & i32::from(bits.sign());
                let corrected = i32::from(*value) + larger;
                if corrected.abs() < 128 {
                    *value = corrected as i8;
                } else {
                    self.correct_great(position, larger);
                }
            }
        }
    }

    /// Corrects a coefficient that is kept elsewhere, or is from now on.
    #[cold]
    #[inline(never)]
    fn correct_great(&mut self, position: u32, larger: i32) {
        let value = &mut self.block[position as usize & 63];
        let kept = if *value == ELSEWHERE {
            let great = self.great.get(self.column, position);
            great.and_then(|great| {
                let larger = if great < 0 { -larger.abs() } else { larger.abs() };
                self.great.set(self.column, position, i32::from(great) + larger)
            })
        } else {
            let corrected = i32::from(*value) + larger;
            *value = ELSEWHERE;
            self.great.add(self.column, position, corrected)
        };
        *self.invalid |= kept.is_none();
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
