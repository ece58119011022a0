//! What others see of a worker: its metrics, its spans, its contract.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use darkroom::dev::pictures::sized;
use darkroom_jobs::{Encoding, ImageId, JobId, Kind, Payload, Source, Status, Upload};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, answer, number},
};

/// The page once it has all these lines, within 20 s.
async fn page_with(service: &Service, lines: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = service.get("/metrics").send().await.expect("an answer").text().await.expect("text");
        let missing: Vec<_> = lines.iter().filter(|line| !page.lines().any(|seen| seen == **line)).collect();
        if missing.is_empty() {
            return page;
        }
        assert!(Instant::now() < deadline, "{missing:?} missing in\n{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn not_an_image() -> Upload {
    let source = Source::Inline { base64: "bm8=".into() };
    Upload { user_id: "u".parse().expect("an id"), image_id: ImageId::random(), source }
}

#[tokio::test]
async fn the_metrics_tell_what_became_of_jobs_and_where_they_are() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "upload")]).await;
    let (stored, _) = darkroom.upload(picture("plain.jpg")).await;
    let refused = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    for job in [&stored, &refused] {
        darkroom.final_receipt(job).await;
    }
    answer(service.get("/api/jobs/nobody")).await;
    answer(service.get("/nowhere/at/all")).await;

    let page = page_with(
        &service,
        &[
            "darkroom_jobs_total{kind=\"upload\",outcome=\"done\",code=\"none\"} 1",
            "darkroom_jobs_total{kind=\"upload\",outcome=\"failed\",code=\"not_an_image\"} 1",
            "darkroom_redis_up 1",
            "darkroom_queue_dead_jobs{kind=\"upload\"} 1",
            "darkroom_queue_waiting_jobs{kind=\"upload\"} 0",
            "darkroom_queue_latency_seconds{kind=\"upload\"} 0.0",
            "darkroom_pictures_total{format=\"image/jpeg\",encoding=\"reencoded\"} 1",
            "darkroom_work_pixels 0",
            "darkroom_image_memory_used_bytes 0",
            "darkroom_http_requests_total{route=\"/api/jobs/{id}\",status=\"404\"} 1",
            "darkroom_http_requests_total{route=\"none\",status=\"404\"} 1",
            "# EOF",
        ],
    )
    .await;
    assert!(number(&page, "darkroom_image_memory_bytes") > 0.0);
    for call in ["claim", "settle", "tick"] {
        let name = format!("darkroom_redis_round_trip_seconds_count{{call=\"{call}\",outcome=\"ok\"}}");
        assert!(number(&page, &name) >= 1.0, "{name}");
    }
    let put = "darkroom_s3_round_trip_seconds_count{operation=\"PutObject\",outcome=\"ok\"}";
    assert!(number(&page, put) >= 1.0);
    assert!(!page.contains("nobody"), "what was asked for is no label");
}

#[tokio::test]
async fn receipt_and_metrics_tell_which_way_a_photo_went_and_the_lane_can_be_turned_off() {
    let photo = sized("jpeg", 1_000, 800).expect("a known kind");
    for (setting, encoding, label) in
        [("on", Encoding::Lane, "lane"), ("off", Encoding::Reencoded, "reencoded")]
    {
        let darkroom = TestDarkroom::start().await;
        let service = Service::start(&darkroom, &[("DARKROOM_JPEG_LANE", setting)]).await;
        let (job, _) = darkroom.upload(photo.clone()).await;

        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(receipt.object.expect("it was stored").encoding, encoding, "{setting}");
        let line = format!("darkroom_pictures_total{{format=\"image/jpeg\",encoding=\"{label}\"}} 1");
        page_with(&service, &[&line]).await;
    }
}

