//! The operations of S3 that darkroom and its tests use; every other one is answered 501.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use md5::{Digest, Md5};
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, checksum::ChecksumHasher, dto::*,
    s3_error,
};

use super::store::{Condition, Facts, NotStored, Store};
use crate::digest::hex;

/// Largest object.
const MAX_BYTES: usize = 64 << 20;

/// Most keys of a DeleteObjects, and of a page.
const MAX_KEYS: usize = 1_000;

pub(super) struct Operations {
    store: Arc<Store>,
}

impl Operations {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn require_bucket(&self, name: &str) -> S3Result<()> {
        self.store.look(name, |_| ()).await.ok_or_else(|| s3_error!(NoSuchBucket))
    }
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let created = self.store.create_bucket(&request.input.bucket).await;
        if !created.map_err(|error| s3_error!(error, InternalError))? {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.require_bucket(&request.input.bucket).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.require_bucket(&request.input.bucket).await?;
        // No status is S3's way to say that there never were versions.
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        self.require_bucket(&input.bucket).await?;
        let condition = condition(&input)?;
        let content = read(input.body.take()).await?;
        let etag = check_digests(&input, &content)?;

        let facts = Facts {
            key: input.key,
            size: content.len() as u64,
            etag: etag.clone(),
            modified: SystemTime::now(),
            content_type: input.content_type,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect::<HashMap<_, _>>(),
        };
        self.store.put(&input.bucket, facts, &content, &condition).await.map_err(
            |refused| match refused {
                NotStored::NoBucket => s3_error!(NoSuchBucket),
                NotStored::ConditionFailed => s3_error!(PreconditionFailed),
                NotStored::KeyRefused => s3_error!(InvalidArgument, "not a key that every store could keep"),
                NotStored::Io(error) => s3_error!(error, InternalError),
            },
        )?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        self.require_bucket(&input.bucket).await?;
        let found = self.store.get(&input.bucket, &input.key).await;
        let found = found.map_err(|error| s3_error!(error, InternalError))?;
        let (facts, content) = found.ok_or_else(|| s3_error!(NoSuchKey))?;
        require_match(&facts, input.if_match.as_ref())?;

        let (content, content_range) = match input.range {
            None => (content, None),
            Some(range) => {
                let part = range.check(facts.size)?;
                let told = format!("bytes {}-{}/{}", part.start, part.end - 1, facts.size);
                (content.slice(part.start as usize..part.end as usize), Some(told))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: i64::try_from(content.len()).ok(),
            content_range,
            body: Some(StreamingBlob::from(Body::from(content))),
            e_tag: Some(ETag::Strong(facts.etag)),
            last_modified: Some(Timestamp::from(facts.modified)),
            content_type: input.response_content_type.or(facts.content_type),
            cache_control: facts.cache_control,
            metadata: Some(facts.metadata.into_iter().collect()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let found = self.store.look(&input.bucket, |objects| objects.get(&input.key).cloned()).await;
        let found = found.ok_or_else(|| s3_error!(NoSuchBucket))?;
        let facts = found.ok_or_else(|| s3_error!(NoSuchKey))?;
        require_match(&facts, input.if_match.as_ref())?;

        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(facts.size).ok(),
            e_tag: Some(ETag::Strong(facts.etag.clone())),
            last_modified: Some(Timestamp::from(facts.modified)),
            content_type: facts.content_type.clone(),
            cache_control: facts.cache_control.clone(),
            metadata: Some(facts.metadata.clone().into_iter().collect()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.require_bucket(&input.bucket).await?;
        let removed = self.store.delete(&input.bucket, &input.key).await;
        removed.map_err(|error| s3_error!(error, InternalError))?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        self.require_bucket(&bucket).await?;
        if delete.objects.len() > MAX_KEYS {
            return Err(s3_error!(MalformedXML, "at most 1,000 keys"));
        }
        let mut deleted = Vec::new();
        for object in delete.objects {
            let removed = self.store.delete(&bucket, &object.key).await;
            removed.map_err(|error| s3_error!(error, InternalError))?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        let deleted = (delete.quiet != Some(true)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "delimiters"));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or(input.start_after.clone()).unwrap_or_default();
        let most = input.max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_KEYS);
        let page = self.store.look(&input.bucket, |objects| {
            let from = objects.range(prefix.clone().max(after.clone())..);
            let page = from.skip_while(|(key, _)| !after.is_empty() && **key <= after);
            let page = page.take_while(|(key, _)| key.starts_with(&prefix));
            page.take(most.min(MAX_KEYS) + 1).map(|(_, facts)| listed(facts)).collect::<Vec<_>>()
        });
        let mut page = page.await.ok_or_else(|| s3_error!(NoSuchBucket))?;

        let is_truncated = page.len() > most.min(MAX_KEYS);
        page.truncate(most.min(MAX_KEYS));
        let last = page.last().and_then(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(page.len()).ok(),
            max_keys: input.max_keys,
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            contents: Some(page),
            name: Some(input.bucket),
            prefix: input.prefix,
            ..Default::default()
        }))
    }
}

fn listed(facts: &Arc<Facts>) -> Object {
    Object {
        key: Some(facts.key.clone()),
        size: i64::try_from(facts.size).ok(),
        e_tag: Some(ETag::Strong(facts.etag.clone())),
        last_modified: Some(Timestamp::from(facts.modified)),
        ..Default::default()
    }
}

fn condition(input: &PutObjectInput) -> S3Result<Condition> {
    match (&input.if_none_match, &input.if_match) {
        (Some(condition), None) if condition.is_any() => Ok(Condition::Absent),
        (None, Some(ETagCondition::ETag(etag))) => Ok(Condition::Etag(etag.value().to_owned())),
        (None, None) => Ok(Condition::Always),
        _ => Err(s3_error!(NotImplemented, "this condition")),
    }
}

fn require_match(facts: &Facts, condition: Option<&ETagCondition>) -> S3Result<()> {
    match condition {
        Some(ETagCondition::ETag(etag)) if etag.value() != facts.etag => Err(s3_error!(PreconditionFailed)),
        _ => Ok(()),
    }
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let content = Limited::new(Body::from(body), MAX_BYTES).collect().await;
    Ok(content.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?.to_bytes())
}

/// Nothing is written before every digest that the client sent is right. Returns the MD5 in hex.
fn check_digests(input: &PutObjectInput, content: &Bytes) -> S3Result<String> {
    let md5 = Md5::digest(content);
    let mut hasher = ChecksumHasher {
        crc32: input.checksum_crc32.is_some().then(Default::default),
        crc32c: input.checksum_crc32c.is_some().then(Default::default),
        sha1: input.checksum_sha1.is_some().then(Default::default),
        sha256: input.checksum_sha256.is_some().then(Default::default),
        crc64nvme: input.checksum_crc64nvme.is_some().then(Default::default),
    };
    hasher.update(content);
    let actual = hasher.finalize();

    let right = [
        input.content_md5.as_ref().is_none_or(|sent| *sent == STANDARD.encode(md5)),
        input.checksum_crc32 == actual.checksum_crc32,
        input.checksum_crc32c == actual.checksum_crc32c,
        input.checksum_sha1 == actual.checksum_sha1,
        input.checksum_sha256 == actual.checksum_sha256,
        input.checksum_crc64nvme == actual.checksum_crc64nvme,
    ];
    if right.contains(&false) {
        return Err(s3_error!(BadDigest));
    }
    if input.content_length.is_some_and(|length| length != content.len() as i64) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(hex(&md5))
}
