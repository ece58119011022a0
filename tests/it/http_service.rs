//! The service itself: who may ask, what is down, how it begins and ends, and what it must never do to its worker.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use darkroom::config::steps::Step;
use darkroom_jobs::{ImageId, Status};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, TOKEN, answer, client, problem, told},
    slow,
};

#[tokio::test]
async fn everything_but_probes_asks_for_a_token() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::with_token(&darkroom, &[]).await;
    let stranger = client();

    for path in ["/livez", "/readyz", "/metrics", "/api/storage/health"] {
        let status = stranger.get(service.url(path)).send().await.expect("an answer").status().as_u16();
        assert!(status != 401, "{path} asks for a token");
    }
    for (method, path) in [
        (Method::GET, "/api/storage/health?live=1"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/nowhere"),
        (Method::GET, "/api/jobs"),
        (Method::POST, "/api/uploads?user_id=u"),
        (Method::POST, "/api/jobs/upload"),
        (Method::GET, "/api/objects/user_photos/u/x.jpg"),
        (Method::DELETE, "/api/jobs/x"),
        (Method::POST, "/api/queues/upload/pause"),
    ] {
        let request = || stranger.request(method.clone(), service.url(path));
        assert_eq!(problem(request()).await, (401, "unauthorized".into(), String::new()), "{path}");
        assert_eq!(problem(request().bearer_auth("wrong")).await.0, 401, "{path}");
    }
    let challenge = stranger.get(service.url("/api/jobs")).send().await.expect("an answer");
    assert_eq!(challenge.headers()["www-authenticate"], "Bearer");
    assert_eq!(answer(service.get("/api/jobs")).await.0, 200);
    assert!(!service.worker.log().contains(TOKEN), "the token is in the log");
}

#[tokio::test]
async fn without_tokens_another_name_or_another_page_is_refused() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    let rebound = problem(service.get("/api/jobs").header("host", "rebound.example")).await;
    let page = problem(service.get("/api/jobs").header("origin", "https://page.example")).await;

    assert_eq!(rebound, (403, "unauthorized".into(), String::new()));
    assert_eq!(page, (403, "unauthorized".into(), String::new()));
}

