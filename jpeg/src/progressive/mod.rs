//! Photos in several scans of growing precision: all coefficients are collected, then they go the way of a baseline photo.

pub mod ac;
mod dc;
mod great;
mod script;
pub mod small;

use crate::{
    error::Error,
    header::{Frame, Reader, Scan, Tables},
    huffman::Position,
    limits::Limits,
    pipeline::Pipeline,
    scratch::Scratch,
    source::Source,
};
use great::Entries;
use script::Script;
use small::{Small, Wanted};

/// MCUs that are handed on at once.
const BATCH: usize = 32;

/// Most bytes for 8 × 8 pixels: 3.28 for each.
const MOST: u64 = 210;

/// Most great coefficients for a block, on average: grey ones take less then than the general way.
const MOST_GREAT: u64 = 18;

/// The coefficients of one component.
#[derive(Debug)]
pub struct Component {
    /// Blocks of the component itself; scans of one component visit just these.
    columns: usize,
    rows: usize,
    /// Blocks of a row with the padding of MCUs.
    stride: usize,
    horizontal: usize,
    vertical: usize,
    kept: Coefficients,
    /// How many great coefficients may still come.
    room: usize,
}

/// The coefficients of one component's blocks: 66 bytes for each, and four for each great one.
#[derive(Debug, Default)]
pub struct Coefficients {
    /// The first coefficient of each block: scans of these then touch 2 bytes of a block and not a line of the cache.
    dc: Vec<i16>,
    /// The others.
    ac: Vec<Small>,
    /// For each row of blocks those of the others that 8 bits do not hold.
    great: Vec<Entries>,
}

impl Coefficients {
    pub fn bytes(&self) -> usize {
        let great: usize = self.great.iter().map(|entries| entries.capacity() * size_of::<u32>()).sum();
        self.dc.capacity() * size_of::<i16>()
            + self.ac.capacity() * size_of::<Small>()
            + self.great.capacity() * size_of::<Entries>()
            + great
    }

    /// How many great coefficients a photo may have: with them it takes as many bytes as [`MOST`] says, which is one for each block when
    /// chroma has full size, and [`MOST_GREAT`] when it has half.
    fn room(frame: &Frame) -> usize {
        let blocks: u64 = (0..frame.components.len()).map(|component| frame.blocks(component)).sum();
        let left = frame.blocks(0) * MOST - blocks * (size_of::<Small>() + size_of::<i16>()) as u64;
        let room = (left / size_of::<u32>() as u64).min(blocks * MOST_GREAT);
        usize::try_from(room).unwrap_or(usize::MAX)
    }
}

/// The coefficients of a photo.
#[derive(Debug)]
pub struct Store {
    components: Vec<Component>,
    quants: Vec<[u16; 64]>,
}

/// The quantization table of each component.
///
/// # Errors
///
/// [`Error::Corrupt`] when one is missing.
pub fn quants(frame: &Frame, tables: &Tables) -> Result<Vec<[u16; 64]>, Error> {
    let table = |quant: usize| tables.quant[quant].ok_or(Error::Corrupt("a quantization table"));
    frame.components.iter().map(|component| table(component.quant)).collect()
}

