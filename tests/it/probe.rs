//! The probe: what it says of buckets that work, that are odd, and that are away.

use std::time::{Duration, Instant};

use darkroom::storage::{
    list::Prefix,
    probe::{
        Health, HealthStatus, Versioning,
        finding::{Finding, FindingCode},
    },
};
use darkroom_jobs::ErrorCode;

use crate::support::{
    bucket::{TestBucket, settings, storage},
    dns::TestDns,
    faults::{Fault, FaultyServer},
    fetching, slow,
};

/// The answer to everything.
const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

fn code(health: &Health) -> Option<ErrorCode> {
    health.error.as_ref().map(|error| error.code)
}

#[tokio::test]
async fn a_bucket_that_works_is_ok_with_latencies_and_keeps_no_canary() {
    let bucket = TestBucket::start().await;

    let health = bucket.storage.probe().await;

    assert_eq!(
        (health.status, health.findings.len(), code(&health)),
        (HealthStatus::Ok, 0, None),
        "{health:?}"
    );
    let latency = health.latency_ms;
    assert!(
        [latency.head, latency.put, latency.get, latency.delete].iter().all(Option::is_some),
        "{latency:?}"
    );
    assert_eq!((health.learnt.conditional_writes, health.learnt.staging_public), (Some(true), Some(false)));
    assert_eq!((health.learnt.versioning, health.learnt.staging_lifecycle), (Versioning::Off, None));
    assert!(health.learnt.clock_skew_ms.is_some_and(|ms| ms.abs() < 5_000), "{health:?}");
    assert_eq!(health.last_success, Some(health.checked_at));
    let left = bucket.storage.list(&Prefix::everything(), None).await.expect("the server answers").entries;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_report_is_written_as_the_contract_shows_it_and_without_credentials() {
    let bucket = TestBucket::with(&["--s3-secret-access-key=wrong-but-secret"]).await;

    let health = serde_json::to_value(bucket.storage.probe().await).expect("it is plain JSON");

    assert_eq!((&health["status"], &health["bucket"]), (&"down".into(), &"pictures".into()));
    assert_eq!(health["endpoint"], bucket.server.endpoint_url);
    assert_eq!(health["error"]["code"], "storage_denied");
    for field in [
        "checked_at",
        "age_ms",
        "latency_ms",
        "consecutive_failures",
        "findings",
        "last_success",
        "last_hour",
    ] {
        assert!(health.get(field).is_some(), "{field} is missing: {health}");
    }
    let text = health.to_string();
    assert!(!text.contains("wrong-but-secret") && !text.contains("darkroom-secret"), "{text}");
}

#[tokio::test]
async fn a_paused_server_is_down_and_ok_again_when_it_resumes() {
    let bucket = TestBucket::start().await;

    bucket.server.pause();
    let paused = bucket.storage.probe().await;
    bucket.server.resume();
    let resumed = bucket.storage.probe().await;

    assert_eq!((paused.status, code(&paused)), (HealthStatus::Down, Some(ErrorCode::StorageUnavailable)));
    assert_eq!((paused.consecutive_failures, paused.last_success), (1, None));
    assert_eq!(resumed.status, HealthStatus::Ok, "{resumed:?}");
}

#[tokio::test]
async fn a_bucket_of_originals_that_is_not_there_is_down_too() {
    let bucket = TestBucket::with(&["--s3-staging-bucket=missing"]).await;

    let health = bucket.storage.probe().await;

    let error = health.error.expect("nothing can be staged");
    assert_eq!((health.status, error.code), (HealthStatus::Down, ErrorCode::StorageMisconfigured));
    assert!(error.message.contains("S3_STAGING_BUCKET"), "{error:?}");
}

#[tokio::test]
async fn originals_that_cannot_be_put_for_whatever_reason_are_down_for_the_report_as_for_the_breaker() {
    let bucket = TestBucket::with(&["--s3-staging-bucket=originals"]).await;
    let before = bucket.storage.probe().await;
    // Of a server whose disk is gone every PUT is an InternalError, and the other bucket knows nothing of it.
    std::fs::remove_dir_all(bucket.folder.path().join("originals")).expect("it is there");

    let health = bucket.storage.probe().await;
    let check = bucket.storage.check().await;

    assert_eq!(before.status, HealthStatus::Ok, "{before:?}");
    let error = health.error.expect("nothing can be staged");
    assert_eq!((health.status, error.code), (HealthStatus::Down, ErrorCode::StorageUnavailable));
    assert!(error.message.contains("PutObject below staging/"), "{error:?}");
    assert!(health.latency_ms.delete.is_some(), "the other side works: {:?}", health.latency_ms);
    assert_eq!(check.expect_err("nothing can be staged").code(), ErrorCode::StorageUnavailable);
}

#[tokio::test]
async fn what_can_be_done_is_told_to_a_person_and_not_that_somebody_tries_again() {
    let nobody = storage(&settings("http://127.0.0.1:1", &[])).await;

    let error = nobody.probe().await.error.expect("nobody listens");

    assert_eq!(error.code, ErrorCode::StorageUnavailable);
    assert!(error.hint.contains("S3_ENDPOINT_URL") && !error.hint.contains("tried again"), "{error:?}");
}

#[tokio::test]
async fn what_settings_alone_tell_is_in_every_report() {
    let bucket = TestBucket::start().await;
    let networks = fetching::settings(&TestDns::start().await, &[], &[]).opened;
    let opened = bucket.storage.clone().reporting(Finding::of_networks(&networks));

    let health = opened.probe().await;

    let findings: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
    assert_eq!((health.status, findings), (HealthStatus::Degraded, vec![FindingCode::FetchOpened]));
    assert!(health.findings[0].hint.contains("DARKROOM_FETCH_ALLOW_CIDRS"), "{:?}", health.findings);
}

#[tokio::test]
async fn a_server_that_takes_500_ms_for_each_request_is_slow_and_not_down() {
    let bucket = TestBucket::start().await;
    let slow = slow::by(Duration::from_millis(550), &bucket.server.endpoint_url).await;
    let storage = storage(&settings(&slow, &[])).await;

    let health = storage.probe().await;
    let check = storage.check().await;

    let findings: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
    assert_eq!((health.status, findings), (HealthStatus::Degraded, vec![FindingCode::Slow]), "{health:?}");
    check.expect("it works");
}

#[tokio::test]
async fn a_check_looks_at_the_side_of_the_originals_too_and_keeps_no_canary() {
    let bucket = TestBucket::with(&["--s3-staging-bucket=missing"]).await;

    let missing = bucket.storage.check().await;
    bucket.server.create_bucket("missing").await.expect("a folder can be made");
    let there = bucket.storage.check().await;

    let error = missing.expect_err("nothing can be staged");
    assert_eq!(error.code(), ErrorCode::StorageMisconfigured);
    there.expect("both buckets work");
    let left = bucket.storage.list(&Prefix::staging(), None).await.expect("the server answers").entries;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_down_within_3_s() {
    let server = FaultyServer::answering(&[""]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;
    let begun = Instant::now();

    let health = storage.probe().await;

    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
    assert_eq!((health.status, code(&health)), (HealthStatus::Down, Some(ErrorCode::StorageUnavailable)));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_down_within_3_s_and_what_was_measured_is_told() {
    let faults = vec![Fault::Answer(HELLO.into()), Fault::Never];
    let server = FaultyServer::playing(faults).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;
    let begun = Instant::now();

    let health = storage.probe().await;

    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
    assert_eq!((health.status, code(&health)), (HealthStatus::Down, Some(ErrorCode::StorageUnavailable)));
    assert!(health.latency_ms.head.is_some() && health.latency_ms.put.is_none(), "{health:?}");
}

#[tokio::test]
async fn a_server_that_gives_back_something_else_is_down_and_the_canary_goes_all_the_same() {
    let server = FaultyServer::answering(&[HELLO]).await;
    let storage = storage(&settings(&server.endpoint_url, &["--s3-prefix=shop/"])).await;

    let health = storage.probe().await;

    assert_eq!((health.status, code(&health)), (HealthStatus::Down, Some(ErrorCode::StorageVerifyFailed)));
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_removal = |line: &str| line.starts_with("DELETE /pictures/shop/_darkroom/health/");
    while !server.seen().iter().any(|request| is_removal(&request.line)) {
        assert!(Instant::now() < deadline, "the canary stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_found_even_where_requests_are_refused_for_it() {
    let body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let refused = format!(
        "HTTP/1.1 403 Forbidden\r\ndate: Wed, 21 Oct 2015 07:28:00 GMT\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let server = FaultyServer::answering(&[&refused]).await;
    let storage = storage(&settings(&server.endpoint_url, &[])).await;

    let health = storage.probe().await;

    let findings: Vec<_> = health.findings.iter().map(|finding| finding.code).collect();
    assert_eq!((health.status, findings), (HealthStatus::Down, vec![FindingCode::ClockSkew]));
}
