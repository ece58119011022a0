//! Signed URLs: a right, given to whoever holds the URL, for a time.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use darkroom_jobs::{ObjectKey, StagedKey};

use super::{
    Storage,
    error::{Error, ErrorKind},
};

/// A request that its holder may make. Never log it.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    /// Where to send it.
    pub url: String,
    /// Headers that were signed, and must be sent as they are.
    pub headers: BTreeMap<String, String>,
}

impl std::fmt::Debug for Presigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presigned(***)")
    }
}

impl Storage {
    /// Signs one PUT of an original of exactly `bytes` bytes and this media type, where there is none yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`] when there are no credentials, or more than a week is asked for.
    pub async fn presign_put(
        &self,
        key: &StagedKey,
        bytes: u64,
        content_type: &str,
        valid: Duration,
    ) -> Result<Presigned, Error> {
        let place = self.place(&ObjectKey::staged(key));
        let length = i64::try_from(bytes).map_err(|error| unsigned(error.into()))?;
        let request = self.client.put_object().bucket(place.bucket).key(place.name);
        let request = request.content_length(length).content_type(content_type).if_none_match("*");
        let signed = request.presigned(expires_in(valid)?).await;
        Ok(presigned(&signed.map_err(|error| unsigned(error.into()))?))
    }

    /// Signs a GET of one object.
    ///
    /// # Errors
    ///
    /// As [`presign_put`](Self::presign_put).
    pub async fn presign_get(&self, key: &ObjectKey, valid: Duration) -> Result<Presigned, Error> {
        let place = self.place(key);
        let request = self.client.get_object().bucket(place.bucket).key(place.name);
        let signed = request.presigned(expires_in(valid)?).await;
        Ok(presigned(&signed.map_err(|error| unsigned(error.into()))?))
    }
}

fn expires_in(valid: Duration) -> Result<PresigningConfig, Error> {
    PresigningConfig::expires_in(valid).map_err(|error| unsigned(error.into()))
}

fn unsigned(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::because(ErrorKind::Misconfigured, "presign", error)
}

fn presigned(request: &PresignedRequest) -> Presigned {
    let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Presigned { url: request.uri().to_owned(), headers: headers.collect() }
}
