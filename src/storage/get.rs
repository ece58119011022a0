//! Reading objects, and asking about them.

use std::{collections::HashMap, time::Duration};

use aws_sdk_s3::{operation::get_object::GetObjectOutput, types::ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use darkroom_jobs::ObjectKey;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    Place, Storage,
    error::{Error, ErrorKind},
    list::Listed,
};
use crate::digest::hex;

/// Transfers of one object that may break before we give up.
const TRANSFERS: u32 = 3;

/// How long the reason for a refusal is waited for.
const FOR_A_REASON: Duration = Duration::from_secs(1);

/// A whole object.
#[derive(Clone, Debug)]
pub struct Downloaded {
    /// Its content.
    pub bytes: Bytes,
    /// Its ETag, quoted as S3 gave it.
    pub etag: Option<String>,
    /// Its media type, as whoever stored it claimed.
    pub content_type: Option<String>,
    /// SHA-256 of the content in hex, taken while it arrived.
    pub sha256: String,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug)]
pub struct ObjectHead {
    /// Bytes.
    pub size: u64,
    /// ETag, quoted as S3 gave it.
    pub etag: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
    /// User metadata; names without `x-amz-meta-`, in lower case.
    pub metadata: HashMap<String, String>,
    /// Whether the ETag says nothing of the content: it is encrypted with a key of KMS or of a customer.
    pub(super) opaque_etag: bool,
}

impl Storage {
    /// Downloads a whole object of at most `max_bytes` bytes; with `if_match`, only the one of that ETag.
    ///
    /// The limit is held against the announced length before the first byte, and again while reading: announcements lie.
    /// A transfer that breaks is begun anew, three times at most.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::NotFound`], [`ErrorKind::TooLarge`], [`ErrorKind::Changed`]: asking again will not help.
    /// * [`ErrorKind::Unavailable`]: time-outs and broken transfers, after all retries.
    pub async fn download(
        &self,
        key: &ObjectKey,
        max_bytes: u64,
        if_match: Option<&str>,
    ) -> Result<Downloaded, Error> {
        let attempts = async {
            let mut transfer = 1;
            loop {
                let answer = self.open(key, if_match).await?;
                match read(answer, max_bytes).await {
                    Err(broken) if broken.kind() == ErrorKind::Unavailable && transfer < TRANSFERS => {
                        transfer += 1;
                    }
                    outcome => return outcome,
                }
            }
        };
        match timeout(self.patience(), attempts).await {
            Ok(outcome) => outcome,
            Err(late) => Err(Error::because(ErrorKind::Unavailable, "GetObject", late)),
        }
    }

    async fn open(&self, key: &ObjectKey, if_match: Option<&str>) -> Result<GetObjectOutput, Error> {
        let place = self.place(key);
        let request = self.client.get_object().bucket(place.bucket).key(place.name);
        let request = request.set_if_match(if_match.map(str::to_owned));
        self.ask("GetObject", request.send()).await
    }

    /// What is known of an object; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Any but [`ErrorKind::NotFound`].
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectHead>, Error> {
        self.head_version(&self.place(key), None).await
    }

    /// What is known of the very version that a listing found; `None` when it is gone.
    ///
    /// # Errors
    ///
    /// Any but [`ErrorKind::NotFound`].
    pub async fn head_listed(&self, entry: &Listed) -> Result<Option<ObjectHead>, Error> {
        self.head_version(&self.place_of(&entry.key), entry.version.as_deref()).await
    }

    async fn head_version(&self, place: &Place, version: Option<&str>) -> Result<Option<ObjectHead>, Error> {
        let ask = || {
            let request = self.client.head_object().bucket(&place.bucket).key(&place.name);
            self.ask("HeadObject", request.set_version_id(version.map(str::to_owned)).send())
        };
        let answer = match self.explained(&place.bucket, ask).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let opaque_etag = is_opaque(answer.server_side_encryption(), answer.sse_customer_algorithm());
        Ok(Some(ObjectHead {
            size: length(answer.content_length()).unwrap_or_default(),
            etag: answer.e_tag,
            content_type: answer.content_type,
            metadata: answer.metadata.unwrap_or_default(),
            opaque_etag,
        }))
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub async fn exists(&self, key: &ObjectKey) -> Result<bool, Error> {
        Ok(self.head(key).await?.is_some())
    }

    /// Asks whether the bucket is there and ours to use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`] when it does not exist.
    pub async fn head_bucket(&self) -> Result<(), Error> {
        let ask = || {
            let request = self.client.head_bucket().bucket(&self.config.s3_bucket);
            async move { self.ask("HeadBucket", request.send()).await.map(drop).map_err(Error::about_a_bucket) }
        };
        self.explained(&self.config.s3_bucket, ask).await
    }

    /// What a HEAD is answered; a refusal has the server's reason. No body comes with it that could hold one, so the bucket
    /// is asked for something else, which is refused for the same reason. Where that is not refused the HEAD is repeated:
    /// the SDK sets its clock by each answer, and a first request whose time was wrong is refused alone.
    pub(super) async fn explained<T, F>(&self, bucket: &str, head: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let refusal = match head().await {
            Err(refusal) if refusal.is_wordless() => refusal,
            answer => return answer,
        };
        let prefix = self.place_of("_darkroom/").name;
        let listing = self.client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(1);
        match timeout(FOR_A_REASON, listing.send()).await {
            Ok(Ok(_)) => head().await,
            Ok(Err(error)) => {
                let reason = Error::of(refusal.operation(), error);
                let is_one = matches!(reason.kind(), ErrorKind::Denied | ErrorKind::Misconfigured);
                Err(if is_one { reason } else { refusal })
            }
            Err(_) => Err(refusal),
        }
    }
}

async fn read(answer: GetObjectOutput, max_bytes: u64) -> Result<Downloaded, Error> {
    let announced = length(answer.content_length());
    if announced.is_some_and(|announced| announced > max_bytes) {
        return Err(Error::new(ErrorKind::TooLarge, "GetObject"));
    }

    let mut body = answer.body;
    let mut bytes = BytesMut::new();
    let mut sha256 = Sha256::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Error::because(ErrorKind::Unavailable, "GetObject", error))?;
        if (bytes.len() + chunk.len()) as u64 > max_bytes {
            return Err(Error::new(ErrorKind::TooLarge, "GetObject"));
        }
        sha256.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    if announced.is_some_and(|announced| announced != bytes.len() as u64) {
        return Err(Error::because(ErrorKind::Unavailable, "GetObject", "the transfer ended early"));
    }

    Ok(Downloaded {
        bytes: bytes.freeze(),
        etag: answer.e_tag,
        content_type: answer.content_type,
        sha256: hex(&sha256.finalize()),
    })
}

fn length(announced: Option<i64>) -> Option<u64> {
    announced.and_then(|length| u64::try_from(length).ok())
}

/// Whether encryption makes the ETag something else than an MD5 of the content.
pub(super) fn is_opaque(sse: Option<&ServerSideEncryption>, customer: Option<&str>) -> bool {
    customer.is_some() || sse.is_some_and(|sse| *sse != ServerSideEncryption::Aes256)
}
