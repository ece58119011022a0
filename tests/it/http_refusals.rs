//! What HTTP refuses before anything is enqueued: jobs that can only fail, bodies in a form that is not read, wrong queries.

use darkroom::sources::Sources;
use darkroom_jobs::{ImageId, Source};
use serde_json::{Value, json};

use crate::support::{
    bucket::TestBucket,
    darkroom::{TestDarkroom, picture},
    fetching::Fetching,
    service::{Service, answer, problem},
};

fn job(source: &Value) -> Value {
    json!({ "user_id": "u1", "image_id": ImageId::random(), "source": source })
}

/// A source that can only fail, with its code and field.
fn hopeless() -> [(Value, &'static str, &'static str); 9] {
    let inline = |base64: &str| json!({ "type": "inline", "base64": base64 });
    let staged = |more: Value| {
        let mut source = json!({ "type": "staged", "key": "staging/a" });
        source.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        source
    };
    [
        (inline("no base64!"), "source_base64_invalid", "source.base64"),
        (inline(""), "source_empty", "source.base64"),
        (inline(&"AAAA".repeat((256 << 10) / 3 + 1)), "source_inline_too_large", "source.base64"),
        (staged(json!({ "key": "staging/a/" })), "id_invalid", "source.key"),
        (staged(json!({ "key": "staging/./a" })), "id_invalid", "source.key"),
        (staged(json!({ "bytes": 0 })), "source_empty", "source.bytes"),
        (staged(json!({ "bytes": (32 << 20) + 1 })), "source_too_large", "source.bytes"),
        (staged(json!({ "sha256": "00" })), "source_checksum_mismatch", "source.sha256"),
        (staged(json!({ "etag": "no\ttag" })), "source_changed", "source.etag"),
    ]
}

#[tokio::test]
async fn a_job_that_can_only_fail_is_refused_with_the_code_of_its_receipt() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;

    for (source, code, field) in hopeless() {
        let refused = problem(service.post("/api/jobs/upload").json(&job(&source))).await;
        assert_eq!(refused, (422, code.into(), field.into()), "{source}");
    }
    let unjudged = job(&json!({ "type": "url", "url": "ftp://nowhere" }));
    assert_eq!(answer(service.post("/api/jobs/upload").json(&unjudged)).await.0, 202);

    let waiting = answer(service.get("/api/jobs?kind=upload")).await.1;
    assert_eq!(waiting["jobs"].as_array().map(Vec::len), Some(1), "{waiting}");
}

#[tokio::test]
async fn an_array_of_which_nothing_is_taken_is_answered_202_with_a_problem_for_each_item() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let jobs: Vec<_> = hopeless().iter().map(|(source, ..)| job(source)).collect();

    let (status, results) = answer(service.post("/api/jobs/upload").json(&jobs)).await;

    let codes: Vec<_> = results.as_array().expect("an array").iter().map(|one| one["code"].clone()).collect();
    assert_eq!(status, 202);
    assert_eq!(codes, hopeless().map(|(_, code, _)| json!(code)));
    assert!(results.as_array().expect("an array").iter().all(|one| one["status"] == 422), "{results}");
}

#[tokio::test]
async fn what_a_producer_refuses_of_inline_originals_is_what_a_worker_cannot_decode() {
    let bucket = TestBucket::start().await;
    let sources = Sources::new(bucket.storage.clone(), Fetching::fetcher_of_defaults());
    let long = "A".repeat((256 << 10) / 3 * 4 + 2);

    for base64 in ["aGk=", "aGk", "aGk==", "a", "aGl=", "a-_b", "aGk\n", "=", "", "AA", "====", long.as_str()]
    {
        let source = Source::Inline { base64: base64.into() };
        let worker = sources.fetch(&source, None).await.err().map(|error| error.code());
        let producer = source.check().err().map(|error| error.code);
        assert_eq!(producer, worker, "{:?}", &base64[..base64.len().min(10)]);
    }
}

#[tokio::test]
async fn a_body_that_is_encoded_or_not_utf_8_is_refused_by_its_header() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let large = vec![7; 8 << 20];
    let json = || service.post("/api/jobs/upload").header("content-type", "application/json");
    let wrong = |header: &str| (415, "request_invalid".to_owned(), header.to_owned());

    let upload =
        service.post("/api/uploads?user_id=u").header("content-encoding", "gzip").body(large.clone());
    assert_eq!(problem(upload).await, wrong("Content-Encoding"));
    assert_eq!(problem(json().header("content-encoding", "br").body("{}")).await, wrong("Content-Encoding"));
    let latin =
        service.post("/api/jobs/upload").header("content-type", "application/json; charset=iso-8859-1");
    assert_eq!(problem(latin.body("{}")).await, wrong("Content-Type"));
    let html = service.post("/api/uploads?user_id=u").header("content-type", "text/html").body(large);
    assert_eq!(problem(html).await, wrong("Content-Type"));
    let plain = service.post("/api/uploads?user_id=u").header("content-encoding", "identity");
    assert_eq!(answer(plain.body(picture("plain.jpg"))).await.0, 202);
    assert_eq!(problem(json().body(&b"{\"user_id\":\"\xff\"}"[..])).await.0, 400);
}

#[tokio::test]
async fn a_wrong_query_is_told_once_with_its_parameter_named() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;

    for (path, field, detail) in [
        ("/api/jobs?kind=upload&kind=ingest", "kind", "kind is given more than once"),
        ("/api/jobs?stat=failed", "stat", "stat is no parameter here, there are kind, status, limit"),
        ("/api/jobs/018f7a2e?wait=1s&until=done", "until", "until is no parameter here, there is wait"),
        ("/api/storage/health?life=1", "life", "life is no parameter here, there is live"),
        ("/api/jobs?limit=many", "limit", "limit is 1 to 500, not \"many\""),
        (
            "/api/jobs?status=lost",
            "status",
            "status is queued, running, retrying, done, failed, superseded, expired or cancelled, not \"lost\"",
        ),
    ] {
        let told = answer(service.get(path)).await.1;
        assert_eq!((&told["field"], &told["detail"]), (&json!(field), &json!(detail)), "{path}");
    }
}
