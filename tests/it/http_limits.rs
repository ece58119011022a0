//! What callers with a token can hold up, and what they cannot: places, time and memory.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    darkroom::TestDarkroom,
    service::{Service, TOKEN, answer, client},
};

/// Sends the head of an upload.
async fn drip(service: &Service) -> TcpStream {
    let mut connection = TcpStream::connect(service.addr).await.expect("it listens");
    let head = format!(
        "POST /api/uploads?user_id=u HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: 1000\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("it reads");
    connection
}

#[tokio::test]
async fn uploads_that_drip_on_every_connection_leave_room_for_probes_and_are_given_up() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::with_token(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let began = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..512 {
        connections.push(drip(&service).await);
    }
    let dripping = tokio::spawn(async move {
        for _ in 0..60 {
            for connection in &mut connections {
                // Those that were answered are closed.
                let _ = connection.write_all(b"x").await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        connections
    });

    // As long as they drip, probes are answered, each on a connection of its own.
    while began.elapsed() < Duration::from_secs(8) {
        for path in ["/livez", "/metrics"] {
            let asked = client().get(service.url(path)).timeout(Duration::from_secs(5)).send().await;
            assert_eq!(asked.expect("it answers in time").status().as_u16(), 200, "{path}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let connections = dripping.await.expect("it ends");
    let page =
        client().get(service.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
    let answered = |status: &str| {
        let name = format!("darkroom_http_requests_total{{route=\"/api/uploads\",status=\"{status}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u32>().ok()).unwrap_or(0)
    };
    assert_eq!(answered("408") + answered("503"), connections.len() as u32, "{page}");
    assert!((100..=192).contains(&answered("408")), "{} bodies were being received", answered("408"));
}

#[tokio::test]
async fn a_job_of_many_small_values_costs_no_more_than_its_text() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let values = format!("{{\"unknown\":[{}]}}", vec!["0"; 1_000_000].join(","));
    let before = service.worker.peak_kib();

    let array = format!("[{}]", [values.as_str(); 7].join(","));
    let request = service.post("/api/jobs/upload").header("content-type", "application/json").body(array);
    let (status, results) = answer(request).await;

    let grown = service.worker.peak_kib() - before;
    println!("7 jobs of a million values each: {grown} KiB");
    assert_eq!((status, &results[6]["code"]), (202, &json!("job_malformed")), "{results}");
    assert!(grown < 40 << 10, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn the_largest_array_of_inline_originals_costs_a_few_times_its_text() {
    let darkroom = TestDarkroom::start().await;
    let service = Service::start(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    let base64 = "AAAA".repeat((256 << 10) / 3);
    let job = || {
        let image_id = darkroom_jobs::ImageId::random();
        json!({ "user_id": "u", "image_id": image_id, "source": { "type": "inline", "base64": base64 } })
    };
    let jobs: Vec<_> = (0..45).map(|_| job()).collect();
    let before = service.worker.peak_kib();

    let (status, results) = answer(service.post("/api/jobs/upload").json(&jobs)).await;

    let grown = service.worker.peak_kib() - before;
    println!("45 inline jobs, {} KiB of text: {grown} KiB", (45 * base64.len()) >> 10);
    assert_eq!((status, results[44]["job_id"].is_string()), (202, true), "{results}");
    assert!(grown < 100 << 10, "memory grew by {grown} KiB");
}
