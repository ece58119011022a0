//! Scans of DC: of several components MCU by MCU, of one block by block.

use super::{Component, Entropy};
use crate::{
    error::Error,
    header::{Scan, Tables},
    huffman::{Bits, Class, Position, Table, WINDOW},
};

/// Reads a scan and tells where it ended; `columns` and `rows` are those of MCUs.
pub(super) fn read(
    scan: &Scan,
    components: &mut [Component],
    tables: &Tables,
    entropy: Entropy<'_, '_>,
    (columns, rows): (usize, usize),
) -> Result<Position, Error> {
    let mut reader = Reader { entropy, low: scan.approximation.1, predictors: [0; 3], invalid: false };
    let mut decoders = Vec::with_capacity(3);
    if scan.approximation.0 == 0 {
        for &(_, dc, _) in &scan.components {
            let definition = tables.dc[dc].as_ref().ok_or(Error::Corrupt("a Huffman table"))?;
            decoders.push(Table::new(definition, Class::Symbols)?);
        }
    }
    if let [(index, ..)] = scan.components[..] {
        let component = &mut components[index];
        for row in 0..component.rows {
            let first = row * component.stride;
            for dc in &mut component.kept.dc[first..first + component.columns] {
                reader.begin()?;
                reader.block(decoders.first().map(|table| &**table), 0, dc);
            }
            reader.entropy.check(reader.invalid)?;
        }
        return Ok(reader.entropy.position);
    }
    for row in 0..rows {
        for column in 0..columns {
            reader.begin()?;
            for (at, &(index, ..)) in scan.components.iter().enumerate() {
                let (component, table) = (&mut components[index], decoders.get(at).map(|table| &**table));
                for y in 0..component.vertical {
                    let first =
                        (row * component.vertical + y) * component.stride + column * component.horizontal;
                    for dc in &mut component.kept.dc[first..first + component.horizontal] {
                        reader.block(table, at, dc);
                    }
                }
            }
        }
        reader.entropy.check(reader.invalid)?;
    }
    Ok(reader.entropy.position)
}

struct Reader<'s, 'a> {
    entropy: Entropy<'s, 'a>,
    low: u32,
    predictors: [i32; 3],
    invalid: bool,
}

impl Reader<'_, '_> {
    #[inline(always)]
    fn begin(&mut self) -> Result<(), Error> {
        if self.entropy.restart()? {
            self.predictors = [0; 3];
        }
        Ok(())
    }

    /// With a table a difference, without one the next bit.
    #[inline(always)]
    fn block(&mut self, table: Option<&Table>, at: usize, dc: &mut i16) {
        let entropy = &mut self.entropy;
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
