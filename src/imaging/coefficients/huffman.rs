//! Blocks of a scan with Huffman codes: sequential, and the four kinds of progressive scans.

use super::{
    Block, BlockDecoder,
    bits::{Bad, Bits, Table},
    frame::{Process, Scan},
};

/// The tables that a scan uses. They must be there when they are used, not before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables<'t> {
    pub dc: Option<&'t Table>,
    pub ac: Option<&'t Table>,
}

/// Reads the blocks of one scan.
#[derive(Debug)]
pub(super) struct Huffman<'a, 't> {
    bits: Bits<'a>,
    tables: Vec<Tables<'t>>,
    last_dc: Vec<i32>,
    /// Blocks that have nothing more in this band.
    ended: u32,
    kind: Kind,
    band: (usize, usize),
    shift: u8,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

impl<'a, 't> Huffman<'a, 't> {
    pub fn new(data: &'a [u8], process: Process, scan: &Scan, tables: Vec<Tables<'t>>) -> Self {
        let kind = match (process, scan.band.0, scan.approximation.0) {
            (Process::Progressive, 0, 0) => Kind::DcFirst,
            (Process::Progressive, 0, _) => Kind::DcRefine,
            (Process::Progressive, _, 0) => Kind::AcFirst,
            (Process::Progressive, _, _) => Kind::AcRefine,
            _ => Kind::Sequential,
        };
        Self {
            bits: Bits::new(data),
            last_dc: vec![0; tables.len()],
            tables,
            ended: 0,
            kind,
            band: (usize::from(scan.band.0), usize::from(scan.band.1)),
            shift: scan.approximation.1,
        }
    }

    fn dc(&mut self, part: usize) -> Result<i32, Bad> {
        let size = self.tables[part].dc.ok_or(Bad)?.symbol(&mut self.bits)?;
        if size > 15 {
            return Err(Bad);
        }
        let value = self.last_dc[part].wrapping_add(self.bits.take_signed(u32::from(size)));
        self.last_dc[part] = value;
        Ok(value)
    }

    /// All coefficients of a band but the first of all.
    fn ac(&mut self, part: usize, block: &mut Block) -> Result<(), Bad> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let table = self.tables[part].ac.ok_or(Bad)?;
        let mut k = self.band.0.max(1);
        while k <= self.band.1 {
            let (run, size) = run_and_size(table.symbol(&mut self.bits)?);
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    self.ended = (1 << run) - 1 + self.bits.take(run);
                    break;
                }
                _ => {
                    k += run as usize;
                    let value = self.bits.take_signed(size) << self.shift;
                    *block.get_mut(k).filter(|_| k <= self.band.1).ok_or(Bad)? = value as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    fn ac_refine(&mut self, part: usize, block: &mut Block) -> Result<(), Bad> {
        let mut k = self.band.0;
        let bit = 1_i16 << self.shift;
        if self.ended == 0 {
            let table = self.tables[part].ac.ok_or(Bad)?;
            while k <= self.band.1 {
                let (run, size) = run_and_size(table.symbol(&mut self.bits)?);
                let value = match (run, size) {
                    (15, 0) => 0,
                    (_, 0) => {
                        self.ended = (1 << run) + self.bits.take(run);
                        break;
                    }
                    (_, 1) if self.bits.take(1) == 1 => bit,
                    (_, 1) => -bit,
                    _ => return Err(Bad),
                };
                k = self.correct(block, k, Some(run), bit);
                if value != 0 {
                    *block.get_mut(k).filter(|_| k <= self.band.1).ok_or(Bad)? = value;
                }
                k += 1;
            }
        }
        if self.ended > 0 {
            self.correct(block, k, None, bit);
            self.ended -= 1;
        }
        Ok(())
    }

    /// Adds a bit to what is known already, up to the zero that comes after so many others, or to the end of the band.
    fn correct(&mut self, block: &mut Block, mut k: usize, mut zeros: Option<u32>, bit: i16) -> usize {
        while k <= self.band.1 {
            let value = &mut block[k];
            if *value != 0 {
                if self.bits.take(1) == 1 && *value & bit == 0 {
                    *value = value.wrapping_add(bit * value.signum());
                }
            } else if let Some(left) = &mut zeros {
                if *left == 0 {
                    break;
                }
                *left -= 1;
            }
            k += 1;
        }
        k
    }
}

impl BlockDecoder for Huffman<'_, '_> {
    fn block(&mut self, part: usize, block: &mut Block) -> Result<(), Bad> {
        match self.kind {
            Kind::Sequential => {
                block[0] = self.dc(part)? as i16;
                self.ac(part, block)?;
                // Here, unlike in progressive scans, the end of a block is about this block only.
                if self.ended > 0 { Err(Bad) } else { Ok(()) }
            }
            Kind::DcFirst => {
                block[0] = (self.dc(part)? << self.shift) as i16;
                Ok(())
            }
            Kind::DcRefine => {
                block[0] |= i16::from(self.bits.take(1) == 1) << self.shift;
                Ok(())
            }
            Kind::AcFirst => self.ac(part, block),
            Kind::AcRefine => self.ac_refine(part, block),
        }
    }

    fn restart(&mut self) -> bool {
        self.last_dc.fill(0);
        self.ended = 0;
        self.bits.restart()
    }

    fn ran_dry(&self) -> bool {
        self.bits.ran_dry()
    }
}

fn run_and_size(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}
