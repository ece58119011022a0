//! Standard output, whose reader may be gone.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use anyhow::Context as _;

/// Prints one line, and flushes it.
///
/// # Errors
///
/// When it cannot be written; [`reader_is_gone`] says whether anybody would care.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes, and flushes them.
///
/// # Errors
///
/// As [`line`].
pub fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("could not write to standard output")
}

/// Whether a command ended because nobody reads on, as in `darkroom jobs list | head`.
pub fn reader_is_gone(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    // Only of standard output: a connection to a server can break too.
    error.to_string() == "could not write to standard output"
        && error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}
