//! Scans of DC: of several components MCU by MCU, of one block by block.

use super::{Component, Entropy};
use crate::{
    error::Error,
    header::{Scan, Tables},
    huffman::{Bits, Class, Table, WINDOW},
};

pub(super) fn read(
    scan: &Scan,
    components: &mut [Component],
    tables: &Tables,
    entropy: &mut Entropy<'_, '_>,
    (columns, rows): (usize, usize),
) -> Result<(), Error> {
    let first = scan.approximation.0 == 0;
    let mut decoders = Vec::with_capacity(3);
    for &(_, dc, _) in &scan.components {
        let table = || tables.dc[dc].as_ref().ok_or(Error::Corrupt("a Huffman table"));
        decoders.push(if first { Some(Table::new(table()?, Class::Symbols)?) } else { None });
    }
    let mut reader = Reader { low: scan.approximation.1, predictors: [0; 3], invalid: false };
    if let [(index, ..)] = scan.components[..] {
        let component = &mut components[index];
        for row in 0..component.rows {
            for column in 0..component.columns {
                let place = row * component.stride + column;
                reader.begin(entropy)?;
                reader.block(entropy, decoders[0].as_deref(), 0, &mut component.blocks[place][0]);
            }
            entropy.check(reader.invalid)?;
        }
        return Ok(());
    }
    for row in 0..rows {
        for column in 0..columns {
            reader.begin(entropy)?;
            for (at, (&(index, ..), table)) in scan.components.iter().zip(&decoders).enumerate() {
                let component = &mut components[index];
                for block in 0..component.horizontal * component.vertical {
                    let (y, x) = (block / component.horizontal, block % component.horizontal);
                    let place =
                        (row * component.vertical + y) * component.stride + column * component.horizontal + x;
                    reader.block(entropy, table.as_deref(), at, &mut component.blocks[place][0]);
                }
            }
        }
        entropy.check(reader.invalid)?;
    }
    Ok(())
}

struct Reader {
    low: u32,
    predictors: [i32; 3],
    invalid: bool,
}

impl Reader {
    fn begin(&mut self, entropy: &mut Entropy<'_, '_>) -> Result<(), Error> {
        if entropy.restart()? {
            self.predictors = [0; 3];
        }
        Ok(())
    }

    /// With a table a difference, without one the next bit.
    fn block(&mut self, entropy: &mut Entropy<'_, '_>, table: Option<&Table>, at: usize, dc: &mut i16) {
        entropy.source.ensure(&mut entropy.position, WINDOW);
        let mut bits = Bits::at(entropy.source.bytes(), entropy.position);
        bits.refill();
        match table {
            Some(table) => {
                let size = bits.symbol(table, &mut self.invalid);
                self.invalid |= size > 11;
                let predictor = &mut self.predictors[at];
                *predictor = predictor.wrapping_add(bits.value(size & 15));
                *dc = (*predictor << self.low) as i16;
            }
            None => *dc |= (bits.take(1) << self.low) as i16,
        }
        entropy.position = bits.position(entropy.position);
    }
}
