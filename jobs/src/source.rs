use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

use crate::{DecodeError, ErrorCode, StagedKey};

/// Largest original from any source, in bytes (32 MiB).
pub const MAX_SOURCE_BYTES: u64 = 32 << 20;

/// Largest inline original, decoded, in bytes (256 KiB): Redis is no blob store.
pub const MAX_INLINE_BYTES: usize = 256 << 10;

/// What inline originals are written in; padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where an original is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", expecting = "a source, which is an object with a `type`")]
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

/// Why no worker could ever have the original.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The word that the receipt would have.
    pub code: ErrorCode,
    /// The field of the source, like `base64`.
    pub field: &'static str,
    /// Names what is wrong.
    pub message: String,
}

impl From<SourceError> for DecodeError {
    fn from(error: SourceError) -> Self {
        Self { code: error.code, message: error.message }
    }
}

impl Source {
    /// Refuses a source that can only fail, as far as that is seen without a look at the bucket or the network. Producers ask
    /// before they enqueue; a worker fails such a job with the same code. URLs are not judged.
    ///
    /// # Errors
    ///
    /// `id_invalid`, `source_base64_invalid`, `source_inline_too_large`, `source_empty`, `source_too_large`, `source_changed`,
    /// `source_checksum_mismatch`.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Self::Staged { key, bytes, etag, sha256 } => {
                check_key(key)?;
                bytes.map_or(Ok(()), check_bytes)?;
                etag.as_deref().map_or(Ok(()), check_etag)?;
                sha256.as_deref().map_or(Ok(()), check_sha256)
            }
            Self::Url { .. } => Ok(()),
            Self::Inline { base64 } => check_inline(base64),
        }
    }

    /// The word on the wire.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Staged { .. } => "staged",
            Self::Url { .. } => "url",
            Self::Inline { .. } => "inline",
        }
    }
}

fn wrong(code: ErrorCode, field: &'static str, message: impl Into<String>) -> SourceError {
    SourceError { code, field, message: message.into() }
}

/// Not every store can keep them: clients and proxies shorten such names.
fn check_key(key: &StagedKey) -> Result<(), SourceError> {
    if key.as_str().split('/').any(|segment| segment.is_empty() || segment == ".") {
        let message = format!("source.key has no segment `.` and does not end in `/`, got \"{key}\"");
        return Err(wrong(ErrorCode::IdInvalid, "key", message));
    }
    Ok(())
}

fn check_bytes(bytes: u64) -> Result<(), SourceError> {
    match bytes {
        0 => Err(wrong(ErrorCode::SourceEmpty, "bytes", "source.bytes is 0: there is nothing to keep")),
        1..=MAX_SOURCE_BYTES => Ok(()),
        _ => {
            let message = format!("source.bytes is {bytes}, an original has at most {MAX_SOURCE_BYTES}");
            Err(wrong(ErrorCode::SourceTooLarge, "bytes", message))
        }
    }
}

fn check_etag(etag: &str) -> Result<(), SourceError> {
    if !etag.is_empty() && etag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let message = "source.etag is no ETag: those are ASCII letters, digits and punctuation";
    Err(wrong(ErrorCode::SourceChanged, "etag", message))
}

fn check_sha256(sha256: &str) -> Result<(), SourceError> {
    if sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let message = "source.sha256 is no SHA-256: that has 64 hexadecimal digits";
    Err(wrong(ErrorCode::SourceChecksumMismatch, "sha256", message))
}

fn check_inline(base64: &str) -> Result<(), SourceError> {
    let digits = base64.trim_end_matches('=').len();
    // The length first: what is too long is not decoded.
    if digits / 4 * 3 + (digits % 4).saturating_sub(1) > MAX_INLINE_BYTES {
        let message = format!("source.base64 has more than {MAX_INLINE_BYTES} bytes, decoded");
        return Err(wrong(ErrorCode::SourceInlineTooLarge, "base64", message));
    }
    match BASE64.decode(base64) {
        Ok(bytes) if bytes.is_empty() => {
            Err(wrong(ErrorCode::SourceEmpty, "base64", "source.base64 is empty: there is nothing to keep"))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("source.base64 is not base64 of the standard alphabet: {}", told(&error));
            Err(wrong(ErrorCode::SourceBase64Invalid, "base64", message))
        }
    }
}

