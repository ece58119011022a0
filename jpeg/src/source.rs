//! The entropy-coded bytes of a scan without their stuffing, 64 KiB at a time. Never passes a marker by itself.

use crate::{error::Error, huffman::Position};

/// Bytes kept at once.
const BUFFER: usize = 64 << 10;

/// Zeros that may be looked at beyond the last byte, for one batch of blocks.
const TAIL: usize = 4096;

/// The bytes of one scan.
#[derive(Debug)]
pub struct Source<'a> {
    input: &'a [u8],
    at: usize,
    buffer: Box<[u8]>,
    len: usize,
    /// Whether a marker or the end of the file was reached.
    ended: bool,
}

impl<'a> Source<'a> {
    /// Begins at `at`; the buffer comes back by [`Source::finish`].
    pub fn new(input: &'a [u8], at: usize, mut buffer: Box<[u8]>) -> Self {
        if buffer.is_empty() {
            buffer = vec![0; BUFFER + TAIL].into_boxed_slice();
        }
        Self { input, at, buffer, len: 0, ended: false }
    }

    /// Ends the scan: where the marker after it is, and the buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when more or less was read than there was: bits that were misread seldom end where the others do.
    pub fn finish(mut self, position: Position) -> Result<(usize, Box<[u8]>), Error> {
        self.end_of_bits(position)?;
        Ok((self.at, self.buffer))
    }

    fn end_of_bits(&mut self, mut position: Position) -> Result<(), Error> {
        if !self.ended {
            position = self.top_up(position);
        }
        // Bits that nobody read are padding, or something is wrong.
        let unread = (self.len * 8).checked_sub(position.used_bits());
        if self.ended && unread.is_some_and(|bits| bits < 16) {
            return Ok(());
        }
        Err(Error::Corrupt("the end of an interval"))
    }

    /// What positions count in.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Makes sure that `need` bytes (≤ 4,096) follow the position: those of the file, and zeros after its end.
    #[inline(always)]
    pub fn ensure(&mut self, position: &mut Position, need: usize) {
        if position.byte + need > self.len {
            *position = self.top_up(*position);
        }
    }

    /// Whether more was read than there is.
    pub fn overrun(&self, position: &Position) -> bool {
        self.ended && position.used_bits() > self.len * 8
    }

    #[cold]
    #[inline(never)]
    fn top_up(&mut self, mut position: Position) -> Position {
        if self.ended {
            // Zeros for ever: what is made of them is refused by the next look at `overrun`.
            position.byte = position.byte.min(self.len + 64);
            return position;
        }
        // Bits that the position holds already may lie before it: `overrun` counts them from here on.
        let keep = position.byte - position.byte.min(8);
        self.buffer.copy_within(keep..self.len, 0);
        self.len -= keep;
        position.byte -= keep;
        while self.len < BUFFER && !self.ended {
            self.unstuff();
        }
        if self.ended {
            self.buffer[self.len..].fill(0);
        }
        position
    }

    /// Copies up to the next 0xff, and what that one means.
    fn unstuff(&mut self) {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let rest = &rest[..rest.len().min(BUFFER - self.len)];
        let plain = memchr::memchr(0xff, rest).unwrap_or(rest.len());
        self.buffer[self.len..self.len + plain].copy_from_slice(&rest[..plain]);
        (self.len, self.at) = (self.len + plain, self.at + plain);
        if plain < rest.len() {
            match self.input.get(self.at + 1) {
                Some(0) => {
                    self.buffer[self.len] = 0xff;
                    (self.len, self.at) = (self.len + 1, self.at + 2);
                }
                Some(0xff) => self.at += 1,
                _ => self.ended = true,
            }
        } else if self.at >= self.input.len() {
            self.ended = true;
        }
    }

    /// Passes the restart marker `number` (0–7); tells where the bits go on.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when another one or none follows, or more or less was read than there was before it.
    #[cold]
    pub fn restart(&mut self, position: Position, number: u8) -> Result<Position, Error> {
        self.end_of_bits(position)?;
        if self.input.get(self.at..self.at + 2) != Some(&[0xff, 0xd0 | number]) {
            return Err(Error::Corrupt("a restart marker"));
        }
        (self.at, self.len, self.ended) = (self.at + 2, 0, false);
        Ok(Position::default())
    }
}
