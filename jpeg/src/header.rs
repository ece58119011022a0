//! The segments of a file: what they define, and whether the photo is one of those that are made here.

use crate::{error::Error, huffman::Definition, limits::Limits};

const MARKER_SOF0: u8 = 0xc0;
const MARKER_SOF1: u8 = 0xc1;
const MARKER_SOF2: u8 = 0xc2;
const MARKER_DHT: u8 = 0xc4;
const MARKER_EOI: u8 = 0xd9;
const MARKER_SOS: u8 = 0xda;
const MARKER_DQT: u8 = 0xdb;
const MARKER_DRI: u8 = 0xdd;
const MARKER_APP0: u8 = 0xe0;
const MARKER_APP14: u8 = 0xee;

/// One component as the frame declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    id: u8,
    /// Blocks of an MCU in a row, 1 or 2.
    pub horizontal: usize,
    /// Blocks of an MCU in a column, 1 or 2.
    pub vertical: usize,
    /// Which quantization table.
    pub quant: usize,
}

/// What the frame header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether the picture comes in several scans of growing precision.
    pub progressive: bool,
    /// px.
    pub width: usize,
    /// px.
    pub height: usize,
    /// One, or luma and two of chroma.
    pub components: Vec<Component>,
}

impl Frame {
    /// Columns and rows of MCUs.
    pub fn mcus(&self) -> (usize, usize) {
        let luma = self.components[0];
        (self.width.div_ceil(8 * luma.horizontal), self.height.div_ceil(8 * luma.vertical))
    }

    /// Blocks of a component, with those that fill its last MCUs.
    pub fn blocks(&self, component: usize) -> u64 {
        let ((columns, rows), own) = (self.mcus(), self.components[component]);
        (columns * rows * own.horizontal * own.vertical) as u64
    }
}

/// What a scan header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Index of each component in the frame, and of its tables for DC and AC.
    pub components: Vec<(usize, usize, usize)>,
    /// First and last zigzag position.
    pub band: (usize, usize),
    /// Bits left to come before this scan, 0 for a first one, and after it.
    pub approximation: (u32, u32),
}

/// Tables as they are defined so far.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Quantization, by zigzag position.
    pub quant: [Option<[u16; 64]>; 4],
    /// Huffman codes for DC.
    pub dc: [Option<Definition>; 4],
    /// Huffman codes for AC.
    pub ac: [Option<Definition>; 4],
    /// MCUs between restart markers, 0 for none.
    pub restart_interval: usize,
}

/// Reads a file from segment to segment.
#[derive(Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    /// Where the next segment is looked for, or the bytes of a scan begin.
    pub at: usize,
    /// What was defined on the way.
    pub tables: Tables,
    frame: Option<Frame>,
    adobe: Option<u8>,
    jfif: bool,
}

impl<'a> Reader<'a> {
    /// # Errors
    ///
    /// [`Error::Unsupported`] when it does not begin as a JPEG.
    pub fn new(input: &'a [u8]) -> Result<Self, Error> {
        if !input.starts_with(&[0xff, 0xd8]) {
            return Err(Error::Unsupported("what is no JPEG"));
        }
        Ok(Self { input, at: 2, tables: Tables::default(), frame: None, adobe: None, jfif: false })
    }

    /// Reads up to the first scan.
    ///
    /// # Errors
    ///
    /// Any; nothing was allocated for pixels.
    pub fn frame(&mut self, limits: &Limits) -> Result<(Frame, Scan), Error> {
        let scan = self.scan()?.ok_or(Error::Truncated)?;
        let frame = self.frame.clone().ok_or(Error::Corrupt("the order of segments"))?;
        limits.check(&frame)?;
        if frame.components.len() == 3 {
            let named_rgb = !self.jfif && frame.components.iter().map(|one| one.id).eq(*b"RGB");
            if self.adobe.map_or(named_rgb, |transform| transform != 1) {
                return Err(Error::Unsupported("RGB"));
            }
        }
        Ok((frame, scan))
    }