#[tokio::test]
async fn routes_and_methods_that_do_not_exist_are_problems_too() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;

    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/api/uploads", 405),
        (Method::PUT, "/api/jobs/upload", 405),
        (Method::POST, "/livez", 405),
        (Method::PATCH, "/api/objects/user_photos/u/x.jpg", 405),
        (Method::GET, "/api/jobs/%FF", 400),
    ] {
        assert_eq!(problem(service.request(method.clone(), path)).await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_picture_is_found_by_its_key_and_nothing_else_is() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let (job, key) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.final_receipt(&job).await;
    let path = format!("/api/objects/{key}");

    let found = service.get(&path).send().await.expect("an answer");
    let url = found.headers()["location"].to_str().expect("text").to_owned();
    let photo = client().get(url).send().await.expect("the bucket answers");
    let there = service.request(Method::HEAD, &path).send().await.expect("an answer").status();
    let gone = format!("/api/objects/user_photos/u1/{}.jpg", ImageId::random());
    let absent = service.request(Method::HEAD, &gone).send().await.expect("an answer").status();

    assert_eq!((found.status().as_u16(), photo.status().as_u16()), (302, 200));
    assert_eq!(photo.headers()["content-type"], "image/jpeg");
    assert_eq!((there.as_u16(), absent.as_u16()), (200, 404));
    for (key, status) in [
        ("staging/upload/u1/x", 404),
        ("_darkroom/health/x", 422),
        ("user_photos/u1/x.jpg", 422),
        ("user_photos/..%2F..%2Fetc/x.jpg", 422),
        ("a", 422),
    ] {
        assert_eq!(problem(service.get(&format!("/api/objects/{key}"))).await.0, status, "{key}");
    }
}

#[tokio::test]
async fn a_redis_that_is_slow_at_every_step_is_given_two_seconds_in_all() {
    let darkroom = TestDarkroom::start().await;
    let slow = slow::by(Duration::from_millis(1_200), &darkroom.services.redis.url()).await;
    let service = Service::start(&darkroom, &[("DARKROOM_REDIS_URL", &*slow)]).await;
    // Its connection stands once it has answered.
    service.when("/api/jobs/x", 404).await;
    let job = json!({ "target": { "type": "user", "user_id": "u" } });

    for body in [job.clone(), json!([job])] {
        let response = service.post("/api/jobs/delete").json(&body).send().await.expect("an answer");

        assert_eq!(told(response).await.1, "queue_unavailable", "{body}");
    }
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_within_two_seconds_and_kills_nothing() {
    let darkroom = TestDarkroom::start().await;
    let mut service = Service::start(&darkroom, &[]).await;
    service.when("/readyz", 200).await;
    let job = json!({ "target": { "type": "user", "user_id": "u" } });

    let paused = Instant::now();
    let _: () = redis::cmd("CLIENT")
        .arg("PAUSE")
        .arg(12_000)
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");
    for request in [
        service.post("/api/jobs/delete").json(&job),
        service.post("/api/uploads?user_id=u").body(picture("plain.jpg")),
        service.get("/api/jobs/x?wait=30s"),
        service.get("/readyz"),
    ] {
        let began = Instant::now();
        let response = request.send().await.expect("an answer");
        let again = response.headers().contains_key("retry-after");
        assert_eq!((told(response).await.1.as_str(), again), ("queue_unavailable", true));
        assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    }
    assert!(paused.elapsed() < Duration::from_secs(12), "Redis came back while it was tested");
    assert_eq!(answer(service.get("/livez")).await.0, 200);
    let metrics = service.get("/metrics").send().await.expect("an answer").text().await.expect("text");
    assert!(
        metrics.contains("darkroom_redis_up 0") && !metrics.contains("darkroom_queue_dead_jobs{"),
        "{metrics}"
    );

    service.when("/readyz", 200).await;
    assert_eq!(answer(service.post("/api/jobs/delete").json(&job)).await.0, 202);
    assert!(service.worker.is_running());
}

#[tokio::test]
async fn a_service_that_starts_before_redis_lives_says_so_and_works_once_redis_is_there() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.services.redis.kill().await.expect("it runs");
    let service = Service::start(&darkroom, &[]).await;
    let job = json!({ "target": { "type": "user", "user_id": "u" } });
    let post = || service.post("/api/jobs/delete").json(&job);

    let (began, refused) = (Instant::now(), problem(post()).await);
    let took = began.elapsed();
    service.when("/readyz", 503).await;
    let (began, health) = (Instant::now(), answer(service.get("/api/storage/health")).await);
    let looked = began.elapsed();
    darkroom.restart_redis().await;
    service.when("/readyz", 200).await;

    assert_eq!((refused.0, refused.1.as_str()), (503, "queue_unavailable"));
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert!(health.0 == 200 && looked < Duration::from_secs(3), "{looked:?} {health:?}");
    assert_eq!(answer(post()).await.0, 202);
}

#[tokio::test]
async fn a_bucket_that_is_away_is_told_to_whoever_uploads() {
    let darkroom = TestDarkroom::start().await;
    let service =
        Service::start(&darkroom, &[("S3_OPERATION_TIMEOUT_MS", "3000"), ("S3_ATTEMPT_TIMEOUT_MS", "1000")])
            .await;
    darkroom.services.s3.pause();

    let upload = problem(service.post("/api/uploads?user_id=u").body(picture("plain.jpg"))).await;
    let path = format!("/api/objects/user_photos/u/{}.jpg", ImageId::random());
    let head = service.request(Method::HEAD, &path).send().await.expect("an answer").status().as_u16();

    assert_eq!((upload.0, upload.1.as_str()), (503, "storage_unavailable"));
    assert_eq!(head, 503);
}

#[tokio::test]
async fn a_thousand_idle_connections_stop_neither_the_worker_nor_the_service() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        let connected = tokio::time::timeout(Duration::from_secs(4), TcpStream::connect(service.addr)).await;
        // Once the backlog is full, whoever comes waits.
        let Ok(connected) = connected else { break };
        idle.push(connected.expect("files are left"));
    }

    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let receipt = darkroom.final_receipt(&job).await;
    service.when("/livez", 200).await;

    assert!(idle.len() > 500, "{} connections", idle.len());
    assert_eq!(receipt.status, Status::Done);
}

