//! Originals: what is taken, and the word for what is not.

use bytes::Bytes;
use darkroom::{sources::Sources, storage::put::ObjectAttributes};
use darkroom_jobs::{ErrorCode, MAX_SOURCE_BYTES, ObjectKey, Source, StagedKey};

use crate::support::{bucket::TestBucket, fetching::Fetching};

fn key() -> StagedKey {
    "staging/2026-11-24/original".parse().expect("it is a staged key")
}

fn plain() -> Source {
    Source::Staged { key: key(), bytes: None, etag: None, sha256: None }
}

async fn staged(content: &[u8]) -> (TestBucket, Sources, String) {
    let bucket = TestBucket::start().await;
    let attributes = ObjectAttributes { content_type: Some("image/png".into()), ..Default::default() };
    let content = Bytes::copy_from_slice(content);
    let stored = bucket.storage.upload(&ObjectKey::staged(&key()), content, &attributes).await;
    let etag = stored.expect("it is stored").etag.expect("there is an ETag");
    let sources = Sources::new(bucket.storage.clone(), Fetching::fetcher_of_defaults());
    (bucket, sources, etag)
}

async fn refusal(sources: &Sources, source: &Source) -> ErrorCode {
    sources.fetch(source, None).await.expect_err("it is refused").code()
}

#[tokio::test]
async fn a_staged_original_that_is_as_described_is_fetched_and_removed() {
    let (bucket, sources, etag) = staged(b"hi").await;
    let sha256 = "8F434346648F6B96DF89DDA901C5176B10A6D83961DD3C1AC88B59B2DC327AA4".to_owned();
    let bare = etag.trim_matches('"').to_owned();
    let source = Source::Staged { key: key(), bytes: Some(2), etag: Some(bare), sha256: Some(sha256) };

    let original = sources.fetch(&source, None).await.expect("it is as described");
    sources.remove(&source).await.expect("the server answers");

    assert_eq!((&original.bytes[..], original.declared_type.as_deref()), (&b"hi"[..], Some("image/png")));
    assert!(!bucket.storage.exists(&ObjectKey::staged(&key())).await.expect("the server answers"));
}

#[tokio::test]
async fn a_staged_original_that_is_not_as_described_is_refused_by_name() {
    let (_bucket, sources, _) = staged(b"hi").await;
    let with = |bytes, etag: Option<&str>, sha256: Option<&str>| Source::Staged {
        key: key(),
        bytes,
        etag: etag.map(Into::into),
        sha256: sha256.map(Into::into),
    };

    assert_eq!(refusal(&sources, &with(Some(3), None, None)).await, ErrorCode::SourceChanged);
    assert_eq!(refusal(&sources, &with(None, Some("\"no\""), None)).await, ErrorCode::SourceChanged);
    assert_eq!(refusal(&sources, &with(None, None, Some("00"))).await, ErrorCode::SourceChecksumMismatch);
}

#[tokio::test]
async fn an_empty_a_missing_and_a_too_large_original_have_their_words() {
    let (bucket, sources, _) = staged(b"").await;
    let empty = refusal(&sources, &plain()).await;
    bucket.storage.delete(&ObjectKey::staged(&key())).await.expect("the server answers");
    let missing = refusal(&sources, &plain()).await;
    let (_bucket, sources, _) = staged(&vec![0; MAX_SOURCE_BYTES as usize + 1]).await;
    let too_large = refusal(&sources, &plain()).await;

    let expected = (ErrorCode::SourceEmpty, ErrorCode::SourceMissing, ErrorCode::SourceTooLarge);
    assert_eq!((empty, missing, too_large), expected);
}

#[tokio::test]
async fn a_bucket_that_is_away_is_the_platform_and_not_the_original() {
    let (bucket, sources, _) = staged(b"hi").await;
    bucket.server.pause();

    assert_eq!(refusal(&sources, &plain()).await, ErrorCode::StorageUnavailable);
}

#[tokio::test]
async fn inline_originals_are_decoded_and_urls_are_judged() {
    let (_bucket, sources, _) = staged(b"hi").await;
    let inline = Source::Inline { base64: "aGk=".into() };
    let url = Source::Url { url: "https://localhost/a.jpg".into() };

    assert_eq!(sources.fetch(&inline, None).await.expect("it is base64").bytes, "hi");
    assert_eq!(refusal(&sources, &url).await, ErrorCode::HostBlocked);
}