#[tokio::test]
async fn the_latency_is_the_age_of_the_oldest_ready_job() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");

    let page = page_with(&service, &["darkroom_queue_waiting_jobs{kind=\"upload\"} 1"]).await;
    let younger = number(&page, "darkroom_queue_latency_seconds{kind=\"upload\"}");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let page = service.get("/metrics").send().await.expect("an answer").text().await.expect("text");
        if number(&page, "darkroom_queue_latency_seconds{kind=\"upload\"}") > younger + 1.0 {
            return;
        }
        assert!(Instant::now() < deadline, "it did not grow from {younger}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_job_whose_lease_ran_out_is_counted_as_recovered() {
    use redis::AsyncCommands as _;
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    service.when("/readyz", 200).await;
    let id = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let mut redis = darkroom.redis.clone();
    let claimed: Option<String> = redis.lpop("{darkroom}:upload:active", None).await.expect("redis answers");
    let _: () = redis.zadd("{darkroom}:upload:leases", id.as_str(), 1).await.expect("redis answers");

    assert_eq!(claimed.as_deref(), Some(id.as_str()));
    page_with(&service, &["darkroom_jobs_recovered_total{kind=\"upload\"} 1"]).await;
}

/// A collector that takes everything, and hands on what it took.
async fn collector() -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (told, taken) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                    seen.extend_from_slice(&buffer[..read]);
                    // The test looks for its trace in what has come so far: an export is one request, and may come in pieces.
                    let _ = told.send(seen.clone());
                    let _ = socket.write_all(b"").await;
                    if is_whole(&seen) {
                        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                        let _ = socket.write_all(answer.as_bytes()).await;
                        seen.clear();
                    }
                }
            });
        }
    });
    (endpoint, taken)
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

#[tokio::test]
async fn the_span_of_a_job_goes_on_with_the_producers_trace() {
    let darkroom = TestDarkroom::start().await;
    let (endpoint, mut taken) = collector().await;
    let mut worker = darkroom.worker(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("DARKROOM_LOG", "warn")]);
    let mut payload = Payload::from(not_an_image());
    payload.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    let job: JobId = darkroom.producer.enqueue::<Upload>(payload).await.expect("redis takes jobs");
    let receipt = darkroom.final_receipt(&job).await;

    // What is left is sent at the end.
    worker.signal("TERM");
    assert_eq!((receipt.status, worker.exit_code().await), (Status::Failed, Some(0)));
    let mut sent = Vec::new();
    while let Ok(Some(bytes)) = tokio::time::timeout(Duration::from_secs(2), taken.recv()).await {
        sent = if bytes.len() > sent.len() { bytes } else { sent };
    }

    let has = |wanted: &[u8]| sent.windows(wanted.len()).any(|window| window == wanted);
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    let parent = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    assert!(sent.starts_with(b"POST /v1/traces HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&sent));
    assert!(has(&trace) && has(&parent), "the trace is not in {} bytes", sent.len());
    assert!(has(b"job.id") && has(job.as_str().as_bytes()) && has(b"darkroom"));
}

#[tokio::test]
async fn the_contract_names_every_route_and_all_that_it_refers_to() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    let (status, contract) = answer(service.get("/openapi.json")).await;

    assert_eq!((status, contract["openapi"].as_str().map(|version| &version[..3])), (200, Some("3.1")));
    let routes: BTreeSet<_> = contract["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().expect("methods").keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "delete /api/jobs/{id}",
        "get /api/jobs",
        "get /api/jobs/{id}",
        "get /api/objects/{key}",
        "get /api/storage/health",
        "get /livez",
        "get /metrics",
        "get /openapi.json",
        "get /readyz",
        "head /api/objects/{key}",
        "post /api/jobs/delete",
        "post /api/jobs/ingest",
        "post /api/jobs/upload",
        "post /api/jobs/{id}/retry",
        "post /api/queues/{kind}/pause",
        "post /api/queues/{kind}/resume",
        "post /api/queues/{kind}/retry-dead",
        "post /api/uploads",
        "post /api/uploads/presign",
    ];
    assert_eq!(routes.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    for reference in references(&contract) {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(contract.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    assert_eq!(contract["paths"]["/livez"]["get"]["security"], json!([{}]));
    let upload = &contract["components"]["schemas"]["Upload"]["properties"];
    assert_eq!(upload["user_id"]["$ref"], "#/components/schemas/OwnerId", "{upload}");
    let kinds = contract["components"]["schemas"]["Kind"].to_string();
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind.as_str())), "{kinds}");
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
