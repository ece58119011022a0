//! Originals over HTTP: taken whole, staged, enqueued, kept; refused with the field named.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use darkroom_jobs::{ErrorCode, ImageId, Receipt, Status};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, answer, problem},
};

const LARGEST: usize = 32 << 20;

async fn receipt(service: &Service, taken: &Value) -> Receipt {
    let url = format!("{}?wait=30s", taken["status_url"].as_str().expect("it says where"));
    let (status, receipt) = answer(service.get(&url)).await;
    assert_eq!(status, 200, "{receipt}");
    serde_json::from_value(receipt).expect("a receipt")
}

#[tokio::test]
async fn a_photo_that_is_posted_is_kept_and_its_original_removed() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::with_token(&darkroom, &[]).await;
    let image = ImageId::random();
    let key = format!("user_photos/u7/{image}.jpg");

    let request = service.post(&format!("/api/uploads?user_id=u7&image_id={image}"));
    let request = request.header("content-type", "image/jpeg").body(picture("plain.jpg"));
    let (status, taken) = answer(request).await;
    let receipt = receipt(&service, &taken).await;

    assert_eq!((status, taken["key"].as_str()), (202, Some(key.as_str())));
    assert_eq!((receipt.status, receipt.is_final), (Status::Done, true));
    assert_eq!(receipt.object.expect("it was stored").key.to_string(), key);
    assert_eq!(receipt.source.expect("it was seen").declared_type.as_deref(), Some("image/jpeg"));
    darkroom.eventually_only(&[&key]).await;
}

#[tokio::test]
async fn a_form_with_one_file_is_an_upload_of_a_product_image() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let file =
        || Part::bytes(picture("plain.jpg")).file_name("a.jpg").mime_str("image/jpeg").expect("a type");

    let form = Form::new().text("note", "front").part("file", file());
    let (status, taken) = answer(service.post("/api/uploads?product_id=p1").multipart(form)).await;
    let receipt = receipt(&service, &taken).await;

    assert_eq!(status, 202, "{taken}");
    assert_eq!(receipt.status, Status::Done);
    assert!(taken["key"].as_str().expect("a key").starts_with("products/p1/"));

    let two = Form::new().part("a", file()).part("b", file());
    let refused = problem(service.post("/api/uploads?product_id=p1").multipart(two)).await;
    assert_eq!(refused, (422, "request_invalid".into(), "file".into()));
    let none = Form::new().text("note", "front");
    let refused = problem(service.post("/api/uploads?product_id=p1").multipart(none)).await;
    assert_eq!(refused, (422, "request_invalid".into(), "file".into()));
}

#[tokio::test]
async fn what_is_no_upload_is_refused_with_the_field_named() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let post = |query: &str| service.post(&format!("/api/uploads{query}")).body(picture("plain.jpg"));

    for (query, status, code, field) in [
        ("", 422, "request_invalid", "user_id"),
        ("?user_id=u&product_id=p", 422, "request_invalid", "product_id"),
        ("?user_id=..%2Fx", 422, "id_invalid", "user_id"),
        ("?product_id=", 422, "id_invalid", "product_id"),
        ("?user_id=u&image_id=7", 422, "id_invalid", "image_id"),
        ("?user_id=u&user_id=v", 400, "request_invalid", "user_id"),
    ] {
        assert_eq!(problem(post(query)).await, (status, code.into(), field.into()), "{query}");
    }
    let html = post("?user_id=u").header("content-type", "text/html");
    assert_eq!(problem(html).await, (415, "request_invalid".into(), "Content-Type".into()));
    let empty = service.post("/api/uploads?user_id=u").body("");
    assert_eq!(problem(empty).await, (422, "source_empty".into(), "body".into()));
    let broken =
        service.post("/api/uploads?user_id=u").header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(problem(broken.body("--y\r\n")).await.0, 400);
    let unbounded = service.post("/api/uploads?user_id=u").header("content-type", "multipart/form-data");
    assert_eq!(problem(unbounded.body("--y\r\n")).await.0, 400);
    let key = post("?user_id=u").header("idempotency-key", "x".repeat(300));
    assert_eq!(problem(key).await, (422, "request_invalid".into(), "Idempotency-Key".into()));
    assert!(darkroom.objects().await.iter().all(|key| key.starts_with("_darkroom/")), "nothing was staged");
}

