//! Originals from URLs as jobs: what becomes of them, and how polite all workers are together.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use darkroom_jobs::{
    Class, ErrorCode, ImageId, Ingest, JobId, ObjectKey, Receipt, Source, Status, WarningCode,
};

use crate::support::{
    darkroom::{TestDarkroom, Worker, picture},
    dns::TestDns,
    fetching::{HERE, environment, ports},
    web::{Step, Visit, Web, answer, head},
};

/// Servers, and a web that a worker's jobs lead to.
struct Shop {
    darkroom: TestDarkroom,
    web: Web,
    dns: TestDns,
}

impl Shop {
    async fn open(play: impl Fn(&Visit) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let (darkroom, dns) = (TestDarkroom::start().await, TestDns::start().await);
        for name in ["shop.com", "cdn.com", "date.com", "busy.com", "far.com"] {
            dns.name(name, &[HERE]);
        }
        Self { darkroom, web: Web::start(play).await, dns }
    }

    fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let (ports, dns) = (ports(&self.web), self.dns.address.to_string());
        self.darkroom.worker(&[&environment(&ports, &dns)[..], more].concat())
    }

    async fn ingest(&self, host: &str, path: &str) -> (JobId, ObjectKey) {
        let job = Ingest {
            product_id: "p1".parse().expect("an id"),
            image_id: ImageId::random(),
            source: Source::Url { url: self.web.url(host, path) },
        };
        let key = ObjectKey::product_image(&job.product_id, &job.image_id);
        (self.darkroom.producer.enqueue(job).await.expect("redis takes jobs"), key)
    }

    async fn receipt(&self, host: &str, path: &str) -> Receipt {
        let (job, _) = self.ingest(host, path).await;
        self.darkroom.final_receipt(&job).await
    }

    /// Within a minute, the receipts of all.
    async fn receipts(&self, jobs: &[JobId]) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for job in jobs {
            let receipt = self.darkroom.producer.wait(job, Duration::from_secs(60)).await;
            receipts.push(receipt.expect("it is final in time"));
        }
        receipts
    }
}

fn photo() -> Vec<Step> {
    answer("200 OK", &[("content-type", "image/jpeg")], &picture("plain.jpg"))
}

fn code(receipt: &Receipt) -> ErrorCode {
    receipt.error.as_ref().expect("it failed").code
}

#[tokio::test]
async fn a_merchants_url_becomes_a_picture_whatever_it_is_labelled_and_no_proxy_is_asked() {
    let shop = Shop::open(|visit| match &*visit.path {
        "/odd.jpg" => answer("200 OK", &[("content-type", "text/html")], &picture("plain.jpg")),
        _ => photo(),
    })
    .await;
    let proxy = "http://127.0.0.1:9";
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy));
    let _worker = shop.worker(&proxies);

    let (job, key) = shop.ingest("shop.com", "/a.jpg").await;
    let receipt = shop.darkroom.final_receipt(&job).await;
    let odd = shop.receipt("shop.com", "/odd.jpg").await;

    assert_eq!((receipt.status, receipt.warnings.len()), (Status::Done, 0), "{receipt:?}");
    assert_eq!(receipt.object.expect("it is stored").key, key);
    let source = receipt.source.expect("it is known");
    let photo = picture("plain.jpg");
    assert_eq!((&*source.source_type, source.size), ("url", Some(photo.len() as u64)));
    assert_eq!(source.sha256, Some(darkroom::digest::sha256(&photo)));
    assert!(receipt.timings_ms.fetch.is_some());
    assert_eq!((odd.status, odd.warnings[0].code), (Status::Done, WarningCode::TypeMismatch));
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_and_its_receipts_tell_a_shop_what_to_do() {
    let shop = Shop::open(|visit| match (&*visit.path, visit.nth) {
        ("/404-once", 1) | ("/404-twice", 1..=2) => answer("404 Not Found", &[], b"not here"),
        ("/503-twice", 1..=2) => answer("503 Service Unavailable", &[], b""),
        ("/403", _) => answer("403 Forbidden", &[], b"secret text of a body"),
        ("/410", _) => answer("410 Gone", &[], b""),
        ("/page", _) => answer("200 OK", &[], b"<html>log in</html>"),
        _ => photo(),
    })
    .await;
    let _worker = shop.worker(&[("DARKROOM_RETRY_BASE_MS", "50")]);

    for (path, attempts) in [("/404-once", 2), ("/503-twice", 3)] {
        let receipt = shop.receipt("shop.com", path).await;
        assert_eq!((receipt.status, receipt.attempts), (Status::Done, attempts), "{path}");
    }
    for (path, expected, class, attempts, status) in [
        // The third time it would be there.
        ("/404-twice", ErrorCode::Http404, Class::Conditional, 2, Some(404)),
        ("/403", ErrorCode::Http403, Class::Conditional, 3, Some(403)),
        ("/410", ErrorCode::Http410, Class::Permanent, 1, Some(410)),
        ("/page", ErrorCode::NotAnImage, Class::Conditional, 2, None),
    ] {
        let receipt = shop.receipt("shop.com", path).await;
        let error = receipt.error.expect("it failed");
        assert_eq!(
            (receipt.status, error.code, receipt.attempts),
            (Status::Failed, expected, attempts),
            "{path}"
        );
        assert_eq!(
            (error.class, error.blame, &*error.hint),
            (class, expected.blame(), expected.hint()),
            "{path}"
        );
        assert_eq!(error.detail, status.map(|status| serde_json::json!({ "http_status": status })), "{path}");
        let told = format!(
            "{} {}",
            error.message,
            receipt.source.map(|source| format!("{source:?}")).unwrap_or_default()
        );
        assert!(!told.contains("127.0.0.1") && !told.contains("secret"), "{path}: {told}");
    }
}

