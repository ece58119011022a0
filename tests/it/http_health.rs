//! What the service tells of the bucket and of Redis to those who watch it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    command::Call as _,
    darkroom::TestDarkroom,
    faults::FaultyServer,
    odd_bucket,
    service::{Service, answer, problem},
};

#[tokio::test]
async fn the_state_of_the_bucket_is_kept_looked_at_and_told_when_it_is_down() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::with_token(&darkroom, &[]).await;

    let (up, live) = answer(service.get("/api/storage/health?live=1")).await;
    let (_, soon) = answer(service.get("/api/storage/health?live=1")).await;
    darkroom.services.s3.pause();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    let (down, broken) = answer(service.get("/api/storage/health?live=1")).await;

    assert_eq!(up, 200, "{live}");
    assert_eq!(live["checked_at"], soon["checked_at"], "at most every 5 s");
    assert_eq!((down, &broken["status"]), (503, &json!("down")), "{broken}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(!broken.to_string().contains("darkroom-secret"), "{broken}");
    assert_eq!(problem(service.get("/api/storage/health?live=perhaps")).await.0, 422);
}

#[tokio::test]
async fn a_look_made_now_knows_the_last_hour_and_what_settings_tell() {
    let darkroom = TestDarkroom::start().await;
    let often = [("DARKROOM_HEALTH_INTERVAL_MS", "1000"), ("DARKROOM_FETCH_ALLOW_CIDRS", "10.7.0.0/16")];
    let service = Service::with_token(&darkroom, &often).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let kept = loop {
        let (_, kept) = answer(service.get("/api/storage/health")).await;
        if kept["last_hour"]["probes"].as_u64() >= Some(2) {
            break kept;
        }
        assert!(Instant::now() < deadline, "{kept}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };

    let (status, live) = answer(service.get("/api/storage/health?live=1")).await;

    assert_eq!((status, &live["status"]), (200, &json!("degraded")), "{live}");
    assert!(live["age_ms"].as_u64() < Some(5_000), "{live}");
    let hour = &live["last_hour"];
    assert!(hour["probes"].as_u64() >= Some(2) && hour["failures"] == 0, "{live}");
    for step in ["head_ms", "put_ms", "get_ms", "delete_ms"] {
        assert!(hour[step]["p50"].is_u64() && hour[step]["p95"].is_u64(), "{step}: {live}");
    }
    for report in [&kept, &live] {
        assert_eq!(report["findings"][0]["code"], "fetch_opened", "{report}");
        assert!(!report.to_string().contains("10.7."), "it is told to everybody: {report}");
    }
}

#[tokio::test]
async fn every_finding_is_told_by_the_command_the_periodic_report_and_a_look_made_now() {
    let darkroom = TestDarkroom::start().await;
    let odd = odd_bucket::before(&darkroom.services.s3.endpoint_url).await;
    let settings = [("S3_ENDPOINT_URL", &*odd), ("DARKROOM_FETCH_ALLOW_CIDRS", "10.7.0.0/16")];
    let often = [&settings[..], &[("DARKROOM_HEALTH_INTERVAL_MS", "1000")]].concat();
    let service = Service::with_token(&darkroom, &often).await;

    let told = darkroom.command(&["storage", "health", "--json"]).envs(settings).ended().await;
    let (_, live) = answer(service.get("/api/storage/health?live=1")).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let periodic = loop {
        let (_, kept) = answer(service.get("/api/storage/health")).await;
        if kept["last_hour"]["probes"].as_u64() >= Some(1) {
            break kept;
        }
        assert!(Instant::now() < deadline, "{kept}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };

    assert_eq!(told.code, Some(0), "degraded is not down: {}", told.stderr);
    for report in [&told.objects::<Value>()[0], &live, &periodic] {
        let findings = report["findings"].as_array().expect("it is a list");
        let codes: Vec<_> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
        let all = [
            "staging_lifecycle_missing",
            "staging_public",
            "versioned",
            "conditional_writes_missing",
            "clock_skew",
            "slow",
            "fetch_opened",
        ];
        assert_eq!((&codes[..], &report["status"]), (&all[..], &json!("degraded")), "{report}");
        assert!(!report.to_string().contains("10.7."), "{report}");
    }
}

#[tokio::test]
async fn a_bucket_that_never_answers_is_told_down_within_3_s_whoever_asks_and_however_many() {
    let darkroom = TestDarkroom::start().await;
    let stuck = FaultyServer::answering(&[""]).await;
    let service = Service::with_token(&darkroom, &[("S3_ENDPOINT_URL", &stuck.endpoint_url)]).await;

    for path in ["/api/storage/health?live=1", "/api/storage/health"] {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let request = service.get(path);
            asking.spawn(async move {
                let began = Instant::now();
                let (status, _) = answer(request).await;
                (status, began.elapsed())
            });
        }
        for (status, took) in asking.join_all().await {
            println!("{path} of a bucket that never answers: {status} after {} ms", took.as_millis());
            assert!(status == 503 && took < Duration::from_secs(3), "{path}: {status} after {took:?}");
        }
    }
    // One look for all who ask at once; the periodic one and the breaker's are the others.
    assert!(stuck.requests() <= 4, "asked {} times", stuck.requests());

    let mut command = darkroom.command(&["storage", "health"]);
    let told = command.env("S3_ENDPOINT_URL", &stuck.endpoint_url).ended().await;
    assert!(told.code == Some(1) && told.stdout.starts_with("down: "), "{told:?}");
}

#[tokio::test]
async fn readiness_says_why_redis_is_of_no_use() {
    let mut darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[]).await;
    service.when("/readyz", 200).await;
    let detail = async || {
        service.when("/readyz", 503).await;
        // What was found out is kept for a second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        answer(service.get("/readyz")).await.1["detail"].as_str().unwrap_or_default().to_owned()
    };

    let mut redis = darkroom.redis.clone();
    let () =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", "new"]).query_async(&mut redis).await.expect("OK");
    let () = redis::cmd("CLIENT").arg(&["KILL", "SKIPME", "yes"]).query_async(&mut redis).await.expect("OK");
    let password = detail().await;
    let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).query_async(&mut redis).await.expect("OK");
    service.when("/readyz", 200).await;
    darkroom.services.redis.kill().await.expect("it runs");
    let refused = detail().await;
    darkroom.restart_redis().await;

    assert!(password.contains("password") && password.contains("DARKROOM_REDIS_URL"), "{password}");
    assert!(refused.contains("nothing takes connections"), "{refused}");
}