#[tokio::test]
async fn an_original_of_32_mib_is_taken_and_one_byte_more_is_not() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_UPLOAD_MEMORY", "40MiB")]).await;
    let post = |bytes: usize| service.post("/api/uploads?user_id=u").body(vec![7; bytes]);
    let streamed = |bytes: usize| {
        let parts = vec![7; bytes];
        let parts: Vec<_> =
            parts.chunks(1 << 20).map(|part| Frame::data(Bytes::copy_from_slice(part))).collect();
        let body = StreamBody::new(futures_util::stream::iter(parts.into_iter().map(Ok::<_, Infallible>)));
        service.post("/api/uploads?user_id=u").body(reqwest::Body::wrap(body))
    };

    assert_eq!(answer(post(LARGEST)).await.0, 202);
    assert_eq!(problem(post(LARGEST + 1)).await, (413, "source_too_large".into(), "body".into()));
    assert_eq!(problem(streamed(LARGEST + 1)).await, (413, "source_too_large".into(), "body".into()));
    let form = |bytes| {
        let form = Form::new().part("file", Part::bytes(vec![7; bytes]).file_name("a"));
        service.post("/api/uploads?user_id=u").multipart(form)
    };
    assert_eq!(answer(form(LARGEST)).await.0, 202);
    let refused = problem(form(LARGEST + 1)).await;
    assert_eq!(refused, (413, "source_too_large".into(), "body".into()));
}

#[tokio::test]
async fn uploads_that_do_not_fit_into_memory_are_told_to_come_again() {
    use tokio::io::AsyncWriteExt as _;
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_UPLOAD_MEMORY", "32MiB")]).await;
    let mut slow = tokio::net::TcpStream::connect(service.addr).await.expect("it listens");
    let head = format!(
        "POST /api/uploads?user_id=slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGEST}\r\n\r\nx"
    );
    slow.write_all(head.as_bytes()).await.expect("it reads");
    // Only then it was let in: with the other one before it, there would be no room for what it announces.
    wait_for(&service, "darkroom_upload_memory_used_bytes 1").await;
    assert_eq!(answer(service.post("/api/uploads?user_id=u").body(picture("plain.jpg"))).await.0, 202);
    wait_for(&service, "darkroom_upload_memory_used_bytes 1").await;
    slow.write_all(&vec![7; LARGEST - 2]).await.expect("it reads");
    wait_for(&service, "darkroom_upload_memory_used_bytes 33554431").await;

    let response =
        service.post("/api/uploads?user_id=u").body(picture("plain.jpg")).send().await.expect("an answer");
    let again = response.headers().get("retry-after").cloned();
    assert_eq!(crate::support::service::told(response).await.1, "busy");
    assert!(again.is_some(), "it says when");

    drop(slow);
    wait_for(&service, "darkroom_upload_memory_used_bytes 0").await;
    assert_eq!(answer(service.post("/api/uploads?user_id=u").body(picture("plain.jpg"))).await.0, 202);
}

async fn wait_for(service: &Service, line: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let page = service.get("/metrics").send().await.expect("an answer").text().await.expect("text");
        if page.lines().any(|seen| seen == line) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{line} is not in\n{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up_after_ten_seconds() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let mut slow = tokio::net::TcpStream::connect(service.addr).await.expect("it listens");
    let head = "POST /api/uploads?user_id=u HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx";
    slow.write_all(head.as_bytes()).await.expect("it reads");

    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(Duration::from_secs(20), slow.read_exact(&mut answer)).await;

    read.expect("it answers in time").expect("it answers");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_job_and_no_other_original() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let post =
        |body: Vec<u8>| service.post("/api/uploads?user_id=u").header("idempotency-key", "once").body(body);

    let (status, first) = answer(post(picture("plain.jpg"))).await;
    receipt(&service, &first).await;
    let (again, second) = answer(post(picture("plain.jpg"))).await;
    let other = problem(post(b"another".to_vec())).await;

    assert_eq!((status, again), (202, 202));
    assert_eq!(first, second);
    assert_eq!(other, (409, "idempotency_conflict".into(), String::new()));
    darkroom.eventually_only(&[first["key"].as_str().expect("a key")]).await;
}

#[tokio::test]
async fn an_idempotency_key_whose_job_waits_keeps_its_original() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let post =
        |body: Vec<u8>| service.post("/api/uploads?user_id=u").header("idempotency-key", "once").body(body);

    let (_, first) = answer(post(picture("plain.jpg"))).await;
    let (_, second) = answer(post(picture("plain.jpg"))).await;
    let other = problem(post(b"another".to_vec())).await;
    let _worker = darkroom.worker(&[]);
    let receipt = receipt(&service, &first).await;

    assert_eq!(first, second);
    assert_eq!(other, (409, "idempotency_conflict".into(), String::new()));
    assert_eq!(receipt.status, Status::Done);
}

