//! Jobs over HTTP: enqueued, watched, operated; every wrong request is refused as a problem.

use std::time::Instant;

use darkroom_jobs::ImageId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, answer, problem},
};

fn inline(user: &str, bytes: &[u8]) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let source = json!({ "type": "inline", "base64": STANDARD.encode(bytes) });
    json!({ "user_id": user, "image_id": ImageId::random(), "source": source })
}

fn small() -> Value {
    inline("u1", &picture("plain.jpg"))
}

fn not_an_image() -> Value {
    inline("u1", b"no picture")
}

async fn enqueue(service: &Service, job: &Value) -> String {
    let (status, taken) = answer(service.post("/api/jobs/upload").json(job)).await;
    assert_eq!(status, 202, "{taken}");
    taken["job_id"].as_str().expect("an id").to_owned()
}

async fn ended(service: &Service, id: &str) -> Value {
    let (status, receipt) = answer(service.get(&format!("/api/jobs/{id}?wait=30s"))).await;
    assert_eq!((status, &receipt["final"]), (200, &json!(true)), "{receipt}");
    receipt
}

#[tokio::test]
async fn a_job_is_taken_run_and_its_receipt_waited_for() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let job = small();

    let response = service.post("/api/jobs/upload").json(&job).send().await.expect("an answer");
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let taken: Value = response.json().await.expect("JSON");
    let receipt = ended(&service, taken["job_id"].as_str().expect("an id")).await;

    assert_eq!(taken["key"], format!("user_photos/u1/{}.jpg", job["image_id"].as_str().expect("an id")));
    assert_eq!((&taken["status_url"], &receipt["status"]), (&json!(location), &json!("done")));
    assert_eq!(receipt["object"]["key"], taken["key"]);
}

#[tokio::test]
async fn an_array_has_a_result_for_each_item() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let jobs = json!([small(), { "user_id": "u1" }, "job", small()]);

    let request = || service.post("/api/jobs/upload").header("idempotency-key", "batch").json(&jobs);
    let (status, results) = answer(request()).await;
    let (_, again) = answer(request()).await;

    assert_eq!((status, results.as_array().map(Vec::len)), (202, Some(4)), "{results}");
    assert!(results[0]["job_id"].is_string() && results[3]["job_id"].is_string(), "{results}");
    assert_eq!((&results[1]["code"], &results[1]["field"]), (&json!("job_malformed"), &json!("image_id")));
    assert_eq!((&results[2]["status"], &results[2]["field"]), (&json!(422), &json!("body")));
    assert_eq!(results, again, "the same key gives the same jobs");
}

#[tokio::test]
async fn arrays_that_are_empty_or_too_long_are_refused_and_a_thousand_are_taken() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let jobs = |number| vec![not_an_image(); number];

    for number in [0, 1001] {
        let refused = problem(service.post("/api/jobs/upload").json(&jobs(number))).await;
        assert_eq!(refused, (422, "request_invalid".into(), "body".into()), "{number}");
    }
    let (status, results) = answer(service.post("/api/jobs/upload").json(&jobs(1000))).await;
    assert_eq!((status, results.as_array().map(Vec::len)), (202, Some(1000)));
}

