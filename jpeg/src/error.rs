//! Why a photo is not made here.

/// Says nothing about the file: whoever asked tries the way that takes every JPEG, and that one alone refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A JPEG of another kind than photos are.
    #[error("this way does not take {0}")]
    Unsupported(&'static str),
    /// It would cost more than the limits allow.
    #[error("{0} exceeds a limit")]
    Limit(&'static str),
    /// Bytes are missing at its end.
    #[error("the picture is cut off")]
    Truncated,
    /// Bytes that no encoder writes.
    #[error("{0} is damaged")]
    Corrupt(&'static str),
}
