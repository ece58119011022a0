//! Numbers at an offset, or nothing.

/// Bytes in one of both orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a> {
    pub bytes: &'a [u8],
    pub big_endian: bool,
}

impl Numbers<'_> {
    pub fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// In the only order of the formats that have it: the last byte is the highest.
    pub fn u24(&self, at: usize) -> Option<u32> {
        Some(u32::from(self.u16(at)?) | u32::from(*self.bytes.get(at.checked_add(2)?)?) << 16)
    }

    pub fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }
}

pub(super) fn little(bytes: &[u8]) -> Numbers<'_> {
    Numbers { bytes, big_endian: false }
}

pub(super) fn big(bytes: &[u8]) -> Numbers<'_> {
    Numbers { bytes, big_endian: true }
}