#[tokio::test]
async fn two_million_items_are_refused_at_once_and_cost_no_more_than_their_text() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let post =
        |body: String| service.post("/api/jobs/upload").header("content-type", "application/json").body(body);
    let before = service.worker.peak_kib();

    let began = Instant::now();
    let items = format!("[{}]", vec!["{\"\":0}"; 2_000_000].join(","));
    let (status, results) = answer(post(format!("[{items}]"))).await;
    let refused = problem(post(items)).await;
    let took = began.elapsed();

    assert_eq!(refused, (422, "request_invalid".into(), "body".into()));
    assert_eq!((status, &results[0]["code"]), (202, &json!("job_malformed")), "{results}");
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    let grown = service.worker.peak_kib() - before;
    assert!(grown < 100 << 10, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn what_is_no_job_is_refused_with_the_field_named() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let image = ImageId::random();
    let source = json!({ "type": "url", "url": "https://example.com/a.jpg" });

    for (kind, job, status, code, field) in [
        ("upload", json!({ "image_id": image, "source": source }), 422, "job_malformed", "user_id"),
        (
            "upload",
            json!({ "user_id": "../x", "image_id": image, "source": source }),
            422,
            "id_invalid",
            "user_id",
        ),
        (
            "ingest",
            json!({ "product_id": "p", "image_id": "x", "source": source }),
            422,
            "id_invalid",
            "image_id",
        ),
        (
            "ingest",
            json!({ "product_id": "p", "image_id": image, "source": { "type": "ftp" } }),
            422,
            "job_malformed",
            "source.type",
        ),
        ("delete", json!({ "target": { "type": "user" } }), 422, "job_malformed", "target.user_id"),
        (
            "delete",
            json!({ "v": 9, "target": { "type": "user", "user_id": 1 } }),
            422,
            "job_version_unsupported",
            "v",
        ),
        ("upload", json!("upload"), 422, "job_malformed", "body"),
        ("upload", json!(null), 422, "job_malformed", "body"),
    ] {
        let refused = problem(service.post(&format!("/api/jobs/{kind}")).json(&job)).await;
        assert_eq!(refused, (status, code.into(), field.into()), "{kind} {job}");
    }
    for kind in ["bucket_health", "develop"] {
        let refused = problem(service.post(&format!("/api/jobs/{kind}")).json(&json!({}))).await;
        assert_eq!(refused.0, 405, "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_deep_or_too_large_is_refused() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    let post = || service.post("/api/jobs/upload");
    assert_eq!(problem(post().body("{}")).await.0, 415);
    let text = |body: String| post().header("content-type", "application/json").body(body);
    let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let deep = nested(1_000);
    assert_eq!(problem(text(deep.clone())).await.0, 400);
    assert_eq!(problem(text(nested(100_000))).await, (422, "job_malformed".into(), "body".into()));
    let (taken, results) = answer(text(format!("[{deep}]"))).await;
    assert_eq!((taken, &results[0]["status"]), (202, &json!(400)), "{results}");
    let huge = format!("\"{}\"", "x".repeat(17 << 20));
    let refused = problem(text(huge)).await;
    assert_eq!(refused, (413, "request_too_large".into(), "body".into()));
    let large = problem(post().json(&json!({ "user_id": "x".repeat(3 << 20) }))).await;
    assert_eq!((large.0, large.1.as_str()), (422, "job_malformed"));
}

#[tokio::test]
async fn the_same_key_with_another_payload_is_a_conflict_that_names_the_job() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let post = |job: &Value| service.post("/api/jobs/upload").header("idempotency-key", "k").json(job);
    let job = small();

    let (_, first) = answer(post(&job)).await;
    let (_, again) = answer(post(&job)).await;
    let (status, other) = answer(post(&small())).await;

    assert_eq!(first, again);
    assert_eq!((status, &other["code"]), (409, &json!("idempotency_conflict")));
    assert_eq!(other["job_id"], first["job_id"]);
}

#[tokio::test]
async fn a_long_poll_answers_with_the_receipt_and_no_later_than_asked() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let id = enqueue(&service, &small()).await;

    let began = Instant::now();
    let (_, waiting) = answer(service.get(&format!("/api/jobs/{id}?wait=1500ms"))).await;
    let waited = began.elapsed();
    let poll = answer(service.get(&format!("/api/jobs/{id}?wait=30s")));
    let worker = async { darkroom.worker(&[]) };
    let ((_, receipt), _worker) = tokio::join!(poll, worker);

    assert_eq!((&waiting["status"], &waiting["final"]), (&json!("queued"), &json!(false)));
    assert!((1400..4000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(receipt["status"], "done");
    for wait in ["61s", "soon", "-1"] {
        let refused = problem(service.get(&format!("/api/jobs/{id}?wait={wait}"))).await;
        assert_eq!(refused, (422, "request_invalid".into(), "wait".into()), "{wait}");
    }
}

#[tokio::test]
async fn jobs_that_are_unknown_or_misnamed_are_told_apart() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    for (method, path) in [
        (Method::GET, "/api/jobs/nobody"),
        (Method::GET, "/api/jobs/nobody?wait=5s"),
        (Method::DELETE, "/api/jobs/nobody"),
        (Method::POST, "/api/jobs/nobody/retry"),
    ] {
        assert_eq!(problem(service.request(method, path)).await.0, 404, "{path}");
        let wrong = path.replace("nobody", "no%2Fbody");
        let refused = problem(
            service.request(if path.ends_with("retry") { Method::POST } else { Method::GET }, &wrong),
        )
        .await;
        assert_eq!(refused, (422, "id_invalid".into(), "id".into()), "{wrong}");
    }
}

#[tokio::test]
async fn dead_jobs_are_listed_retried_and_discarded_and_waiting_ones_cancelled() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let id = enqueue(&service, &not_an_image()).await;
    let dead = ended(&service, &id).await;

    let (_, listed) = answer(service.get("/api/jobs?kind=upload&status=failed")).await;
    let (retried_status, _) = answer(service.post(&format!("/api/jobs/{id}/retry"))).await;
    let again = ended(&service, &id).await;
    let (_, many) = answer(service.post("/api/queues/upload/retry-dead?code=not_an_image")).await;
    ended(&service, &id).await;
    let (_, none) = answer(service.post("/api/queues/upload/retry-dead?code=image_corrupt")).await;
    let (discarded, last) = answer(service.request(Method::DELETE, &format!("/api/jobs/{id}"))).await;

    assert_eq!((&dead["status"], &listed["jobs"][0]["job_id"]), (&json!("failed"), &json!(id)));
    assert_eq!((retried_status, &again["deliveries"]), (200, &json!(2)));
    assert_eq!((&many["retried"], &none["retried"]), (&json!(1), &json!(0)));
    assert_eq!((discarded, &last["job_id"]), (200, &json!(id)));
    assert_eq!(problem(service.get(&format!("/api/jobs/{id}"))).await.0, 404);

    answer(service.post("/api/queues/upload/pause")).await;
    let waiting = enqueue(&service, &small()).await;
    let (cancelled, receipt) = answer(service.request(Method::DELETE, &format!("/api/jobs/{waiting}"))).await;
    assert_eq!((cancelled, &receipt["status"]), (200, &json!("cancelled")));
    let refused = problem(service.request(Method::DELETE, &format!("/api/jobs/{waiting}"))).await;
    assert_eq!((refused.0, refused.1.as_str()), (409, "request_invalid"));
    let refused = problem(service.post(&format!("/api/jobs/{waiting}/retry"))).await;
    assert_eq!(refused.0, 409);
}

