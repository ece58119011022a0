//! Writing objects: once, and checked.

use aws_sdk_s3::{
    config::{Builder, RequestChecksumCalculation::WhenSupported},
    operation::put_object::PutObjectOutput,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ObjectCannedAcl, ServerSideEncryption},
};
use bytes::Bytes;
use darkroom_jobs::{JobId, ObjectKey, StagedKey};
use md5::{Digest, Md5};

use super::{
    Place, Storage,
    error::{Error, ErrorKind},
    get::{ObjectHead, is_opaque},
};
use crate::{
    config::Checksum,
    digest::{hex, sha256},
};

/// `Cache-Control` of product images.
pub const CACHE_PUBLIC: &str = "public, max-age=31536000, immutable";

/// `Cache-Control` of users' photos.
pub const CACHE_PRIVATE: &str = "private, max-age=86400";

/// What is stored with an object.
#[derive(Clone, Debug, Default)]
pub struct ObjectAttributes {
    /// Media type.
    pub content_type: Option<String>,
    /// `Cache-Control` of answers.
    pub cache_control: Option<String>,
    /// The job that made it.
    pub job_id: Option<JobId>,
    /// When that job was enqueued, Redis ms.
    pub enqueued_ms: Option<u64>,
    /// SHA-256 of the original, in hex.
    pub source_sha256: Option<String>,
    /// Where the original was staged.
    pub staged: Option<StagedAs>,
    /// Version of what turned the original into this object.
    pub pipeline: Option<String>,
}

/// How often an object is put that another one is in the way of which is gone when it is looked at.
const CROSSED: usize = 3;

/// Where an original was staged: whoever names the same later means the same picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedAs {
    /// SHA-256 of its key, in hex: objects may be public, and the key may tell more than it should.
    key_sha256: String,
    /// Its ETag, without quotes.
    etag: Option<String>,
}

impl StagedAs {
    /// Of an original under this key, and of this ETag where it is known.
    pub fn new(key: &StagedKey, etag: Option<&str>) -> Self {
        let etag = etag.map(|etag| etag.trim_matches('"').to_owned());
        Self { key_sha256: sha256(key.as_str().as_bytes()), etag }
    }
}

/// The object that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// ETag, quoted as S3 gave it.
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// An earlier delivery, or another job with the same original, had stored it: nothing was written.
    pub already_there: bool,
    /// Whether its content is known to be what was given. `false` only with `already_there`.
    pub same_bytes: bool,
}

const JOB: &str = "darkroom-job";
const ENQUEUED_MS: &str = "darkroom-enqueued-ms";
const SOURCE_SHA256: &str = "darkroom-source-sha256";
const STAGED_KEY_SHA256: &str = "darkroom-staged-key-sha256";
const STAGED_ETAG: &str = "darkroom-staged-etag";
const PIPELINE: &str = "darkroom-pipeline";

impl ObjectHead {
    /// The job that stored the object.
    pub fn job_id(&self) -> Option<&str> {
        self.metadata.get(JOB).map(String::as_str)
    }

    /// When the job that stored the object was enqueued, Redis ms.
    pub fn enqueued_ms(&self) -> Option<u64> {
        self.metadata.get(ENQUEUED_MS)?.parse().ok()
    }

    /// SHA-256 of the original that the object was made of, in hex.
    pub fn source_sha256(&self) -> Option<&str> {
        self.metadata.get(SOURCE_SHA256).map(String::as_str)
    }

    /// Whether it was made of what was staged there, as far as a job can tell that has no ETag of it.
    pub fn was_staged(&self, at: &StagedAs) -> bool {
        let told = |name: &str| self.metadata.get(name).map(String::as_str);
        let is_that = at.etag.is_none() || told(STAGED_ETAG) == at.etag.as_deref();
        told(STAGED_KEY_SHA256) == Some(&at.key_sha256) && is_that
    }

    fn is_of(&self, attributes: &ObjectAttributes) -> bool {
        let same = |name: &str, ours: Option<&str>| {
            ours.is_some() && self.metadata.get(name).map(String::as_str) == ours
        };
        same(JOB, attributes.job_id.as_ref().map(JobId::as_str))
            || same(SOURCE_SHA256, attributes.source_sha256.as_deref())
    }

    fn holds(&self, body: &[u8]) -> bool {
        let md5 = self.etag.as_deref().filter(|_| !self.opaque_etag).and_then(md5_of_etag);
        self.size == body.len() as u64 && md5.is_some_and(|md5| md5 == hex(&Md5::digest(body)))
    }
}

impl Storage {
    /// Stores an object, over whatever is there.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::VerifyFailed`]: the server's ETag is not the MD5 of what was sent.
    /// * [`ErrorKind::Unavailable`], [`ErrorKind::Throttled`]: after the client's own retries.
    pub async fn upload(
        &self,
        key: &ObjectKey,
        body: Bytes,
        attributes: &ObjectAttributes,
    ) -> Result<StoredObject, Error> {
        self.put(&self.place(key), body, attributes, false).await
    }

