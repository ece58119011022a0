//! The coefficients of a JPEG, for the questions that its decoder has no answer to.
//!
//! Sequential files with a scan for each component, and arithmetic-coded ones, are read here and written anew as the
//! kind that every decoder reads, coefficient by coefficient the same: [`rewritten`]. Of a file that ends too early
//! [`whole_rows`] tells how much of the picture is there. The pixels are always made by the one decoder.

mod arithmetic;
mod bits;
mod frame;
mod huffman;
mod write;

use super::{
    error::Error,
    markers::{self, SOS, Segment},
};
use arithmetic::{Arithmetic, Conditioning};
use bits::{Bad, Table};
use frame::{Frame, Part, Process, Scan};
use huffman::{Huffman, Tables};

/// 8 × 8 coefficients in zigzag order.
type Block = [i16; 64];

const DHT: u8 = 0xc4;
const DAC: u8 = 0xcc;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;

/// One kind of scan.
trait BlockDecoder {
    /// Reads the next block of a part of the scan.
    fn block(&mut self, part: usize, block: &mut Block) -> Result<(), Bad>;
    /// Goes on behind the next restart marker, if there is one.
    fn restart(&mut self) -> bool;
    /// Whether more was read than the file has.
    fn ran_dry(&self) -> bool;
}

/// A picture before its coefficients become pixels.
#[derive(Debug)]
struct Picture {
    frame: Frame,
    /// Blocks of each component, up to the end of the last unit.
    planes: Vec<Vec<Block>>,
    /// Each component's table as the file has it, number and all.
    quantization: Vec<Option<Vec<u8>>>,
    /// Segments that say what the colors are.
    applications: Vec<(u8, Vec<u8>)>,
}

/// A file as far as it was read.
#[derive(Default)]
struct Reading<'a> {
    frame: Option<Frame>,
    /// Whether the coefficients are wanted, not just their number.
    keep: bool,
    planes: Vec<Vec<Block>>,
    latched: Vec<Option<Vec<u8>>>,
    dc_tables: [Option<Table>; 4],
    ac_tables: [Option<Table>; 4],
    conditioning: Conditioning,
    quantization: [Option<&'a [u8]>; 4],
    applications: Vec<(u8, Vec<u8>)>,
    interval: u32,
    /// For each component and coefficient: rows that are known, and bits that are not.
    known: Vec<[(u32, u8); 64]>,
    damaged: bool,
}

/// A sequential file with Huffman codes and one scan, of the same coefficients; also how many rows of them are there.
///
/// # Errors
///
/// When the file contradicts itself, or is of a kind that is not read here.
pub(super) fn rewritten(jpeg: &[u8]) -> Result<(Vec<u8>, u32), Error> {
    let (picture, rows) = read(jpeg, true)?;
    let all: Vec<usize> = (0..picture.frame.components.len()).collect();
    Ok((write::jpeg(&picture, &[&all])?, rows))
}

/// Rows from the top of which every coefficient is there, to its last bit.
///
/// # Errors
///
/// As [`rewritten`].
pub(super) fn whole_rows(jpeg: &[u8]) -> Result<u32, Error> {
    read(jpeg, false).map(|(_, rows)| rows)
}

fn read(jpeg: &[u8], keep: bool) -> Result<(Picture, u32), Error> {
    let mut reading = Reading { keep, ..Reading::default() };
    for segment in markers::segments(jpeg) {
        reading.take(&segment)?;
        if reading.damaged {
            break;
        }
    }
    let frame = reading.frame.ok_or_else(|| Error::truncated("a jpeg without a frame"))?;
    if keep && reading.damaged {
        return Err(Error::corrupt("codes that no encoder writes"));
    }
    let last_bits =
        reading.known.iter().flatten().map(|(rows, missing)| if *missing == 0 { *rows } else { 0 });
    let rows = last_bits.min().unwrap_or(0);
    let (planes, quantization) = (reading.planes, reading.latched);
    Ok((Picture { frame, planes, quantization, applications: reading.applications }, rows))
}