#[tokio::test]
async fn a_paused_queue_is_not_claimed_from_until_it_is_resumed() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    let (_, paused) = answer(service.post("/api/queues/upload/pause")).await;
    let id = enqueue(&service, &small()).await;
    let (_, waiting) = answer(service.get(&format!("/api/jobs/{id}?wait=1s"))).await;
    let (_, resumed) = answer(service.post("/api/queues/upload/resume")).await;
    let receipt = ended(&service, &id).await;

    assert_eq!(paused, json!({ "kind": "upload", "paused": true, "changed": true }));
    assert_eq!(resumed, json!({ "kind": "upload", "paused": false, "changed": true }));
    assert_eq!((&waiting["status"], &receipt["status"]), (&json!("queued"), &json!("done")));
    assert_eq!(
        problem(service.post("/api/queues/develop/pause")).await,
        (404, "not_found".into(), "kind".into())
    );
}

#[tokio::test]
async fn a_running_job_is_not_removed() {
    use redis::AsyncCommands as _;
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let id = enqueue(&service, &small()).await;
    // As a worker elsewhere that claimed it, and renews its lease.
    let mut redis = darkroom.redis.clone();
    let claimed: Option<String> = redis.lpop("{darkroom}:upload:active", None).await.expect("redis answers");
    let _: () =
        redis.zadd("{darkroom}:upload:leases", &id, 9_999_999_999_999_u64).await.expect("redis answers");

    let refused = problem(service.request(Method::DELETE, &format!("/api/jobs/{id}"))).await;

    assert_eq!(claimed.as_ref(), Some(&id));
    assert_eq!((refused.0, refused.1.as_str()), (409, "job_running"));
}

#[tokio::test]
async fn lists_take_what_there_is_and_refuse_the_rest() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    for _ in 0..3 {
        enqueue(&service, &small()).await;
    }

    let (_, two) = answer(service.get("/api/jobs?kind=upload&limit=2")).await;
    let (_, queued) = answer(service.get("/api/jobs?status=queued")).await;

    assert_eq!(two["jobs"].as_array().map(Vec::len), Some(2));
    assert_eq!(queued["jobs"].as_array().map(Vec::len), Some(3));
    for (query, field) in
        [("kind=x", "kind"), ("status=x", "status"), ("limit=0", "limit"), ("limit=501", "limit")]
    {
        let refused = problem(service.get(&format!("/api/jobs?{query}"))).await;
        assert_eq!(refused, (422, "request_invalid".into(), field.into()), "{query}");
    }
}

#[tokio::test]
async fn more_jobs_than_may_wait_are_told_to_come_again() {
    let darkroom = TestDarkroom::start().await;
    let settings = [("DARKROOM_QUEUES", "delete"), ("DARKROOM_MAX_WAITING", "2")];
    let service = Service::start(&darkroom, &settings).await;
    enqueue(&service, &small()).await;

    let (_, many) = answer(service.post("/api/jobs/upload").json(&[small(), small()])).await;
    enqueue(&service, &small()).await;
    let response = service.post("/api/jobs/upload").json(&small()).send().await.expect("an answer");
    let again = response.headers().get("retry-after").cloned();
    let upload = problem(service.post("/api/uploads?user_id=u").body(picture("plain.jpg"))).await;

    assert_eq!(many["code"], "queue_full");
    assert_eq!((response.status().as_u16(), again.is_some()), (429, true));
    assert_eq!((upload.0, upload.1.as_str()), (429, "queue_full"));
    let (other, _) = answer(
        service.post("/api/jobs/delete").json(&json!({ "target": { "type": "user", "user_id": "u" } })),
    )
    .await;
    assert_eq!(other, 202, "each queue has its own limit");
}