fn told(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(at, byte) => {
            format!("character {} is {:?}", at + 1, char::from(*byte))
        }
        base64::DecodeError::InvalidLength(length) => format!("{length} characters are too few or too many"),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(key: &str) -> Source {
        Source::Staged { key: key.parse().unwrap(), bytes: None, etag: None, sha256: None }
    }

    fn inline(base64: impl Into<String>) -> Source {
        Source::Inline { base64: base64.into() }
    }

    fn refusal(source: &Source) -> Option<(ErrorCode, &'static str)> {
        source.check().err().map(|error| (error.code, error.field))
    }

    #[test]
    fn a_staged_source_that_can_only_fail_is_refused_by_its_field() {
        let with = |bytes, etag: Option<&str>, sha256: Option<&str>| Source::Staged {
            key: "staging/a".parse().unwrap(),
            bytes,
            etag: etag.map(Into::into),
            sha256: sha256.map(Into::into),
        };

        for key in ["staging/a/", "staging/./a", "staging/a/.", "staging/."] {
            assert_eq!(refusal(&staged(key)), Some((ErrorCode::IdInvalid, "key")), "{key}");
        }
        assert_eq!(refusal(&with(Some(0), None, None)), Some((ErrorCode::SourceEmpty, "bytes")));
        let large = with(Some(MAX_SOURCE_BYTES + 1), None, None);
        assert_eq!(refusal(&large), Some((ErrorCode::SourceTooLarge, "bytes")));
        for etag in ["", "a b", "\u{e9}", "a\r\n"] {
            let refused = refusal(&with(None, Some(etag), None));
            assert_eq!(refused, Some((ErrorCode::SourceChanged, "etag")), "{etag:?}");
        }
        for sha256 in ["00", &"g".repeat(64)] {
            let refused = refusal(&with(None, None, Some(sha256)));
            assert_eq!(refused, Some((ErrorCode::SourceChecksumMismatch, "sha256")), "{sha256}");
        }
    }

    #[test]
    fn a_source_that_may_succeed_is_taken() {
        let (etag, sha256) = (Some("\"9b2c-2\"".into()), Some("0aF1".repeat(16)));
        let full = Source::Staged {
            key: "staging/a.b/.c".parse().unwrap(),
            bytes: Some(MAX_SOURCE_BYTES),
            etag,
            sha256,
        };
        let url = Source::Url { url: "whatever it is".into() };

        for source in
            [full, url, inline("aGk="), inline("aGk"), inline(BASE64.encode(vec![7; MAX_INLINE_BYTES]))]
        {
            assert_eq!(source.check(), Ok(()));
        }
    }

    #[test]
    fn an_inline_source_that_can_only_fail_is_refused_in_words() {
        for (base64, code) in [
            (BASE64.encode(vec![7; MAX_INLINE_BYTES + 1]), ErrorCode::SourceInlineTooLarge),
            (String::new(), ErrorCode::SourceEmpty),
            ("a-_b".into(), ErrorCode::SourceBase64Invalid),
            ("data:image/png;base64,aGk=".into(), ErrorCode::SourceBase64Invalid),
            ("aGk\n".into(), ErrorCode::SourceBase64Invalid),
            ("a".into(), ErrorCode::SourceBase64Invalid),
            ("aGl".into(), ErrorCode::SourceBase64Invalid),
        ] {
            assert_eq!(refusal(&inline(base64.as_str())), Some((code, "base64")), "{base64}");
        }
        let told = inline("ab-d").check().unwrap_err().to_string();
        assert!(told.ends_with("character 3 is '-'"), "{told}");
    }
}
