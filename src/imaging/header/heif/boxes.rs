//! Boxes of ISO/IEC 14496-12. One is opened only where its name is looked for, so that nesting leads nowhere.

use crate::imaging::error::Error;

/// A length, a name and content.
#[derive(Clone, Copy, Debug)]
pub(super) struct IsoBox<'a> {
    pub name: [u8; 4],
    pub content: &'a [u8],
}

/// The boxes of `bytes`, one after the other, until they end or one does not add up.
pub(super) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<IsoBox<'_>, Error>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        match first(bytes) {
            Ok((found, behind)) => {
                rest = Some(behind);
                Some(Ok(found))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

/// The first box of a name; those behind one that does not add up are not there.
pub(super) fn find<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).map_while(Result::ok).find(|found| found.name == *name).map(|found| found.content)
}

/// The content of boxes each of which is in the one before.
pub(super) fn find_in<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |content, name| find(content, name))
}

fn first(bytes: &[u8]) -> Result<(IsoBox<'_>, &[u8]), Error> {
    let mut fields = Fields::of(bytes);
    let (size, name) = (u64::from(fields.u32()?), fields.name()?);
    let size = match size {
        // Until the end.
        0 => bytes.len() as u64,
        1 => fields.u64()?,
        size => size,
    };
    let end = usize::try_from(size).ok().filter(|end| *end <= bytes.len());
    let end = end.ok_or_else(|| Error::truncated("a box that ends behind what it is in"))?;
    let start = bytes.len() - fields.rest().len();
    let content = bytes.get(start..end).ok_or_else(|| Error::corrupt("a box smaller than its header"))?;
    Ok((IsoBox { name, content }, &bytes[end..]))
}

/// Numbers one after the other, the highest byte first.
#[derive(Clone, Copy, Debug)]
pub(in crate::imaging) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The fields behind the version and the flags, and these.
    pub fn versioned(bytes: &'a [u8]) -> Result<(Self, u8, u32), Error> {
        let mut fields = Self::of(bytes);
        let word = fields.u32()?;
        Ok((fields, (word >> 24) as u8, word & 0x00ff_ffff))
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) =
            self.bytes.split_at_checked(count).ok_or_else(|| Error::corrupt("a box that ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn name(&mut self) -> Result<[u8; 4], Error> {
        Ok(self.take(4)?.try_into().expect("4 bytes"))
    }

    /// Of 0, 1, 2, 4 or 8 bytes; none is zero.
    pub fn number(&mut self, bytes: usize) -> Result<u64, Error> {
        if !matches!(bytes, 0 | 1 | 2 | 4 | 8) {
            return Err(Error::corrupt("numbers of an odd size"));
        }
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.number(1)? as u8)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.number(2)? as u16)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.number(4)? as u32)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.number(8)
    }

    /// Of 2 bytes, or of 4.
    pub fn id(&mut self, wide: bool) -> Result<u32, Error> {
        Ok(self.number(if wide { 4 } else { 2 })? as u32)
    }

    /// Until the next zero.
    pub fn text(&mut self) -> &'a [u8] {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(self.bytes.len());
        let (text, rest) = self.bytes.split_at(end);
        self.bytes = rest.get(1..).unwrap_or_default();
        text
    }
}
