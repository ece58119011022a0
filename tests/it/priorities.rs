//! A person waits for an upload, nobody for a bulk import.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use darkroom_jobs::{ImageId, Ingest, Job as _, JobId, Source, Status};
use redis::AsyncCommands as _;

use crate::support::darkroom::{TestDarkroom, picture};

/// Product images that wait.
const BACKLOG: usize = 10_000;
/// Uploads that are timed, one after the other.
const TIMED: usize = 20;
/// What neighbours on the machine of the tests may add to either figure.
const NOISE: Duration = Duration::from_millis(250);

/// The time from enqueue to done that 95 % of uploads stay below.
async fn p95(darkroom: &TestDarkroom) -> Duration {
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let upload = darkroom.staged(picture("plain.jpg")).await;
        let began = Instant::now();
        let job = darkroom.producer.enqueue(upload).await.expect("redis takes jobs");
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[TIMED * 95 / 100 - 1]
}

fn ingest(source: &Source) -> Ingest {
    Ingest { product_id: "p1".parse().expect("an id"), image_id: ImageId::random(), source: source.clone() }
}

#[tokio::test]
async fn an_upload_is_as_quick_as_ever_while_ten_thousand_product_images_are_in_work() {
    let mut darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker(&[("DARKROOM_QUEUES", "upload,ingest")]);
    let source = Source::Inline { base64: BASE64_STANDARD.encode(picture("plain.jpg")) };
    p95(&darkroom).await;

    let idle = p95(&darkroom).await;
    let jobs: Vec<JobId> = darkroom
        .producer
        .enqueue_many((0..BACKLOG).map(|_| ingest(&source)))
        .await
        .expect("redis takes jobs");
    assert_eq!(darkroom.final_receipt(&jobs[0]).await.status, Status::Done, "{}", worker.log());
    let busy = p95(&darkroom).await;

    let keys = darkroom_jobs::redis_keys::Keys::new("darkroom").expect("it is a namespace");
    let left: usize = darkroom.redis.llen(keys.queue(Ingest::KIND).active()).await.expect("redis answers");
    println!("p95 of an upload: {idle:?} alone, {busy:?} beside {left} product images");
    assert!(left > 0, "the import ended before the uploads were timed");
    assert!(busy <= 2 * idle + NOISE, "{busy:?} instead of {idle:?}");
}