impl<'a> Reading<'a> {
    fn take(&mut self, segment: &Segment<'a>) -> Result<(), Error> {
        let content = segment.content;
        match segment.marker {
            DHT => self.huffman_tables(content)?,
            DAC => self.conditioning.update(content),
            DQT => self.quantization_tables(content)?,
            DRI => self.interval = content.first_chunk().map_or(0, |two| u32::from(u16::from_be_bytes(*two))),
            SOS => self.scan(segment)?,
            APP0 | APP14 if self.keep => self.applications.push((segment.marker, content.to_vec())),
            0xc0..=0xcf if self.frame.is_none() && segment.marker != 0xc8 => {
                self.open(Frame::read(segment.marker, content)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) {
        let components = &frame.components;
        // Refinements build on what was there; else coefficients can be forgotten as soon as they are read.
        if self.keep || frame.process == Process::Progressive {
            self.planes = components.iter().map(|component| vec![[0; 64]; component.blocks()]).collect();
        }
        self.known = vec![[(0, 0); 64]; components.len()];
        self.latched = vec![None; components.len()];
        self.frame = Some(frame);
    }

    fn huffman_tables(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while let Some((kind, rest)) = content.split_first() {
            let (table, length) =
                Table::read(rest).ok_or_else(|| Error::corrupt("a table that is no code"))?;
            let tables = if kind >> 4 == 0 { &mut self.dc_tables } else { &mut self.ac_tables };
            tables[usize::from(kind & 3)] = Some(table);
            content = &rest[length..];
        }
        Ok(())
    }

    fn quantization_tables(&mut self, mut content: &'a [u8]) -> Result<(), Error> {
        while let Some(kind) = content.first() {
            let length = if kind >> 4 == 0 { 65 } else { 129 };
            let (table, rest) = content
                .split_at_checked(length)
                .ok_or_else(|| Error::corrupt("a quantization table that ends too early"))?;
            self.quantization[usize::from(kind & 3)] = Some(table);
            content = rest;
        }
        Ok(())
    }

    fn scan(&mut self, segment: &Segment<'a>) -> Result<(), Error> {
        let Some(frame) = &self.frame else { return Err(Error::corrupt("a scan before its frame")) };
        let scan = Scan::read(segment.content, frame)?;
        for part in &scan.parts {
            // The table counts that is there when the component's first scan begins.
            let number = usize::from(frame.components[part.component].quantization & 3);
            let latched = &mut self.latched[part.component];
            *latched = latched.take().or_else(|| self.quantization[number].map(<[u8]>::to_vec));
        }
        let (planes, interval) = (&mut self.planes, self.interval);
        let units = if frame.process == Process::Arithmetic {
            let tables: Vec<_> = scan.parts.iter().map(|part| (part.dc_table, part.ac_table)).collect();
            let decoder = Arithmetic::new(segment.data, self.conditioning, &tables, segment.cut);
            units(decoder, frame, &scan.parts, interval, planes)
        } else {
            let tables = |part: &Part| Tables {
                dc: self.dc_tables[part.dc_table].as_ref(),
                ac: self.ac_tables[part.ac_table].as_ref(),
            };
            let tables = scan.parts.iter().map(tables).collect();
            let decoder = Huffman::new(segment.data, frame.process, &scan, tables);
            units(decoder, frame, &scan.parts, interval, planes)
        };
        for part in &scan.parts {
            let band = usize::from(scan.band.0)..=usize::from(scan.band.1);
            let rows = rows(frame, &scan.parts, units.done);
            self.known[part.component][band].fill((rows, scan.approximation.1));
        }
        self.damaged |= units.damaged;
        Ok(())
    }
}

/// How far a scan was read.
struct Units {
    done: u32,
    damaged: bool,
}

/// Units of a scan across and down: blocks that have samples, if it has one component, else units of all of them.
fn size(frame: &Frame, parts: &[Part]) -> (u32, u32) {
    match parts {
        [part] => frame.components[part.component].own,
        _ => frame.units(),
    }
}

fn units(
    mut decoder: impl BlockDecoder,
    frame: &Frame,
    parts: &[Part],
    interval: u32,
    planes: &mut [Vec<Block>],
) -> Units {
    let (across, down) = size(frame, parts);
    for done in 0..across * down {
        let (x, y) = (done % across, done / across);
        let restarts = interval > 0 && done > 0 && done % interval == 0;
        if restarts && !decoder.restart() {
            return Units { done, damaged: false };
        }
        let read = unit(&mut decoder, frame, parts, (x, y), planes);
        // Zeros behind the end may be no code: that is the end, no damage.
        if decoder.ran_dry() || read.is_err() {
            return Units { done, damaged: !decoder.ran_dry() };
        }
    }
    Units { done: across * down, damaged: false }
}

fn unit(
    decoder: &mut impl BlockDecoder,
    frame: &Frame,
    parts: &[Part],
    (x, y): (u32, u32),
    planes: &mut [Vec<Block>],
) -> Result<(), Bad> {
    for (index, part) in parts.iter().enumerate() {
        let component = &frame.components[part.component];
        let (columns, rows) = if parts.len() == 1 { (1, 1) } else { component.factor };
        for inner in 0..columns * rows {
            let (x, y) = (x * columns + inner % columns, y * rows + inner / columns);
            let at = (y * component.padded.0 + x) as usize;
            let mut forgotten = [0; 64];
            let kept = planes.get_mut(part.component).and_then(|plane| plane.get_mut(at));
            decoder.block(index, kept.unwrap_or(&mut forgotten))?;
        }
    }
    Ok(())
}

/// Rows of the picture that so many units of a scan make.
fn rows(frame: &Frame, parts: &[Part], units: u32) -> u32 {
    let (across, _) = size(frame, parts);
    let height = match parts {
        [part] => 8 * frame.most.1 / frame.components[part.component].factor.1,
        _ => 8 * frame.most.1,
    };
    (units / across * height).min(frame.height)
}

#[cfg(test)]
mod tests;
