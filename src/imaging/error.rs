//! Why a file does not become a JPEG.

use darkroom_jobs::ErrorCode;
use serde_json::{Value, json};

/// Why a file does not become a JPEG. Messages carry sizes and names of formats, nothing else of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Bytes that are no picture.
    #[error("the file is not a picture")]
    NotAnImage,
    /// A known format that is not decoded.
    #[error("files of type {0} are not supported")]
    Unsupported(&'static str),
    /// Sides, pixels or ratio over the limit.
    #[error("{width} × {height} px is over the limit: {limit}")]
    Dimensions {
        /// px
        width: u32,
        /// px
        height: u32,
        /// The limit in words.
        limit: String,
    },
    /// Decoding would take too much work or memory.
    #[error("the file is too complex: {0}")]
    TooComplex(String),
    /// The end of the file is missing.
    #[error("the file ends too early: {0}")]
    Truncated(String),
    /// The file contradicts its format.
    #[error("the file is damaged: {0}")]
    Corrupt(String),
    /// The JPEG could not be written.
    #[error("the jpeg could not be written: {0}")]
    Encode(String),
}

impl Error {
    /// The word for receipts and metrics.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Empty => ErrorCode::SourceEmpty,
            Self::NotAnImage => ErrorCode::NotAnImage,
            Self::Unsupported(_) => ErrorCode::UnsupportedFormat,
            Self::Dimensions { .. } => ErrorCode::ImageDimensions,
            Self::TooComplex(_) => ErrorCode::ImageTooComplex,
            Self::Truncated(_) => ErrorCode::ImageTruncated,
            Self::Corrupt(_) => ErrorCode::ImageCorrupt,
            Self::Encode(_) => ErrorCode::EncodeFailed,
        }
    }

    /// Facts for the receipt.
    pub fn detail(&self) -> Option<Value> {
        match self {
            Self::Unsupported(detected) => Some(json!({ "detected": detected })),
            Self::Dimensions { width, height, .. } => Some(json!({ "width": width, "height": height })),
            _ => None,
        }
    }

    pub(super) fn corrupt(what: impl ToString) -> Self {
        Self::Corrupt(what.to_string())
    }

    pub(super) fn truncated(what: impl ToString) -> Self {
        Self::Truncated(what.to_string())
    }
}
