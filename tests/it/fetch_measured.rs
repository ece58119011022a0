//! What fetching costs. Run by hand: `cargo test --test it -- --ignored --nocapture fetch_measured`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use darkroom_jobs::{ImageId, Ingest, Source};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    dns::TestDns,
    fetching::{Fetching, HERE, environment, ports},
    web::{Step, Visit, Web, answer},
};

/// CPU of this process so far, in ms.
fn cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("linux has it");
    let of_thread = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default()
    };
    threads.filter_map(Result::ok).map(of_thread).sum::<f64>() / 1e6
}

/// Fetches so often, one after the other; wall and CPU time of each, in ms.
async fn each<F: Future<Output = usize>>(
    times: u32,
    bytes: usize,
    mut fetch: impl FnMut() -> F,
) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), cpu_ms());
    for _ in 0..times {
        assert_eq!(fetch().await, bytes);
    }
    let each = |ms: f64| ms / f64::from(times);
    (each(began.elapsed().as_secs_f64() * 1e3), each(cpu_ms() - cpu))
}

#[tokio::test]
#[ignore = "it measures"]
async fn the_overhead_of_a_fetch_against_plain_reqwest() {
    for size in [20 << 10, 400 << 10, 4 << 20] {
        let content: Vec<u8> =
            (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
        let web =
            Web::start(move |_: &Visit| answer("200 OK", &[("content-type", "image/jpeg")], &content)).await;
        let fetching = Fetching::from(&[&web], &["--fetch-starts-per-second=1000"]).await;
        let url = web.url("shop.com", "/a.jpg");
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy();
        let client = client.resolve("shop.com", ([127, 0, 0, 1], web.port).into()).build().expect("a client");

        let ours =
            each(200, size, || async { fetching.fetch(&url).await.expect("it is there").bytes.len() }).await;
        let plain = each(200, size, || async {
            client.get(&url).send().await.expect("it is there").bytes().await.expect("it is whole").len()
        })
        .await;

        println!(
            "{size} bytes: darkroom {:.2} ms, {:.2} ms CPU; reqwest {:.2} ms, {:.2} ms CPU (server included)",
            ours.0, ours.1, plain.0, plain.1
        );
    }
}

#[tokio::test]
#[ignore = "it measures"]
async fn a_thousand_urls_of_fifty_hosts_with_a_tenth_of_faults() {
    let web = Web::start(|visit: &Visit| {
        let number: usize =
            visit.path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default();
        match (number % 50, visit.nth) {
            (7, _) => answer("404 Not Found", &[], b""),
            (17, 1) => answer("503 Service Unavailable", &[], b""),
            (27, 1) => vec![],
            (37, _) => answer("200 OK", &[], b"<html>"),
            (47, 1) => vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\nxx".to_vec())],
            _ => answer("200 OK", &[], &picture("plain.jpg")),
        }
    })
    .await;
    let (darkroom, dns) = (TestDarkroom::start().await, TestDns::start().await);
    let (ports, servers) = (ports(&web), dns.address.to_string());
    let mut settings = environment(&ports, &servers);
    settings.retain(|(name, _)| *name != "DARKROOM_FETCH_STARTS_PER_SECOND");
    let worker = darkroom.worker(&settings);
    let mut jobs = Vec::new();
    for number in 0..1_000 {
        let host = format!("shop{}.com", number / 20);
        dns.name(&host, &[HERE]);
        let source = Source::Url { url: web.url(&host, &format!("/{number}.jpg")) };
        jobs.push(Ingest { product_id: "p1".parse().expect("an id"), image_id: ImageId::random(), source });
    }

    let began = Instant::now();
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(darkroom.producer.enqueue(job).await.expect("redis takes jobs"));
    }
    let (mut outcomes, mut deliveries) = (BTreeMap::<String, u32>::new(), 0);
    for id in &ids {
        let receipt = darkroom.producer.wait(id, Duration::from_secs(300)).await.expect("it ends");
        let word = receipt.error.map_or_else(|| "done".to_owned(), |error| error.code.to_string());
        *outcomes.entry(word).or_default() += 1;
        deliveries += receipt.deliveries;
    }

    println!(
        "{:?}, {} MiB at most, {} connections at most for a host, {} requests, {deliveries} deliveries, {outcomes:?}",
        began.elapsed(),
        worker.peak_kib() >> 10,
        web.most_open_of_a_host(),
        web.visits().len(),
    );
}
