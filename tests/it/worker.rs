//! What a worker promises, shown on real processes: nothing is lost, nothing stops it.

use darkroom_jobs::{
    Delete, Deletion, ErrorCode, ImageId, Kind, ObjectKey, Receipt, Source, StagedKey, Status, Target, Upload,
};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    faults::FaultyServer,
};

fn code(receipt: &Receipt) -> ErrorCode {
    receipt.error.as_ref().expect("a failed job says why").code
}

#[tokio::test]
async fn a_staged_photo_becomes_a_clean_jpeg_and_its_original_goes() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);

    let (job, key) = darkroom.upload(picture("gps.jpg")).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 1));
    assert_eq!(receipt.source.as_ref().and_then(|source| source.had_gps), Some(true));
    let object = receipt.object.expect("a stored picture is described");
    let there = darkroom.storage.download(&key, 1 << 20, None).await.expect("the picture is there");
    assert_eq!(
        (object.key, object.sha256, object.size),
        (key.clone(), there.sha256, there.bytes.len() as u64)
    );
    darkroom.eventually_only(&[key.as_str()]).await;
}

#[tokio::test]
async fn a_job_pushed_by_hand_is_done() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let upload = darkroom.staged(picture("plain.jpg")).await;
    let payload = serde_json::to_vec(&upload).expect("a job is JSON");

    darkroom.push_by_hand(Kind::Upload, "by-hand-1", &payload).await;
    let receipt = darkroom.final_receipt(&"by-hand-1".parse().expect("an id")).await;

    assert_eq!(receipt.status, Status::Done);
}

#[tokio::test]
async fn an_upload_is_retried_with_back_off_until_the_bucket_is_back() {
    let darkroom = TestDarkroom::start().await;
    let upload = darkroom.staged(picture("plain.jpg")).await;
    darkroom.services.s3.pause();
    let _worker = darkroom.worker(&[]);

    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    let retrying = darkroom.receipt_when(&job, Status::Retrying).await;
    darkroom.services.s3.resume();
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(code(&retrying), ErrorCode::StorageUnavailable);
    assert!(retrying.next_attempt_at.is_some() && !retrying.is_final);
    assert_eq!(receipt.status, Status::Done);
    assert!(receipt.attempts >= 2, "{receipt:?}");
}

#[tokio::test]
async fn a_receipt_tells_an_error_with_all_its_causes() {
    let darkroom = TestDarkroom::start().await;
    let nobody = [("S3_ENDPOINT_URL", "http://127.0.0.1:1"), ("DARKROOM_QUEUES", "upload")];
    let _worker = darkroom.worker(&nobody);

    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let receipt = darkroom.receipt_when(&job, Status::Retrying).await;

    assert_eq!(code(&receipt), ErrorCode::StorageUnavailable);
    let told = receipt.error.expect("a failed job says why").message;
    let causes: Vec<_> = told.split(": ").collect();
    let [fetch, read, bucket, system] = causes[..] else { panic!("{told}") };
    assert_eq!([fetch, read], ["could not fetch the original", "could not read the staged original"]);
    assert!(bucket.starts_with("the bucket could not be reached ("), "{told}");
    assert!(system.starts_with("Connection refused"), "{told}");
}

#[tokio::test]
async fn running_an_upload_twice_stores_one_object() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut upload = darkroom.staged(picture("plain.jpg")).await;
    let first = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let first = darkroom.final_receipt(&first).await;

    upload.source = darkroom.staged(picture("plain.jpg")).await.source;
    let second = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let second = darkroom.final_receipt(&second).await;
    upload.source = darkroom.staged(picture("plain.png")).await.source;
    let other = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    let other = darkroom.final_receipt(&other).await;

    assert_eq!((first.status, second.status), (Status::Done, Status::Done));
    assert_eq!(first.object, second.object);
    assert_eq!((other.status, code(&other)), (Status::Failed, ErrorCode::KeyConflict));
}