#[tokio::test]
async fn a_server_that_says_when_to_come_again_is_obeyed_and_no_attempt_is_burnt() {
    let shop = Shop::open(|visit| {
        let in_two_seconds = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(2));
        match (&*visit.path, visit.nth) {
            ("/seconds", 1) => answer("429 Too Many Requests", &[("retry-after", "2")], b""),
            ("/date", 1) => answer("429 Too Many Requests", &[("retry-after", &in_two_seconds)], b""),
            ("/busy", 1) => answer("503 Service Unavailable", &[("retry-after", "2")], b""),
            ("/far", _) => answer("429 Too Many Requests", &[("retry-after", "999999999")], b""),
            _ => photo(),
        }
    })
    .await;
    let _worker = shop.worker(&[]);

    let (seconds, date) =
        (shop.ingest("shop.com", "/seconds").await.0, shop.ingest("date.com", "/date").await.0);
    let (busy, _) = shop.ingest("busy.com", "/busy").await;
    let (far, _) = shop.ingest("far.com", "/far").await;
    let waiting = shop.darkroom.receipt_when(&far, Status::Retrying).await;
    let (other, _) = shop.ingest("far.com", "/a.jpg").await;
    let put_off = shop.darkroom.receipt_when_deferred(&other).await;

    for receipt in shop.receipts(&[seconds, date, busy]).await {
        assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 2));
    }
    let visits = shop.web.visits();
    let gap = |path: &str| {
        let times: Vec<_> = visits.iter().filter(|visit| visit.path == path).map(|visit| visit.at).collect();
        times[1] - times[0]
    };
    assert!(gap("/seconds") >= Duration::from_secs(2), "{:?}", gap("/seconds"));
    assert!(gap("/date") >= Duration::from_millis(900), "{:?}", gap("/date"));
    assert!(gap("/busy") >= Duration::from_secs(2), "{:?}", gap("/busy"));
    assert_eq!((code(&waiting), waiting.attempts), (ErrorCode::Http429, 0));
    let hours = |receipt: &Receipt| {
        let due = receipt.next_attempt_at.expect("it is due").unix_ms();
        (due - receipt.enqueued_at.expect("it was enqueued").unix_ms()) as f64 / 3_600_000.0
    };
    assert!((5.9..6.1).contains(&hours(&waiting)), "{}", hours(&waiting));
    assert_eq!((put_off.status, put_off.attempts, put_off.error), (Status::Queued, 0, None));
}

