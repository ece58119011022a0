//! TIFF and BigTIFF directories, as files of their own and as the body of EXIF.

use std::collections::HashSet;

use super::{
    super::{Limits, error::Error},
    Found, Metadata, Pixel, Profile, exif,
    reader::Numbers,
    tiff_parts, xmp_has_gps,
};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const PHOTOMETRIC: u16 = 262;
const SAMPLES: u16 = 277;
const EXTRA_SAMPLES: u16 = 338;
const XMP: u16 = 700;
const ICC: u16 = 34_675;

/// Samples are inks.
const SEPARATED: u64 = 5;

/// The extra sample is alpha that the others were multiplied by.
const ASSOCIATED: u64 = 1;

/// Most tags of a picture.
const MAX_ENTRIES: u64 = 4_096;

/// Most numbers of an entry: the colors of a palette of eight bits.
const MAX_SHORTS: usize = 3 * 256;

/// Pages that are counted.
const MAX_PAGES: usize = 4_096;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let first = Directory::first(bytes).ok_or_else(|| Error::corrupt("no tiff directory"))?;
    let side = |tag| {
        let value = first.entry(tag).and_then(|entry| first.number(&entry));
        value.and_then(|px| u32::try_from(px).ok()).ok_or_else(|| Error::corrupt("a tiff without sides"))
    };
    let mut found = Found::of_size(side(WIDTH)?, side(HEIGHT)?);
    limits.check_size(found.width, found.height)?;
    if first.entries > MAX_ENTRIES {
        return Err(Error::TooComplex(format!("over {MAX_ENTRIES} tags")));
    }
    if first.says_twice() {
        return Err(Error::corrupt("a tag that is there twice"));
    }
    found.decoder_bytes = tiff_parts::check(bytes, &first, (found.width, found.height))?;
    found.pixel = pixel(&first);
    if has_rare_numbers(&first, found.pixel) {
        return Err(Error::Unsupported("image/tiff of rare numbers"));
    }
    let number = |tag| first.entry(tag).and_then(|entry| first.number(&entry));
    found.inks = (number(PHOTOMETRIC), number(SAMPLES)) == (Some(SEPARATED), Some(4));
    let mut metadata = Metadata::default();
    if let Some(profile) = first.entry(ICC) {
        found.icc = first.data(&profile).map_or(Profile::Broken, |data| Profile::Bytes(data.to_vec()));
    }
    if let Some(xmp) = first.entry(XMP).and_then(|entry| first.data(&entry)) {
        metadata.add(xmp.len(), limits)?;
        found.xmp_gps = xmp_has_gps(xmp);
    }
    found.premultiplied = number(EXTRA_SAMPLES) == Some(ASSOCIATED);
    found.exif = Some(exif::from_directory(bytes, &first));
    found.frames = u32::try_from(first.pages()).expect("at most 4,096");
    Ok(found)
}

/// By samples and bits; the depth may stand elsewhere when there are several samples.
fn pixel(first: &Directory<'_>) -> Pixel {
    const BITS: u16 = 258;
    const PALETTE: u64 = 3;
    let number = |tag| first.entry(tag).and_then(|entry| first.number(&entry));
    let samples = u32::try_from(number(SAMPLES).unwrap_or(1).clamp(1, 4)).expect("at most 4");
    let deepest = largest(first, BITS);
    let channels = if number(PHOTOMETRIC) == Some(PALETTE) { 3 } else { samples };
    let bytes = match deepest.unwrap_or(1) {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    };
    Pixel { channels, bytes }
}

/// The largest of the numbers that there are of a tag for each sample.
fn largest(first: &Directory<'_>, tag: u16) -> Option<u16> {
    first.entry(tag).and_then(|entry| match entry.count {
        1 => first.number(&entry).map(|value| u16::try_from(value).unwrap_or(u16::MAX)),
        2 => first.pair(&entry).map(|[one, other]| one.max(other)),
        _ => first.shorts(&entry).and_then(|values| values.into_iter().max()),
    })
}

/// Deep samples that are no fractions, which the decoder takes them for, and those that may be negative.
fn has_rare_numbers(first: &Directory<'_>, pixel: Pixel) -> bool {
    const SAMPLE_FORMAT: u16 = 339;
    const SIGNED: u16 = 2;
    const FRACTION: u16 = 3;
    let format = largest(first, SAMPLE_FORMAT);
    format == Some(SIGNED) || (pixel.bytes == 4 && format != Some(FRACTION))
}