#[tokio::test]
async fn long_polls_on_every_connection_leave_room_for_others() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let poll = format!("GET /api/jobs/{job}?wait=60s HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut polls = Vec::new();
    for _ in 0..512 {
        let mut connection = TcpStream::connect(service.addr).await.expect("it listens");
        connection.write_all(poll.as_bytes()).await.expect("it reads");
        polls.push(connection);
    }

    let live = tokio::time::timeout(Duration::from_secs(3), client().get(service.url("/livez")).send()).await;

    let live = live.expect("it answers in time").expect("it answers");
    assert_eq!(live.status().as_u16(), 200);
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    let mut idle = TcpStream::connect(service.addr).await.expect("it listens");

    let read = tokio::time::timeout(Duration::from_secs(20), idle.read(&mut [0; 200])).await;

    assert!(read.is_ok(), "it was still open after 20 s");
}

#[tokio::test]
async fn a_stop_ends_readiness_first_answers_who_waits_and_ends_the_port() {
    let darkroom = TestDarkroom::start().await;
    let mut service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    service.when("/readyz", 200).await;
    let (_, taken) = answer(service.post("/api/jobs/upload").json(&json!({
        "user_id": "u", "image_id": ImageId::random(), "source": { "type": "inline", "base64": "bm8=" },
    })))
    .await;
    let url = format!("{}?wait=60s", taken["status_url"].as_str().expect("a url"));
    let poll = tokio::spawn(service.get(&url).send());
    service.when("/metrics", 200).await;

    service.worker.signal("TERM");
    let code = service.worker.exit_code().await;

    let polled: Value = poll.await.expect("it ends").expect("an answer").json().await.expect("JSON");
    assert_eq!((code, &polled["status"]), (Some(0), &json!("queued")));
    assert!(TcpStream::connect(service.addr).await.is_err(), "the port is still served");
}

#[tokio::test]
async fn readiness_ends_with_the_signal_while_a_job_still_runs() {
    let darkroom = TestDarkroom::start().await;
    let settings = [("DARKROOM_TEST_STOP_AT", "fetched"), ("DARKROOM_SHUTDOWN_MS", "5000")];
    let mut service = Service::start(&darkroom, &settings).await;
    darkroom.upload(picture("plain.jpg")).await;
    service.worker.reached(Step::Fetched).await;
    service.when("/readyz", 200).await;

    service.worker.signal("TERM");
    service.when("/readyz", 503).await;

    assert!(service.worker.is_running(), "it ended before its job did");
    assert_eq!(answer(service.get("/livez")).await.0, 200);
    assert_eq!(service.worker.exit_code().await, Some(0));
}

fn worker(darkroom: &TestDarkroom, more: &[(&str, &str)]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_darkroom"))
        .arg("worker")
        .envs(darkroom.services.environment())
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_and_an_open_one_without_tokens_end_the_start_by_name() {
    let darkroom = TestDarkroom::start().await;
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken_addr = holder.local_addr().expect("it is bound").to_string();

    let taken = worker(&darkroom, &[("DARKROOM_HTTP_ADDR", &taken_addr)]);
    let open = worker(&darkroom, &[("DARKROOM_HTTP_ADDR", "0.0.0.0:0")]);

    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((taken.status.code(), open.status.code()), (Some(78), Some(78)));
    assert!(
        text(&taken).contains(&format!("DARKROOM_HTTP_ADDR: {taken_addr} cannot be served")),
        "{}",
        text(&taken)
    );
    assert!(
        text(&open).contains("DARKROOM_API_TOKENS: is not set, but DARKROOM_HTTP_ADDR"),
        "{}",
        text(&open)
    );
    let guessable = worker(&darkroom, &[("DARKROOM_API_TOKENS", "hunter2")]);
    assert_eq!(guessable.status.code(), Some(78));
    assert!(text(&guessable).contains("DARKROOM_API_TOKENS: a token has fewer than 16 characters"));
    assert!(!text(&guessable).contains("hunter2"), "{}", text(&guessable));
}
