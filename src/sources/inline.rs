//! Originals inside the job.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use darkroom_jobs::MAX_INLINE_BYTES;

use super::{Original, error::Error};
use crate::digest;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn decode(base64: &str) -> Result<Original, Error> {
    let digits = base64.trim_end_matches('=').len();
    if digits / 4 * 3 + (digits % 4).saturating_sub(1) > MAX_INLINE_BYTES {
        return Err(Error::InlineTooLarge);
    }
    let bytes = BASE64.decode(base64).map_err(Error::Base64Invalid)?;
    let sha256 = digest::sha256(&bytes);
    Ok(Original { bytes: bytes.into(), declared_type: None, sha256, staged: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_optional() {
        let padded = decode("aGk=").expect("it is base64");

        let bare = decode("aGk").expect("it is base64");

        assert_eq!((&padded.bytes[..], &padded.sha256), (&b"hi"[..], &bare.sha256));
    }

    #[test]
    fn exactly_256_kib_are_taken_and_a_byte_more_is_not() {
        let most = BASE64.encode(vec![7; MAX_INLINE_BYTES]);
        let more = BASE64.encode(vec![7; MAX_INLINE_BYTES + 1]);

        let (most, more) = (decode(&most), decode(&more));

        assert_eq!(most.expect("it fits").bytes.len(), MAX_INLINE_BYTES);
        assert!(matches!(more, Err(Error::InlineTooLarge)));
    }

    #[test]
    fn another_alphabet_is_refused() {
        assert!(matches!(decode("a-_b"), Err(Error::Base64Invalid(_))));
    }
}