#[tokio::test]
async fn a_deleted_image_is_gone_and_does_not_come_back() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[("DARKROOM_SECOND_PASS_MS", "200")]);
    let upload = darkroom.staged(picture("plain.jpg")).await;
    let stored = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    darkroom.final_receipt(&stored).await;
    let target = Target::UserPhoto { user_id: upload.user_id.clone(), image_id: upload.image_id };

    let delete = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    let deleted = darkroom.final_receipt(&delete).await;
    let again = Upload { source: darkroom.staged(picture("plain.jpg")).await.source, ..upload };
    let again = darkroom.producer.enqueue(again).await.expect("redis takes jobs");
    let again = darkroom.final_receipt(&again).await;

    let deletion = deleted.deletion.expect("a deletion says what it removed");
    assert_eq!((deleted.status, deletion.objects), (Status::Done, 1));
    // The embedded server does not list versions, and says that there never were any.
    assert_eq!((deletion.versions_known, deletion.verified), (false, true));
    assert_eq!(again.status, Status::Superseded);
    darkroom.eventually_only(&[]).await;
}

/// What a deletion claims of an empty bucket that lists no versions, and answers this when asked whether it keeps any.
async fn deletion_where_versioning_is(status: &str, body: &str) -> Deletion {
    let answer = |status: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    let unknown = answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>");
    let empty = answer("200 OK", "<ListBucketResult></ListBucketResult>");
    let versioning = answer(status, body);
    // Three looks: at the image, at its originals, at the image again.
    let bucket =
        FaultyServer::answering(&[&unknown, &empty, &unknown, &empty, &unknown, &empty, &versioning]).await;
    let darkroom = TestDarkroom::start().await;
    let _worker =
        darkroom.worker(&[("S3_ENDPOINT_URL", &bucket.endpoint_url), ("DARKROOM_QUEUES", "delete")]);
    let target = Target::UserPhoto { user_id: "u1".parse().expect("an id"), image_id: ImageId::random() };

    let job = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    let asked = &bucket.seen()[6].line;
    assert!(asked.contains("?versioning"), "{asked}");
    receipt.deletion.unwrap_or_else(|| panic!("a deletion says what it removed: {:?}", receipt.error))
}

#[tokio::test]
async fn a_deletion_in_a_bucket_that_may_have_versions_it_does_not_list_is_not_verified() {
    let said = |status| format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
    for (status, body, verified) in [
        ("200 OK", said(""), true),
        ("200 OK", said("<Status>Suspended</Status>"), false),
        ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>".into(), false),
    ] {
        let deletion = deletion_where_versioning_is(status, &body).await;

        assert_eq!((deletion.versions_known, deletion.verified), (false, verified), "{status} {body}");
    }
}

