//! Servers that fail: what we do ourselves, and what the caller is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use darkroom::storage::{
    error::{Error, ErrorKind},
    put::ObjectAttributes,
};
use darkroom_jobs::{ErrorCode, JobId};

use crate::support::{
    bucket::{fresh_key, settings, storage},
    faults::{Fault, FaultyServer},
    tls::SelfSigned,
};

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: \"e\"\r\nconnection: close\r\n\r\nhello";
const TORN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhe";
const STORED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 44\r\nconnection: close\r\n\r\n\
    <Error><Code>SlowDown</Code><Message/></Error>";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\
    connection: close\r\n\r\n<html></html>";
const TOO_MANY_FOR_A_MINUTE: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\n\
    content-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";
const TOO_MANY_FOR_A_SECOND: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n\
    content-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";

#[tokio::test]
async fn an_html_429_is_tried_again() {
    let server = FaultyServer::answering(&[TOO_MANY, TOO_MANY, WHOLE]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let found = storage.download(&fresh_key(), 100, None).await;

    assert_eq!(found.expect("the third answer is whole").bytes, "hello");
}

#[tokio::test]
async fn a_429_that_asks_for_a_second_is_given_it() {
    let server = FaultyServer::answering(&[TOO_MANY_FOR_A_SECOND, WHOLE]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;
    let begun = Instant::now();

    let found = storage.download(&fresh_key(), 100, None).await;

    assert_eq!(found.expect("the second answer is whole").bytes, "hello");
    assert!(begun.elapsed() >= Duration::from_secs(1), "asked again after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_429_that_asks_for_a_minute_is_handed_to_the_caller_at_once() {
    let server = FaultyServer::answering(&[TOO_MANY_FOR_A_MINUTE]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let error = storage.download(&fresh_key(), 100, None).await.expect_err("the server is busy");

    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_503_slow_down_is_tried_three_times() {
    let server = FaultyServer::answering(&[SLOW_DOWN]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let error = storage.download(&fresh_key(), 100, None).await.expect_err("the server is busy");

    assert_eq!((error.code(), error.kind()), (ErrorCode::StorageUnavailable, ErrorKind::Throttled));
    assert_eq!(server.requests(), 3);
}

/// Short time-outs, for servers that are waited for.
const SHORT: [&str; 2] = ["--s3-attempt-timeout=200", "--s3-operation-timeout=1000"];

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = FaultyServer::answering(&[""]).await;
    let storage = storage(&settings(&server.endpoint_url, &SHORT)).await;
    let begun = Instant::now();

    let put = storage.upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await.err();
    let get = storage.download(&fresh_key(), 9, None).await.err();
    let head = storage.head(&fresh_key()).await.err();
    let delete = storage.delete(&fresh_key()).await.err();

    let kinds = [put, get, head, delete].map(|error| error.as_ref().map(Error::kind));
    assert_eq!(kinds, [Some(ErrorKind::Unavailable); 4]);
    assert!(begun.elapsed() < Duration::from_secs(6), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_stops_reading_is_given_up() {
    let server = FaultyServer::playing(vec![Fault::StopReading]).await;
    let storage = storage(&settings(&server.endpoint_url, &SHORT)).await;
    let (begun, large) = (Instant::now(), Bytes::from(vec![7; 32 << 20]));

    let error = storage.upload(&fresh_key(), large, &ObjectAttributes::default()).await;

    assert_eq!(error.expect_err("nothing was read").kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_an_object_is_given_up() {
    let begin = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe";
    let server = FaultyServer::playing(vec![Fault::Begin(begin.into())]).await;
    let storage = storage(&settings(&server.endpoint_url, &SHORT)).await;
    let begun = Instant::now();

    let error = storage.download(&fresh_key(), 9, None).await.expect_err("the rest never comes");

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let slow = Fault::AnswerAfter(Duration::from_millis(400), WHOLE.into());
    let server = FaultyServer::playing(vec![slow]).await;
    let storage = storage(&settings(&server.endpoint_url, &["--s3-attempt-timeout=10000"])).await;

    let found = storage.download(&fresh_key(), 100, None).await;

    assert_eq!(found.expect("it comes in time").bytes, "hello");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_tried_again() {
    let server = FaultyServer::playing(vec![Fault::Close, Fault::Close, Fault::Answer(STORED.into())]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let stored = storage.upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;

    stored.expect("the third request is answered");
    assert!(server.seen().iter().all(|request| request.body == b"x"), "the body is sent each time");
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_the_next_request_is_replaced() {
    let kept = WHOLE.replace("connection: close\r\n", "");
    let faults = vec![Fault::AnswerAndKeep(kept), Fault::Close, Fault::Answer(WHOLE.into())];
    let server = FaultyServer::playing(faults).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    for _ in 0..2 {
        let found = storage.download(&fresh_key(), 100, None).await;
        assert_eq!(found.expect("it is answered").bytes, "hello");
    }

    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("bound");
    let storage = storage(&settings(&format!("http://{gone}"), &[])).await;

    let error = storage.head_bucket().await.expect_err("nobody listens");

    assert_eq!(error.code(), ErrorCode::StorageUnavailable);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_a_wrong_setting_until_the_bundle_names_it() {
    let server = SelfSigned::start();
    let bundle = format!("--s3-ca-bundle={}", SelfSigned::bundle().display());

    let without = storage(&settings(&server.endpoint_url, &[])).await.head_bucket().await;
    let with = storage(&settings(&server.endpoint_url, &[&bundle])).await.head_bucket().await;

    let error = without.expect_err("nobody signed it");
    assert_eq!(error.code(), ErrorCode::StorageMisconfigured, "{error:?}");
    assert!(error.to_string().contains("S3_CA_BUNDLE"), "{error}");
    with.expect("it is trusted");
}

#[tokio::test]
async fn a_download_cut_in_the_middle_is_begun_anew() {
    let server = FaultyServer::answering(&[TORN, WHOLE]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let found = storage.download(&fresh_key(), 100, None).await;

    assert_eq!(found.expect("the second answer is whole").bytes, "hello");
}

#[tokio::test]
async fn a_download_that_is_always_cut_is_unavailable_after_three() {
    let server = FaultyServer::answering(&[TORN]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let error = storage.download(&fresh_key(), 100, None).await.expect_err("it is never whole");

    assert_eq!((error.kind(), server.requests()), (ErrorKind::Unavailable, 3));
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_refused_before_reading() {
    let server = FaultyServer::answering(&[WHOLE]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let error = storage.download(&fresh_key(), 4, None).await.expect_err("5 bytes are too many");

    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_put_that_was_applied_but_whose_reply_was_lost_is_a_success() {
    let job = JobId::generate();
    let gone = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let ours = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\netag: \"e\"\r\nx-amz-meta-darkroom-job: {job}\r\n\
         connection: close\r\n\r\n"
    );
    let lost = "HTTP/1.1 2";
    let server = FaultyServer::answering(&[lost, gone, &ours]).await;
    let storage = storage(&settings(&server.endpoint_url, &["--s3-conditional-writes=on"])).await;
    let attributes = ObjectAttributes { job_id: Some(job), ..Default::default() };

    let stored = storage.put_once(&fresh_key(), Bytes::from("picture"), &attributes).await;

    let stored = stored.expect("the object is ours");
    assert_eq!((stored.already_there, stored.size), (true, 7));
}

#[tokio::test]
async fn a_put_with_something_in_its_way_that_is_gone_by_now_is_made_again_a_few_times() {
    let taken = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let gone = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n";
    let once = FaultyServer::answering(&[taken, gone, STORED]).await;
    let always = FaultyServer::answering(&[taken, gone, taken, gone, taken]).await;
    let put = async |server: &FaultyServer| {
        let storage = storage(&settings(&server.endpoint_url, &["--s3-conditional-writes=on"])).await;
        storage.put_once(&fresh_key(), Bytes::from("picture"), &ObjectAttributes::default()).await
    };

    let stored = put(&once).await.expect("nothing is in its way any more");
    let refused = put(&always).await.expect_err("there is always another one");

    assert_eq!((stored.already_there, once.requests()), (false, 3));
    assert_eq!((refused.kind(), always.requests()), (ErrorKind::Unavailable, 5));
}

#[tokio::test]
async fn an_etag_that_is_the_md5_of_something_else_is_noticed() {
    let other = STORED.replace("connection", "etag: \"0123456789abcdef0123456789abcdef\"\r\nconnection");
    let server = FaultyServer::answering(&[&other]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let error = storage.upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;

    assert_eq!(error.expect_err("it is not what was sent").code(), ErrorCode::StorageVerifyFailed);
}

#[tokio::test]
async fn a_length_that_is_not_the_one_that_was_sent_is_noticed_where_it_is_told() {
    for (kept, is_whole) in [("1", true), ("0", false)] {
        let told = STORED.replace("connection", &format!("x-amz-object-size: {kept}\r\nconnection"));
        let server = FaultyServer::answering(&[&told]).await;
        let storage = storage(&settings(&server.endpoint_url, &[])).await;

        let stored = storage.upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;

        let code = stored.err().map(|error| error.code());
        assert_eq!(code, (!is_whole).then_some(ErrorCode::StorageVerifyFailed));
    }
}

#[tokio::test]
async fn an_etag_under_kms_is_not_taken_for_an_md5() {
    let kms = "etag: \"0123456789abcdef0123456789abcdef\"\r\nx-amz-server-side-encryption: aws:kms\r\n\
               connection";
    let server = FaultyServer::answering(&[&STORED.replace("connection", kms)]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let stored = storage.upload(&fresh_key(), Bytes::from("x"), &ObjectAttributes::default()).await;

    assert!(stored.is_ok());
}

#[tokio::test]
async fn what_a_setting_gets_wrong_is_told_by_the_name_of_its_variable() {
    use ErrorCode::{StorageDenied, StorageMisconfigured, StorageUnavailable, StorageVerifyFailed};
    let cases = [
        ("301 Moved", "PermanentRedirect", StorageMisconfigured, "S3_REGION"),
        ("307 Moved", "TemporaryRedirect", StorageMisconfigured, "S3_REGION"),
        ("400 Bad", "AuthorizationHeaderMalformed", StorageMisconfigured, "S3_REGION"),
        ("400 Bad", "ExpiredToken", StorageDenied, "AWS_SESSION_TOKEN"),
        ("400 Bad", "InvalidToken", StorageDenied, "AWS_SESSION_TOKEN"),
        ("400 Bad", "InvalidBucketName", StorageMisconfigured, "S3_BUCKET"),
        ("403 Forbidden", "RequestTimeTooSkewed", StorageMisconfigured, "clock"),
        ("403 Forbidden", "InvalidAccessKeyId", StorageDenied, "S3_ACCESS_KEY_ID"),
        ("403 Forbidden", "SignatureDoesNotMatch", StorageDenied, "S3_SECRET_ACCESS_KEY"),
        ("403 Forbidden", "AccessDenied", StorageDenied, "S3_ACCESS_KEY_ID"),
        ("403 Forbidden", "QuotaExceeded", StorageDenied, "quota"),
        ("404 Not Found", "NoSuchBucket", StorageMisconfigured, "S3_BUCKET"),
        ("400 Bad", "InvalidDigest", StorageVerifyFailed, ""),
        ("503 Slow Down", "SlowDown", StorageUnavailable, ""),
        ("500 Error", "InternalError", StorageUnavailable, ""),
    ];

    for (status, word, code, named) in cases {
        let server = FaultyServer::answering(&[&refusal(status, word)]).await;
        let storage = storage(&settings(&server.endpoint_url, &[])).await;

        let error = storage.download(&fresh_key(), 9, None).await.expect_err("it is refused");

        assert_eq!(error.code(), code, "{word}");
        assert!(error.to_string().contains(named), "{word}: {error}");
        assert!(error.hint().contains(named) && !error.hint().contains("tried again"), "{}", error.hint());
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some(word), "the server's word, and nothing of ours around it");
    }
}

fn refusal(status: &str, word: &str) -> String {
    let body = format!("<Error><Code>{word}</Code></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// What is answered to HEAD has no body, and so no word.
const WORDLESS: &str = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_reason_for_a_refusal_of_a_head_is_asked_for() {
    for (word, code) in [
        ("RequestTimeTooSkewed", ErrorCode::StorageMisconfigured),
        ("ExpiredToken", ErrorCode::StorageDenied),
        ("AuthorizationHeaderMalformed", ErrorCode::StorageMisconfigured),
    ] {
        let server = FaultyServer::answering(&[
            WORDLESS,
            &refusal("400 Bad", word),
            WORDLESS,
            &refusal("400 Bad", word),
        ])
        .await;
        let storage = storage(&settings(&server.endpoint_url, &["--s3-prefix=shop/"])).await;

        let errors = [storage.head_bucket().await.err(), storage.head(&fresh_key()).await.err()];

        for error in errors.map(|error| error.expect("it is refused")) {
            let said = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!((error.code(), said.as_deref()), (code, Some(word)), "{error}");
            assert!(error.to_string().contains("Head"), "{error}");
        }
        let asked = &server.seen()[1].line;
        assert!(
            asked.starts_with("GET /pictures?list-type=2") || asked.starts_with("GET /pictures/?"),
            "{asked}"
        );
        assert!(asked.contains("prefix=shop%2F_darkroom%2F"), "only what is ours is asked for: {asked}");
    }
}

#[tokio::test]
async fn a_refusal_whose_reason_cannot_be_had_stays_what_it_was() {
    let listed = "<ListBucketResult></ListBucketResult>";
    let listed =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{listed}", listed.len());
    for reason in [&*listed, "", "HTTP/1.1 500 Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"] {
        let server = FaultyServer::answering(&[WORDLESS, reason, WORDLESS]).await;
        let storage = storage(&settings(&server.endpoint_url, &[])).await;
        let begun = Instant::now();

        let error = storage.head_bucket().await.expect_err("it is refused");

        assert_eq!(error.code(), ErrorCode::StorageDenied, "{error}");
        assert!(error.hint().contains("S3_ACCESS_KEY_ID"), "{}", error.hint());
        assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_the_reason() {
    let storage = storage(&settings("http://127.0.0.1:1", &[])).await;

    let error = storage.download(&fresh_key(), 9, None).await.expect_err("nobody listens");

    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("refused"), "{cause}");
}
