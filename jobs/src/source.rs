use serde::{Deserialize, Serialize};

use crate::StagedKey;

/// Largest original from any source, in bytes (32 MiB).
pub const MAX_SOURCE_BYTES: u64 = 32 << 20;

/// Largest inline original, decoded, in bytes (256 KiB): Redis is no blob store.
pub const MAX_INLINE_BYTES: usize = 256 << 10;

/// Where an original is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// An object under `staging/`, put there by a presigned PUT or through the HTTP API; removed when the job is done.
    Staged {
        /// Name of the object.
        key: StagedKey,
        /// Its size in bytes; another size is `source_changed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// Its ETag, as S3 gave it; another one is `source_changed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<String>,
        /// SHA-256 of its content in hex; another one is `source_checksum_mismatch`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// A public `http` or `https` URL.
    Url {
        /// At most 2,048 bytes.
        url: String,
    },
    /// The original itself, at most 256 KiB decoded.
    Inline {
        /// Standard alphabet, padded or not.
        base64: String,
    },
}

impl Source {
    /// The word on the wire.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Staged { .. } => "staged",
            Self::Url { .. } => "url",
            Self::Inline { .. } => "inline",
        }
    }
}