/// One directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::imaging) struct Directory<'a> {
    numbers: Numbers<'a>,
    big: bool,
    offset: u64,
    pub entries: u64,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::imaging) struct Entry {
    at: usize,
    pub kind: u16,
    pub count: u64,
}

impl<'a> Directory<'a> {
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let numbers = order(bytes)?;
        match numbers.u16(2)? {
            42 => Self::open(numbers, false, u64::from(numbers.u32(4)?)),
            43 => Self::open(numbers, true, numbers.u64(8)?),
            _ => None,
        }
    }

    pub fn at(bytes: &'a [u8], offset: u64) -> Option<Self> {
        let numbers = order(bytes)?;
        Self::open(numbers, numbers.u16(2)? == 43, offset)
    }

    fn open(numbers: Numbers<'a>, big: bool, offset: u64) -> Option<Self> {
        let at = usize::try_from(offset).ok()?;
        let entries = if big { numbers.u64(at)? } else { u64::from(numbers.u16(at)?) };
        Some(Self { numbers, big, offset, entries })
    }

    /// Whether it announces more entries than there are bytes.
    pub fn is_broken(&self) -> bool {
        self.next_at().is_none_or(|at| at > self.numbers.bytes.len())
    }

    /// Whether the chain of directories leads back to itself.
    pub fn loops(&self) -> bool {
        self.walk().1
    }

    /// Directories in the chain.
    pub fn pages(&self) -> usize {
        self.walk().0
    }

    /// Whether a tag has two values, of which a decoder may take the other one.
    pub fn says_twice(&self) -> bool {
        let (head, size) = if self.big { (8, 20) } else { (2, 12) };
        let tags = (0..self.entries).map_while(|index| {
            let at = self.offset.checked_add(head + index * size)?;
            self.numbers.u16(usize::try_from(at).ok()?)
        });
        let mut seen = HashSet::new();
        tags.into_iter().any(|tag| !seen.insert(tag))
    }

    pub fn entry(&self, tag: u16) -> Option<Entry> {
        let (head, size) = if self.big { (8, 20) } else { (2, 12) };
        let first = usize::try_from(self.offset).ok()?.checked_add(head)?;
        for index in 0..usize::try_from(self.entries.min(MAX_ENTRIES)).ok()? {
            let at = first.checked_add(index * size)?;
            if self.numbers.u16(at)? == tag {
                let count =
                    if self.big { self.numbers.u64(at + 4)? } else { u64::from(self.numbers.u32(at + 4)?) };
                return Some(Entry { at, kind: self.numbers.u16(at + 2)?, count });
            }
        }
        None
    }

    /// The value of an entry that is one number.
    pub fn number(&self, entry: &Entry) -> Option<u64> {
        let at = entry.at + if self.big { 12 } else { 8 };
        match entry.kind {
            3 => self.numbers.u16(at).map(u64::from),
            4 | 13 => self.numbers.u32(at).map(u64::from),
            16 | 18 => self.numbers.u64(at),
            _ => None,
        }
    }

    /// All numbers of an entry.
    pub fn numbers(&self, entry: &Entry) -> Option<Vec<u64>> {
        let (start, size) = self.place_of_numbers(entry)?;
        let bytes = usize::try_from(entry.count).ok()?.checked_mul(size)?;
        let number = |at| match size {
            2 => self.numbers.u16(at).map(u64::from),
            4 => self.numbers.u32(at).map(u64::from),
            _ => self.numbers.u64(at),
        };
        (start..start + bytes).step_by(size).map(number).collect()
    }

    /// Where the numbers of an entry begin, all of which are there, and the bytes of each.
    fn place_of_numbers(&self, entry: &Entry) -> Option<(usize, usize)> {
        let (at, room) = if self.big { (entry.at + 12, 8) } else { (entry.at + 8, 4) };
        let size = match entry.kind {
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        let bytes = usize::try_from(entry.count).ok()?.checked_mul(size)?;
        let start = match bytes <= room {
            true => at,
            false if self.big => usize::try_from(self.numbers.u64(at)?).ok()?,
            false => self.numbers.u32(at)? as usize,
        };
        self.numbers.bytes.get(start..start.checked_add(bytes)?)?;
        Some((start, size))
    }

    /// Where the count of an entry stands, and what is to be there so that it has `count` of its numbers, from `first` on.
    pub fn part(&self, entry: &Entry, first: usize, count: usize) -> Option<(usize, Vec<u8>)> {
        let (start, size) = self.place_of_numbers(entry)?;
        let end = first.checked_add(count).filter(|end| *end as u64 <= entry.count)?;
        let (start, end) = (start + first * size, start + end * size);
        let room = if self.big { 8 } else { 4 };
        let number = |value: usize| match self.numbers.big_endian {
            true => (value as u64).to_be_bytes()[8 - room..].to_vec(),
            false => value.to_le_bytes()[..room].to_vec(),
        };
        let mut value = match end - start <= room {
            true => self.numbers.bytes[start..end].to_vec(),
            false => number(start),
        };
        value.resize(room, 0);
        Some((entry.at + 4, [number(count), value].concat()))
    }

    /// Where the name of an entry stands, and one that nobody knows.
    pub fn unnamed(&self, entry: &Entry) -> (usize, Vec<u8>) {
        (entry.at, vec![0xff; 2])
    }

    /// The bytes of an entry that has more than fit into it.
    pub fn data(&self, entry: &Entry) -> Option<&'a [u8]> {
        let at = entry.at + if self.big { 12 } else { 8 };
        let start = if self.big { self.numbers.u64(at)? } else { u64::from(self.numbers.u32(at)?) };
        let end = start.checked_add(entry.count)?;
        self.numbers.bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// The two small numbers of an entry.
    pub fn pair(&self, entry: &Entry) -> Option<[u16; 2]> {
        let at = entry.at + if self.big { 12 } else { 8 };
        let pair = [self.numbers.u16(at)?, self.numbers.u16(at + 2)?];
        (entry.kind == 3 && entry.count == 2).then_some(pair)
    }

    /// The small numbers of an entry that has more than fit into it.
    pub fn shorts(&self, entry: &Entry) -> Option<Vec<u16>> {
        let at = entry.at + if self.big { 12 } else { 8 };
        let start = if self.big { self.numbers.u64(at)? } else { u64::from(self.numbers.u32(at)?) };
        let start = usize::try_from(start).ok()?;
        let count = usize::try_from(entry.count).ok().filter(|count| *count <= MAX_SHORTS)?;
        (0..count).map(|index| self.numbers.u16(start.checked_add(index * 2)?)).collect()
    }

    /// Where the number of an entry stands, and the bytes of another number there.
    pub fn place(&self, entry: &Entry, value: u32) -> (usize, Vec<u8>) {
        let at = entry.at + if self.big { 12 } else { 8 };
        let (big, wide) = (self.numbers.big_endian, if entry.kind == 3 { 2 } else { 4 });
        match big {
            true => (at, value.to_be_bytes()[4 - wide..].to_vec()),
            false => (at, value.to_le_bytes()[..wide].to_vec()),
        }
    }

    fn next_at(&self) -> Option<usize> {
        let (head, size, next) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let end = self.entries.checked_mul(size)?.checked_add(self.offset)?.checked_add(head + next)?;
        usize::try_from(end).ok().map(|end| end - next as usize)
    }

    fn walk(&self) -> (usize, bool) {
        let (mut seen, mut page) = (HashSet::from([self.offset]), *self);
        while seen.len() < MAX_PAGES {
            let next = page.next_at().and_then(|at| {
                if page.big { page.numbers.u64(at) } else { page.numbers.u32(at).map(u64::from) }
            });
            match next {
                None | Some(0) => return (seen.len(), false),
                Some(offset) if !seen.insert(offset) => return (seen.len(), true),
                Some(offset) => match Self::open(page.numbers, page.big, offset) {
                    Some(directory) => page = directory,
                    None => return (seen.len() - 1, false),
                },
            }
        }
        (seen.len(), false)
    }
}

fn order(bytes: &[u8]) -> Option<Numbers<'_>> {
    match bytes.get(..2)? {
        b"II" => Some(Numbers { bytes, big_endian: false }),
        b"MM" => Some(Numbers { bytes, big_endian: true }),
        _ => None,
    }
}
