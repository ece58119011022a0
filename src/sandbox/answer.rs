//! What a decoder answered, once it was looked at: it may have been taken over by the file that it read.
//!
//! Everything that the header tells is taken from our own reading of it; texts lose what is not printable and end early.

use std::time::Duration;

use darkroom_jobs::Warning;

use super::{
    Error, Photo, Timings, shared,
    wire::{Made, Refusal},
};
use crate::{
    digest,
    imaging::{self, Normalized, Preset, clean, facts::Facts, header::Header},
};

/// Longest text of an answer, characters.
const MAX_TEXT: usize = 200;
/// Longest description of a color profile, characters.
const MAX_ICC: usize = 64;
/// Most warnings of a picture.
const MAX_WARNINGS: usize = 32;
/// Longest ThumbHash in base64, characters.
const MAX_THUMBHASH: usize = 48;

/// An answer that no decoder of ours gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lie(pub &'static str);

impl Made {
    /// Bytes of the JPEG, if a preset can have so many.
    ///
    /// # Errors
    ///
    /// [`Lie`]
    pub fn jpeg_bytes(&self) -> Result<usize, Lie> {
        if self.jpeg <= shared::RESULT { Ok(self.jpeg) } else { Err(Lie("the jpeg is too long")) }
    }

    /// The picture with its JPEG, which was copied out. `spent` is how long the decoder had.
    ///
    /// # Errors
    ///
    /// [`Lie`]
    pub fn into_photo(
        self,
        jpeg: Vec<u8>,
        header: &Header,
        preset: &Preset,
        spent: Duration,
    ) -> Result<Photo, Lie> {
        let sides = clean::sides(&jpeg).ok_or(Lie("the jpeg is not clean"))?;
        let most = preset.max_side.min(header.width.max(header.height));
        if sides != (self.width, self.height) || self.width.max(self.height) > most {
            return Err(Lie("the jpeg has other sides"));
        }
        if self.warnings.len() > MAX_WARNINGS {
            return Err(Lie("there are too many warnings"));
        }
        let [decode, process, encode] = self.timings.map(|micros| Duration::from_micros(micros).min(spent));
        let facts = Facts {
            detected_type: header.format.media_type(),
            width: header.width,
            height: header.height,
            orientation: header.orientation.get(),
            icc: self.icc.map(|text| printable(&text, MAX_ICC)),
            frames: header.frames,
            had_gps: header.had_gps,
            thumbhash: Some(self.thumbhash).filter(|hash| is_base64(hash)).ok_or(Lie("no thumbhash"))?,
            dominant: Some(self.dominant).filter(|color| is_color(color)).ok_or(Lie("no color"))?,
        };
        let shorter =
            |warning: Warning| Warning { message: printable(&warning.message, MAX_TEXT), ..warning };
        let warnings = self.warnings.into_iter().map(shorter).collect();
        let sha256 = digest::sha256(&jpeg);
        let normalized = Normalized {
            jpeg,
            width: self.width,
            height: self.height,
            facts,
            warnings,
            encoding: self.encoding,
        };
        Ok(Photo { normalized, sha256, timings: Timings { decode, process, encode } })
    }
}

impl Refusal {
    /// The error that it stands for.
    pub fn into_error(self, header: &Header) -> Error {
        use imaging::error::Error as Refused;
        let text = |text: String| printable(&text, MAX_TEXT);
        Error::Imaging(match self {
            Self::Empty => Refused::Empty,
            Self::NotAnImage => Refused::NotAnImage,
            Self::Unsupported => Refused::Unsupported(header.format.media_type()),
            Self::Dimensions { width, height, limit } => {
                Refused::Dimensions { width, height, limit: text(limit) }
            }
            Self::TooComplex(why) => Refused::TooComplex(text(why)),
            Self::Truncated(why) => Refused::Truncated(text(why)),
            Self::Corrupt(why) => Refused::Corrupt(text(why)),
            Self::Encode(why) => Refused::Encode(text(why)),
        })
    }
}

/// The printable characters of a text, at most so many.
pub(super) fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(most).collect()
}

fn is_base64(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() <= MAX_THUMBHASH && text.bytes().all(known)
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}