/// Reads all scans, of which the first has been found.
///
/// # Errors
///
/// [`Error::Limit`] for too many scans or too much work, [`Error::Truncated`] and [`Error::Corrupt`] as soon as one is seen.
pub fn read(
    input: &[u8],
    reader: &mut Reader<'_>,
    frame: &Frame,
    first: Scan,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Store, Error> {
    let mut script = Script::new(frame, limits);
    script.check(&first)?;
    let mut components = empty(frame, scratch);
    let mut room = Coefficients::room(frame);
    let mut known = vec![None; components.len()];
    let mut next = Some(first);
    while let Some(scan) = next {
        // The tables of its first scan are a component's: a later definition is for others.
        for &(index, ..) in &scan.components {
            let quant = reader.tables.quant[frame.components[index].quant];
            known[index] = known[index].or(quant);
        }
        let mut source = Source::new(input, reader.at, std::mem::take(&mut scratch.source));
        let entropy = Entropy::new(&mut source, reader.tables.restart_interval);
        let position = match scan.band {
            (0, _) => dc::read(&scan, &mut components, &reader.tables, entropy, frame.mcus())?,
            _ => {
                let ac = ac::Scan::new(&scan, &reader.tables)?;
                let component = &mut components[scan.components[0].0];
                component.room = room;
                let position = scratch.kernels.ac_scan(&ac, component, entropy)?;
                room = component.room;
                position
            }
        };
        (reader.at, scratch.source) = source.finish(position)?;
        next = reader.scan()?;
        if let Some(scan) = &next {
            script.check(scan)?;
        }
    }
    script.complete()?;
    let quants = known.into_iter().map(|quant| quant.ok_or(Error::Corrupt("a quantization table")));
    Ok(Store { components, quants: quants.collect::<Result<_, _>>()? })
}

fn empty(frame: &Frame, scratch: &mut Scratch) -> Vec<Component> {
    let (columns, rows) = frame.mcus();
    let luma = frame.components[0];
    let component = |own: &crate::header::Component| {
        let by = (luma.horizontal / own.horizontal, luma.vertical / own.vertical);
        let stride = columns * own.horizontal;
        let count = stride * rows * own.vertical;
        let Coefficients { mut dc, mut ac, mut great } = scratch.coefficients.pop().unwrap_or_default();
        // Blocks that a photo has handed on are empty, so only new ones must be made.
        ac.resize(count, [0; 64]);
        dc.clear();
        dc.resize(count, 0);
        great.clear();
        great.resize(rows * own.vertical, Vec::new());
        Component {
            columns: frame.width.div_ceil(by.0).div_ceil(8),
            rows: frame.height.div_ceil(by.1).div_ceil(8),
            stride,
            horizontal: own.horizontal,
            vertical: own.vertical,
            kept: Coefficients { dc, ac, great },
            room: 0,
        }
    };
    frame.components.iter().map(component).collect()
}

impl Store {
    /// The quantization table of each component.
    pub fn quants(&self) -> &[[u16; 64]] {
        &self.quants
    }

    /// Hands all blocks on, MCU by MCU, and its memory back.
    pub fn pour(self, frame: &Frame, pipeline: &mut Pipeline, scratch: &mut Scratch) {
        let mut components = self.components;
        let (columns, rows) = frame.mcus();
        scratch.mcus.clear();
        scratch.mcus.resize(BATCH, [[0; 64]; 6]);
        for row in 0..rows {
            for first in (0..columns).step_by(BATCH) {
                let mcus = &mut scratch.mcus[..BATCH.min(columns - first)];
                scratch.kernels.widen(mcus, &mut components, Wanted { row, first });
                pipeline.take(mcus, first);
            }
            pipeline.end_row();
        }
        scratch.coefficients.extend(components.into_iter().rev().map(|component| component.kept));
    }
}

/// The bits of a scan, and its restarts.
#[derive(Debug)]
pub struct Entropy<'s, 'a> {
    source: &'s mut Source<'a>,
    position: Position,
    interval: usize,
    left: usize,
    restarts: u8,
}

impl<'s, 'a> Entropy<'s, 'a> {
    fn new(source: &'s mut Source<'a>, interval: usize) -> Self {
        Self { source, position: Position::default(), interval, left: interval, restarts: 0 }
    }

    /// Before each MCU, or block of a scan of one component: whether the bits began anew.
    #[inline(always)]
    fn restart(&mut self) -> Result<bool, Error> {
        if self.interval == 0 {
            return Ok(false);
        }
        let due = self.left == 0;
        if due {
            self.position = self.source.restart(self.position, self.restarts)?;
            self.restarts = (self.restarts + 1) % 8;
            self.left = self.interval;
        }
        self.left -= 1;
        Ok(due)
    }

    fn check(&self, invalid: bool) -> Result<(), Error> {
        if self.source.overrun(&self.position) {
            return Err(Error::Truncated);
        }
        if invalid { Err(Error::Corrupt("a scan")) } else { Ok(()) }
    }
}
