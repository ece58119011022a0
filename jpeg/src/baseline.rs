//! Photos in one scan: bits straight to the pipeline, 32 MCUs at a time.

use crate::{
    error::Error,
    header::{Frame, Scan, Tables},
    huffman::{Class, Position, Table, WINDOW, block},
    pipeline::{Mcu, Pipeline},
    scratch::Scratch,
    source::Source,
};

/// MCUs whose bits are read before they are transformed.
const BATCH: usize = 32;

/// Blocks of an MCU at most.
const MCU_BLOCKS: usize = 6;

/// Reads the scan whose bytes begin at `at`.
///
/// # Errors
///
/// [`Error::Truncated`] and [`Error::Corrupt`] as soon as one is seen.
pub fn read(
    input: &[u8],
    at: usize,
    (frame, scan, tables): (&Frame, &Scan, &Tables),
    pipeline: &mut Pipeline,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let decoders = decoders(scan, tables)?;
    let mut source = Source::new(input, at, std::mem::take(&mut scratch.source));
    scratch.mcus.clear();
    scratch.mcus.resize(BATCH, [[0; 64]; MCU_BLOCKS]);
    let luma = frame.components[0].horizontal * frame.components[0].vertical;
    let mut entropy = Entropy {
        decoders,
        luma,
        position: Position::default(),
        predictors: [0; 3],
        interval: tables.restart_interval,
        left: tables.restart_interval,
        restarts: 0,
    };
    let (columns, rows) = frame.mcus();
    for _ in 0..rows {
        for first in (0..columns).step_by(BATCH) {
            let mcus = &mut scratch.mcus[..BATCH.min(columns - first)];
            entropy.read(&mut source, mcus)?;
            pipeline.take(mcus, first);
        }
        pipeline.end_row();
    }
    scratch.source = source.finish(entropy.position)?.1;
    Ok(())
}

/// Tables for DC and AC of each component.
fn decoders(scan: &Scan, tables: &Tables) -> Result<Vec<[Box<Table>; 2]>, Error> {
    const MISSING: Error = Error::Corrupt("a Huffman table");
    let table = |(_, dc, ac): &(usize, usize, usize)| {
        let (dc, ac) = (tables.dc[*dc].as_ref().ok_or(MISSING)?, tables.ac[*ac].as_ref().ok_or(MISSING)?);
        Ok([Table::new(dc, Class::Dc)?, Table::new(ac, Class::Ac)?])
    };
    scan.components.iter().map(table).collect()
}

struct Entropy {
    decoders: Vec<[Box<Table>; 2]>,
    luma: usize,
    position: Position,
    predictors: [i32; 3],
    interval: usize,
    left: usize,
    restarts: u8,
}

impl Entropy {
    fn read(&mut self, source: &mut Source<'_>, mcus: &mut [Mcu]) -> Result<(), Error> {
        let mut invalid = false;
        for mcu in mcus {
            if self.interval > 0 {
                if self.left == 0 {
                    self.restart(source)?;
                }
                self.left -= 1;
            }
            source.ensure(&mut self.position, MCU_BLOCKS * WINDOW);
            let bytes = source.bytes();
            let (position, predictors) = (&mut self.position, &mut self.predictors);
            let [dc, ac] = &self.decoders[0];
            for block_of_luma in &mut mcu[..self.luma] {
                invalid |= block(bytes, position, (dc, ac), &mut predictors[0], block_of_luma);
            }
            if let [_, blue, red] = &self.decoders[..] {
                invalid |= block(bytes, position, (&blue[0], &blue[1]), &mut predictors[1], &mut mcu[4]);
                invalid |= block(bytes, position, (&red[0], &red[1]), &mut predictors[2], &mut mcu[5]);
            }
        }
        if source.overrun(&self.position) {
            return Err(Error::Truncated);
        }
        if invalid { Err(Error::Corrupt("the picture")) } else { Ok(()) }
    }

    fn restart(&mut self, source: &mut Source<'_>) -> Result<(), Error> {
        self.position = source.restart(self.position, self.restarts)?;
        self.restarts = (self.restarts + 1) % 8;
        self.left = self.interval;
        self.predictors = [0; 3];
        Ok(())
    }
}