#[tokio::test]
async fn the_same_upload_sent_twice_without_a_key_is_two_jobs_that_both_succeed() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let image = ImageId::random();
    let post = |image: ImageId| {
        service.post(&format!("/api/uploads?user_id=u&image_id={image}")).body(picture("plain.jpg"))
    };

    let (first, second) = (answer(post(image)).await, answer(post(image)).await);
    let (_, lost) = answer(post(ImageId::random())).await;
    let staged = darkroom.objects().await.into_iter().filter(|key| key.starts_with("staging/"));
    let staged = staged.filter(|key| !key.ends_with(&image.to_string())).collect::<Vec<_>>();
    for key in staged {
        darkroom.storage.delete(&key.parse().expect("a key")).await.expect("the bucket answers");
    }
    let _worker = darkroom.worker(&[("DARKROOM_CONCURRENCY_UPLOAD", "1")]);
    let (one, two) = (receipt(&service, &first.1).await, receipt(&service, &second.1).await);
    let missing = receipt(&service, &lost).await;

    assert_ne!(first.1["job_id"], second.1["job_id"]);
    assert_eq!((one.status, two.status), (Status::Done, Status::Done));
    assert!(one.object.is_some() && one.object == two.object, "{:?} {:?}", one.object, two.object);
    let sha256 = |receipt: Receipt| receipt.source.and_then(|source| source.sha256);
    assert_eq!(sha256(one), sha256(two));
    assert_eq!(missing.error.map(|error| error.code), Some(ErrorCode::SourceMissing));
}

#[tokio::test]
async fn the_same_upload_sent_by_many_at_once_is_one_job_that_finds_its_original() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let post = || {
        service.post("/api/uploads?user_id=u").header("idempotency-key", "many").body(picture("plain.jpg"))
    };

    let answers = futures_util::future::join_all((0..8).map(|_| answer(post()))).await;
    let (_, first) = &answers[0];
    let receipt = receipt(&service, first).await;

    assert!(answers.iter().all(|(status, taken)| *status == 202 && taken == first), "{answers:?}");
    assert_eq!((receipt.status, receipt.deliveries), (Status::Done, 1));
    darkroom.eventually_only(&[first["key"].as_str().expect("a key")]).await;
}

#[tokio::test]
async fn a_signed_put_takes_what_was_signed_and_its_source_is_a_job() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let photo = picture("plain.jpg");
    let wanted = json!({ "user_id": 7, "bytes": photo.len(), "content_type": "image/jpeg" });

    let (status, signed) = answer(service.post("/api/uploads/presign").json(&wanted)).await;
    assert_eq!(status, 200, "{signed}");
    let put = |body: Vec<u8>| {
        let mut request = crate::support::service::client().put(signed["url"].as_str().expect("a url"));
        for (name, value) in signed["headers"].as_object().expect("headers") {
            if name != "content-length" {
                request = request.header(name, value.as_str().expect("text"));
            }
        }
        request.body(body).send()
    };
    let wrong = put(photo[1..].to_vec()).await.expect("the bucket answers");
    let right = put(photo.clone()).await.expect("the bucket answers");
    let again = put(photo).await.expect("the bucket answers");
    let job = json!({ "user_id": 7, "image_id": signed["image_id"], "source": signed["source"] });
    let (taken_status, taken) = answer(service.post("/api/jobs/upload").json(&job)).await;

    assert!(wrong.status().is_client_error(), "{}", wrong.status());
    assert_eq!((right.status().as_u16(), again.status().as_u16()), (200, 412));
    assert_eq!(taken_status, 202, "{taken}");
    assert_eq!(receipt(&service, &taken).await.status, Status::Done);
}

#[tokio::test]
async fn what_cannot_be_an_original_is_not_signed() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    for (wanted, status, code, field) in [
        (json!({ "bytes": 1, "content_type": "image/png" }), 422, "request_invalid", "user_id"),
        (json!({ "user_id": "u", "content_type": "image/png" }), 422, "request_invalid", "bytes"),
        (json!({ "user_id": "u", "bytes": 1 }), 422, "request_invalid", "content_type"),
        (json!({ "user_id": "u", "bytes": 0, "content_type": "image/png" }), 422, "source_empty", "bytes"),
        (
            json!({ "user_id": "u", "bytes": LARGEST + 1, "content_type": "image/png" }),
            422,
            "source_too_large",
            "bytes",
        ),
        (
            json!({ "user_id": "u", "bytes": 1, "content_type": "text/html" }),
            422,
            "request_invalid",
            "content_type",
        ),
        (json!({ "user_id": "a/b", "bytes": 1, "content_type": "image/png" }), 422, "id_invalid", "user_id"),
        (json!([]), 422, "request_invalid", "body"),
    ] {
        let refused = problem(service.post("/api/uploads/presign").json(&wanted)).await;
        assert_eq!(refused, (status, code.into(), field.into()), "{wanted}");
    }
    let text = service.post("/api/uploads/presign").header("content-type", "text/plain").body("{}");
    assert_eq!(problem(text).await.0, 415);
    let broken = service.post("/api/uploads/presign").header("content-type", "application/json").body("{");
    assert_eq!(problem(broken).await, (400, "request_invalid".into(), "body".into()));
}