    /// Stores an object unless there is one. One of the same job or the same original is a success, and is described
    /// in its place.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Conflict`]: another picture is there, and stays.
    /// * Those of [`upload`](Self::upload).
    pub async fn put_once(
        &self,
        key: &ObjectKey,
        body: Bytes,
        attributes: &ObjectAttributes,
    ) -> Result<StoredObject, Error> {
        let conditional = self.honours_conditions().await;
        if !conditional && let Some(there) = self.head(key).await? {
            return accept(&there, &body, attributes);
        }

        let mut puts = 0;
        loop {
            puts += 1;
            match self.put(&self.place(key), body.clone(), attributes, conditional).await {
                Err(error) if error.kind() == ErrorKind::Changed && puts == CROSSED => {
                    return Err(Error::because(ErrorKind::Unavailable, "PutObject", error));
                }
                Err(error) if error.kind() == ErrorKind::Changed => {
                    if let Some(there) = self.head(key).await? {
                        return accept(&there, &body, attributes);
                    }
                    // What was in the way was removed meanwhile.
                }
                outcome => return outcome,
            }
        }
    }

    async fn put(
        &self,
        place: &Place,
        body: Bytes,
        attributes: &ObjectAttributes,
        once: bool,
    ) -> Result<StoredObject, Error> {
        let size = body.len() as u64;
        let md5 = Md5::digest(&body);
        let answer = self.send(place, body, attributes, once).await?;

        let opaque = is_opaque(answer.server_side_encryption(), answer.sse_customer_algorithm());
        let kept = answer.e_tag().filter(|_| !opaque).and_then(md5_of_etag);
        // Few servers tell how much they have kept; where one does, it says more than an ETag that is no MD5.
        let is_cut = answer.size().is_some_and(|kept| u64::try_from(kept) != Ok(size));
        if is_cut || kept.is_some_and(|kept| kept != hex(&md5)) {
            return Err(Error::new(ErrorKind::VerifyFailed, "PutObject"));
        }
        Ok(StoredObject { etag: answer.e_tag, size, already_there: false, same_bytes: true })
    }

    pub(super) async fn send(
        &self,
        place: &Place,
        body: Bytes,
        attributes: &ObjectAttributes,
        once: bool,
    ) -> Result<PutObjectOutput, Error> {
        let config = &self.config;
        let checksum = match config.s3_checksum {
            Checksum::WhenRequired => None,
            Checksum::Crc32 => Some(ChecksumAlgorithm::Crc32),
            Checksum::Sha256 => Some(ChecksumAlgorithm::Sha256),
        };
        let job = attributes.job_id.as_ref().map(ToString::to_string);
        let enqueued = attributes.enqueued_ms.map(|ms| ms.to_string());
        let metadata = [
            (JOB, job),
            (ENQUEUED_MS, enqueued),
            (SOURCE_SHA256, attributes.source_sha256.clone()),
            (STAGED_KEY_SHA256, attributes.staged.as_ref().map(|staged| staged.key_sha256.clone())),
            (STAGED_ETAG, attributes.staged.as_ref().and_then(|staged| staged.etag.clone())),
            (PIPELINE, attributes.pipeline.clone()),
        ];
        let metadata = metadata.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));

        let request = self.client.put_object().bucket(&place.bucket).key(&place.name);
        let request = request
            .set_content_type(attributes.content_type.clone())
            .set_cache_control(attributes.cache_control.clone())
            .set_metadata(Some(metadata.collect()))
            .set_checksum_algorithm(checksum.clone())
            .set_server_side_encryption(config.s3_sse.as_deref().map(ServerSideEncryption::from))
            .set_ssekms_key_id(config.s3_kms_key_id.clone())
            .set_acl(config.s3_acl.as_deref().map(ObjectCannedAcl::from))
            .set_if_none_match(once.then(|| "*".to_owned()))
            .body(ByteStream::from(body))
            .customize();
        // `WhenRequired`, which the client is set to, leaves out even a checksum that was asked for.
        let request = match checksum {
            Some(_) => {
                request.config_override(Builder::default().request_checksum_calculation(WhenSupported))
            }
            None => request,
        };
        self.ask("PutObject", request.send()).await
    }
}

fn accept(there: &ObjectHead, body: &[u8], attributes: &ObjectAttributes) -> Result<StoredObject, Error> {
    if there.is_of(attributes) {
        let (etag, size) = (there.etag.clone(), there.size);
        Ok(StoredObject { etag, size, already_there: true, same_bytes: there.holds(body) })
    } else {
        Err(Error::new(ErrorKind::Conflict, "PutObject"))
    }
}

/// The MD5 that an ETag is: 32 hex digits. That of a multipart upload is none.
fn md5_of_etag(etag: &str) -> Option<String> {
    let digits = etag.trim_matches('"');
    let is_md5 = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_md5.then(|| digits.to_ascii_lowercase())
}