#[tokio::test]
async fn what_is_no_job_is_dead_with_a_reason_and_stops_nobody() {
    let mut darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker(&[]);
    let image = ImageId::random();
    let inline = r#""source":{"type":"inline","base64":"AA=="}"#;
    let huge =
        format!(r#"{{"user_id":"u1","image_id":"{image}",{inline},"context":"{}"}}"#, "x".repeat(5 << 20));
    let cases: Vec<(&str, String, ErrorCode)> = vec![
        ("not-json", "{".into(), ErrorCode::JobMalformed),
        (
            "wrong-field",
            format!(r#"{{"user_id":"u1","image_id":"{image}","source":7}}"#),
            ErrorCode::JobMalformed,
        ),
        ("huge", huge, ErrorCode::JobMalformed),
        ("slash", format!(r#"{{"user_id":"a/b","image_id":"{image}",{inline}}}"#), ErrorCode::IdInvalid),
        ("dots", format!(r#"{{"user_id":"..","image_id":"{image}",{inline}}}"#), ErrorCode::IdInvalid),
        (
            "elsewhere",
            format!(
                r#"{{"user_id":"u1","image_id":"{image}","source":{{"type":"staged","key":"products/1/x.jpg"}}}}"#
            ),
            ErrorCode::IdInvalid,
        ),
        (
            "url",
            format!(
                r#"{{"user_id":"u1","image_id":"{image}","source":{{"type":"url","url":"http://127.0.0.1/"}}}}"#
            ),
            ErrorCode::AddressBlocked,
        ),
    ];

    for (id, payload, expected) in &cases {
        darkroom.push_by_hand(Kind::Upload, id, payload.as_bytes()).await;
        let receipt = darkroom.final_receipt(&id.parse().expect("an id")).await;
        let error = receipt.error.as_ref().expect("a failed job says why");
        assert_eq!((receipt.status, error.code), (Status::Failed, *expected), "{id}");
        assert!(!error.hint.is_empty() && error.message.len() < 1_000, "{id}: {error:?}");
    }
    let (good, _) = darkroom.upload(picture("plain.jpg")).await;

    assert_eq!(darkroom.final_receipt(&good).await.status, Status::Done);
    assert!(worker.is_running());
}

#[tokio::test]
async fn a_file_that_is_no_picture_is_dead_with_a_reason_and_stops_nobody() {
    let darkroom = TestDarkroom::start().await;
    let mut worker = darkroom.worker(&[]);
    let cases = [
        ("empty.jpg", ErrorCode::SourceEmpty),
        ("text.jpg", ErrorCode::NotAnImage),
        ("truncated.jpg", ErrorCode::ImageTruncated),
        ("huge-header.png", ErrorCode::ImageDimensions),
    ];

    for (name, expected) in cases {
        let (job, _) = darkroom.upload(picture(name)).await;
        let receipt = darkroom.final_receipt(&job).await;
        assert_eq!((receipt.status, code(&receipt)), (Status::Failed, expected), "{name}");
    }

    assert!(worker.is_running());
}

#[tokio::test]
async fn an_original_that_is_missing_is_looked_for_twice() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let key = "staging/nobody/put-it-here".parse().expect("a staged key");
    let source = Source::Staged { key, bytes: None, etag: None, sha256: None };
    let upload = Upload { user_id: "u1".parse().expect("an id"), image_id: ImageId::random(), source };

    let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.attempts), (Status::Failed, 2));
    assert_eq!(code(&receipt), ErrorCode::SourceMissing);
}

/// Of two jobs that name one staged original the first that is done removes it.
#[tokio::test]
async fn a_job_that_names_an_original_again_is_done_with_the_picture_that_was_made_of_it() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let upload = darkroom.staged(picture("plain.jpg")).await;
    let Source::Staged { key: staged, .. } = upload.source.clone() else { panic!("it is staged") };
    let there = darkroom.storage.head(&ObjectKey::staged(&staged)).await.expect("the bucket answers");
    let etag = there.expect("it is staged").etag.expect("the server gives ETags");
    let named = |key: &StagedKey, etag: Option<&str>| Upload {
        source: Source::Staged { key: key.clone(), bytes: None, etag: etag.map(str::to_owned), sha256: None },
        ..upload.clone()
    };
    let first = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
    let first = darkroom.final_receipt(&first).await;
    darkroom.eventually_only(&[ObjectKey::user_photo(&upload.user_id, &upload.image_id).as_str()]).await;

    let elsewhere = "staging/test/elsewhere".parse().expect("a staged key");
    let again =
        [named(&staged, None), named(&staged, Some(&etag)), named(&staged, Some(etag.trim_matches('"')))];
    let others = [
        named(&elsewhere, None),
        named(&elsewhere, Some(&etag)),
        named(&staged, Some("0123456789abcdef0123456789abcdef")),
        Upload { image_id: ImageId::random(), ..named(&staged, Some(&etag)) },
    ];
    let mut receipts = Vec::new();
    for upload in again.iter().chain(&others) {
        let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
        receipts.push(darkroom.final_receipt(&job).await);
    }

    for receipt in &receipts[..again.len()] {
        assert_eq!((receipt.status, &receipt.object), (Status::Done, &first.object), "{receipt:?}");
        let sha256 = |receipt: &Receipt| receipt.source.clone().and_then(|source| source.sha256);
        assert!(sha256(receipt).is_some() && sha256(receipt) == sha256(&first));
    }
    // A name alone proves nothing: neither of another original, nor for another picture.
    for receipt in &receipts[again.len()..] {
        assert_eq!(
            (receipt.status, code(receipt)),
            (Status::Failed, ErrorCode::SourceMissing),
            "{receipt:?}"
        );
        assert!(receipt.error.as_ref().is_some_and(|error| error.hint.contains("a key of its own")));
    }
}

#[tokio::test]
async fn a_job_that_comes_too_late_is_expired() {
    let darkroom = TestDarkroom::start().await;
    let upload = darkroom.staged(picture("plain.jpg")).await;
    let key = ObjectKey::user_photo(&upload.user_id, &upload.image_id);
    let mut payload = darkroom_jobs::Payload::from(upload);
    payload.expires_at = Some("2020-01-01T00:00:00Z".parse().expect("a time"));

    let job = darkroom.producer.enqueue::<Upload>(payload).await.expect("redis takes jobs");
    let _worker = darkroom.worker(&[]);
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.is_final), (Status::Expired, true));
    assert!(!darkroom.storage.exists(&key).await.expect("the bucket answers"));
}