#[tokio::test]
async fn a_host_that_fails_is_left_alone_no_attempt_is_burnt_and_others_go_on() {
    let broken = Arc::new(AtomicBool::new(true));
    let ours = Arc::clone(&broken);
    let shop = Shop::open(move |visit| {
        let is_cdn = visit.header("host").is_some_and(|host| host.starts_with("cdn.com"));
        if is_cdn && ours.load(SeqCst) { vec![] } else { photo() }
    })
    .await;
    let breaker = [("DARKROOM_FETCH_BREAKER_FAILURES", "3"), ("DARKROOM_FETCH_BREAKER_MS", "1500")];
    let worker = shop.worker(&[&breaker[..], &[("DARKROOM_RETRY_BASE_MS", "20")]].concat());

    let (first, _) = shop.ingest("cdn.com", "/first.jpg").await;
    worker.logged(&["host failed, its jobs wait"]).await;
    let asked = shop.web.connections();
    let mut jobs = vec![first];
    for number in 0..10 {
        jobs.push(shop.ingest("cdn.com", &format!("/{number}.jpg")).await.0);
    }
    let put_off = shop.darkroom.receipt_when_deferred(&jobs[5]).await;
    let meanwhile = shop.web.connections();
    let other = shop.receipt("shop.com", "/a.jpg").await;
    broken.store(false, SeqCst);

    assert_eq!((put_off.status, put_off.attempts, put_off.error), (Status::Queued, 0, None));
    assert!(meanwhile <= asked + 1, "{asked} connections, then {meanwhile}");
    assert_eq!(other.status, Status::Done);
    let receipts = shop.receipts(&jobs).await;
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Done));
    assert!(
        receipts[1..].iter().all(|receipt| receipt.attempts <= 2),
        "{:?}",
        receipts.iter().map(|r| r.attempts).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_hundred_jobs_for_one_url_are_never_two_requests_at_once() {
    let shop = Shop::open(|_| {
        let photo = picture("plain.jpg");
        let length = photo.len().to_string();
        vec![
            Step::Send(head("200 OK", &[("content-length", &length)])),
            Step::Drip(photo[..20].to_vec(), Duration::from_millis(10)),
            Step::Send(photo[20..].to_vec()),
        ]
    })
    .await;
    let _worker = shop.worker(&[("DARKROOM_FETCH_STARTS_PER_SECOND", "20")]);

    let mut jobs = Vec::new();
    for _ in 0..100 {
        jobs.push(shop.ingest("shop.com", "/same.jpg").await.0);
    }
    let receipts = shop.receipts(&jobs).await;

    assert!(receipts.iter().all(|receipt| (receipt.status, receipt.attempts) == (Status::Done, 1)));
    // Each takes 200 ms at least, so two that begin closer together are there at once.
    let starts: Vec<_> = shop.web.visits().iter().map(|visit| visit.at).collect();
    let closest = starts.windows(2).map(|pair| pair[1] - pair[0]).min().expect("there are some");
    assert!(closest >= Duration::from_millis(200), "two requests within {closest:?}");
    assert!(starts.len() < 60, "{} requests were made", starts.len());
}

#[tokio::test]
async fn a_hundred_jobs_for_one_host_begin_at_the_pace_of_all_workers_on_few_connections() {
    let shop = Shop::open(|_| photo()).await;
    let pace = [("DARKROOM_FETCH_STARTS_PER_SECOND", "20")];
    let _workers = (shop.worker(&pace), shop.worker(&pace));

    let mut jobs = Vec::new();
    for number in 0..100 {
        jobs.push(shop.ingest("shop.com", &format!("/{number}.jpg")).await.0);
    }
    let receipts = shop.receipts(&jobs).await;

    assert!(receipts.iter().all(|receipt| (receipt.status, receipt.attempts) == (Status::Done, 1)));
    let most = receipts.iter().map(|receipt| receipt.deliveries).max();
    assert!(most <= Some(4), "a job was delivered {most:?} times");
    assert!(shop.web.most_open() <= 4, "{} connections at once", shop.web.most_open());
    let starts: Vec<_> = shop.web.visits().iter().map(|visit| visit.at).collect();
    let took = starts[99] - starts[0];
    assert!(took > Duration::from_millis(3_900), "{took:?} for 100 at 20 a second");
    let crowded = starts.windows(61).map(|window| window[60] - window[0]).min().expect("there are 100");
    assert!(crowded > Duration::from_millis(1_700), "61 requests within {crowded:?}");
}

#[tokio::test]
async fn a_worker_that_dies_while_it_fetches_loses_nothing() {
    let shop = Shop::open(|visit| if visit.nth == 1 { vec![Step::Hang] } else { photo() }).await;
    let mut doomed = shop.worker(&[]);
    let (job, key) = shop.ingest("shop.com", "/a.jpg").await;
    shop.darkroom.receipt_when(&job, Status::Running).await;
    while shop.web.visits().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    doomed.kill().await;
    let _worker = shop.worker(&[]);
    let receipt = shop.darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 2));
    assert!(shop.darkroom.storage.exists(&key).await.expect("the bucket answers"));
}