    /// Reads up to the next scan, after whose header `at` then is; nothing at the end of the picture.
    ///
    /// # Errors
    ///
    /// Whatever makes it another kind of JPEG, or a broken one.
    pub fn scan(&mut self) -> Result<Option<Scan>, Error> {
        while let Some((marker, payload)) = self.segment()? {
            match marker {
                MARKER_EOI => return Ok(None),
                MARKER_SOS => return self.scan_header(payload).map(Some),
                MARKER_SOF0 | MARKER_SOF1 | MARKER_SOF2 => self.frame_header(marker, payload)?,
                MARKER_DHT => self.huffman(payload)?,
                MARKER_DQT => self.quantization(payload)?,
                MARKER_DRI => self.tables.restart_interval = number(payload, 0)?,
                MARKER_APP0 => self.jfif |= payload.starts_with(b"JFIF\0"),
                MARKER_APP14 if payload.starts_with(b"Adobe") => self.adobe = payload.get(11).copied(),
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return Err(Error::Unsupported("this kind of frame")),
                0xdc | 0xde | 0xdf => return Err(Error::Unsupported("hierarchies and late heights")),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The next segment's marker and payload. Junk before a marker is passed over, as all decoders do.
    fn segment(&mut self) -> Result<Option<(u8, &'a [u8])>, Error> {
        loop {
            let rest = self.input.get(self.at..).unwrap_or_default();
            let Some(found) = memchr::memchr(0xff, rest) else { return Ok(None) };
            self.at += found + 1;
            let Some(&marker) = self.input.get(self.at) else { return Ok(None) };
            match marker {
                // Stuffing, a fill byte, and markers that have no payload and no meaning here.
                0x00 | 0xff | 0x01 | 0xd0..=0xd8 => continue,
                MARKER_EOI => return Ok(Some((marker, &[]))),
                _ => {}
            }
            let length = number(self.input, self.at + 1)?;
            let payload = self.input.get(self.at + 3..self.at + 1 + length).ok_or(Error::Truncated)?;
            self.at += 1 + length;
            return Ok(Some((marker, payload)));
        }
    }

    fn frame_header(&mut self, marker: u8, payload: &[u8]) -> Result<(), Error> {
        let &[8, h1, h0, w1, w0, count, ref rest @ ..] = payload else {
            return Err(Error::Unsupported("other than 8 bits"));
        };
        if self.frame.is_some() {
            return Err(Error::Corrupt("the order of segments"));
        }
        let (width, height) =
            (usize::from(u16::from_be_bytes([w1, w0])), usize::from(u16::from_be_bytes([h1, h0])));
        if height == 0 || width == 0 {
            return Err(Error::Unsupported("a height that comes later"));
        }
        let (declared, left) = rest.as_chunks::<3>();
        if declared.len() != usize::from(count) || !left.is_empty() {
            return Err(Error::Corrupt("the frame header"));
        }
        let mut components: Vec<_> = declared.iter().map(component).collect();
        match &mut components[..] {
            // An only component is not interleaved: its blocks come one by one, whatever it says.
            [only] => (only.horizontal, only.vertical) = (1, 1),
            [luma, blue, red] => {
                let plain = |one: &Component| (one.horizontal, one.vertical) == (1, 1);
                let sampled = matches!(luma.horizontal, 1 | 2) && matches!(luma.vertical, 1 | 2);
                if !(sampled && plain(blue) && plain(red)) {
                    return Err(Error::Unsupported("this sampling"));
                }
                if luma.id == blue.id || luma.id == red.id || blue.id == red.id {
                    return Err(Error::Corrupt("the frame header"));
                }
            }
            _ => return Err(Error::Unsupported("this number of components")),
        }
        if components.iter().any(|one| one.quant > 3) {
            return Err(Error::Corrupt("the frame header"));
        }
        self.frame = Some(Frame { progressive: marker == MARKER_SOF2, width, height, components });
        Ok(())
    }

    fn scan_header(&self, payload: &[u8]) -> Result<Scan, Error> {
        const BROKEN: Error = Error::Corrupt("a scan header");
        let frame = self.frame.as_ref().ok_or(Error::Corrupt("the order of segments"))?;
        let (&count, rest) = payload.split_first().ok_or(BROKEN)?;
        let (listed, spectral) = rest.split_at_checked(2 * usize::from(count)).ok_or(BROKEN)?;
        let &[first, last, approximation] = spectral else { return Err(BROKEN) };
        let mut components = Vec::with_capacity(3);
        for &[id, tables] in listed.as_chunks::<2>().0 {
            let index = frame.components.iter().position(|one| one.id == id).ok_or(BROKEN)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            // In the frame's order, each once.
            if dc > 3 || ac > 3 || components.last().is_some_and(|(before, _, _)| *before >= index) {
                return Err(BROKEN);
            }
            components.push((index, dc, ac));
        }
        if components.is_empty() {
            return Err(BROKEN);
        }
        let approximation = (u32::from(approximation >> 4), u32::from(approximation & 15));
        Ok(Scan { components, band: (first.into(), last.into()), approximation })
    }

    fn huffman(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        const BROKEN: Error = Error::Corrupt("a Huffman table");
        while let Some((&[head], rest)) = payload.split_first_chunk::<1>() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(BROKEN)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(BROKEN)?;
            let (class, slot) = (head >> 4, usize::from(head & 15));
            if class > 1 || slot > 3 || total > 256 {
                return Err(BROKEN);
            }
            let slots = if class == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            slots[slot] = Some(Definition { counts: *counts, symbols: symbols.to_vec() });
            payload = rest;
        }
        Ok(())
    }

    fn quantization(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        const BROKEN: Error = Error::Corrupt("a quantization table");
        while let Some((&head, rest)) = payload.split_first() {
            let slot = self.tables.quant.get_mut(usize::from(head & 15)).ok_or(BROKEN)?;
            let width = match head >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(BROKEN),
            };
            let (values, rest) = rest.split_at_checked(64 * width).ok_or(BROKEN)?;
            let mut table = [0; 64];
            for (value, bytes) in table.iter_mut().zip(values.chunks_exact(width)) {
                *value = bytes.iter().fold(0, |value, &byte| value << 8 | u16::from(byte));
            }
            if table.contains(&0) {
                return Err(BROKEN);
            }
            *slot = Some(table);
            payload = rest;
        }
        Ok(())
    }
}

fn component(&[id, sampling, quant]: &[u8; 3]) -> Component {
    Component {
        id,
        horizontal: usize::from(sampling >> 4),
        vertical: usize::from(sampling & 15),
        quant: quant.into(),
    }
}

/// Two bytes at `at`.
fn number(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let two = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Error::Truncated)?;
    Ok(u16::from_be_bytes(*two).into())
}
