//! The memory that a decoder and its parent share: the original in front, the JPEG behind it.
//!
//! The parent copies in and out by system calls and maps nothing, so that whatever a decoder does to the memory cannot
//! reach it; the decoder reads the original where it lies.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use darkroom_jobs::MAX_SOURCE_BYTES;

use super::sys;

/// Room for an original, bytes.
pub(super) const ORIGINAL: usize = MAX_SOURCE_BYTES as usize;

/// Room for a JPEG, bytes; 16 MP of noise at quality 100 fit in.
pub(super) const RESULT: usize = 64 << 20;

/// All of it, bytes. It costs what is used.
pub(super) const SIZE: u64 = (ORIGINAL + RESULT) as u64;

/// What is kept of either part between two pictures, bytes: the next photo finds its memory there.
const KEPT: usize = 4 << 20;

/// The parent's side.
#[derive(Debug)]
pub(super) struct Shared(File);

impl Shared {
    /// Shared memory, and a handle for the decoder.
    pub fn new() -> io::Result<(Self, File)> {
        let ours = sys::shared_memory(SIZE)?;
        let theirs = ours.try_clone()?;
        Ok((Self(ours), theirs))
    }

    /// # Errors
    ///
    /// When it is longer than [`ORIGINAL`], or there is no memory.
    pub fn put_original(&self, original: &[u8]) -> io::Result<()> {
        if original.len() > ORIGINAL {
            return Err(io::Error::other("the original has no room in the shared memory"));
        }
        self.0.write_all_at(original, 0)
    }

    /// Copies the JPEG out: the decoder could still write where it lies.
    pub fn take_result(&self, len: usize) -> io::Result<Vec<u8>> {
        let mut jpeg = vec![0; len];
        self.0.read_exact_at(&mut jpeg, ORIGINAL as u64)?;
        Ok(jpeg)
    }

    /// Gives back what parts of these lengths used beyond [`KEPT`].
    pub fn trim(&self, original: usize, result: usize) -> io::Result<()> {
        for (start, used, room) in [(0, original, ORIGINAL), (ORIGINAL, result, RESULT)] {
            if used > KEPT {
                sys::punch(&self.0, (start + KEPT) as u64, (room - KEPT) as u64)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn nobody_can_cut_the_memory_short_or_make_it_longer() {
        let (_ours, theirs) = Shared::new().expect("there is memory");

        assert!(theirs.set_len(0).is_err());
        assert!(theirs.set_len(SIZE + 1).is_err());
    }

    #[test]
    fn what_a_large_picture_used_is_given_back() {
        let (ours, _theirs) = Shared::new().expect("there is memory");
        let large = vec![1; 3 * KEPT];
        let used = || ours.0.metadata().expect("it is open").blocks() * 512;

        ours.put_original(&large).expect("it has room");
        let before = used();
        ours.trim(large.len(), 0).expect("it can be given back");

        assert!(before >= large.len() as u64 && used() <= KEPT as u64, "{before} {}", used());
    }

    #[test]
    fn an_original_without_room_is_refused_before_anything_is_written() {
        let (ours, theirs) = Shared::new().expect("there is memory");

        assert!(ours.put_original(&vec![1; ORIGINAL + 1]).is_err());

        assert_eq!(theirs.metadata().expect("it is open").blocks(), 0);
    }
}
