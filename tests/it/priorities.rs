//! A person waits for an upload, nobody for a bulk import.

use std::{
    io::Cursor,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use darkroom_jobs::{ImageId, Ingest, Job as _, JobId, Source, Status};
use image::{ImageFormat, imageops::FilterType};
use redis::AsyncCommands as _;

use crate::support::darkroom::{TestDarkroom, picture};

/// Product images that wait.
const BACKLOG: usize = 10_000;
/// Those of them that are as large as a page shows them; the others are small, and are not reached.
const LARGE: usize = 1_000;
/// Uploads that are timed, one after the other.
const TIMED: usize = 20;
/// What neighbours on the machine of the tests may add to either figure.
const NOISE: Duration = Duration::from_millis(250);

/// A JPEG of so many pixels a side.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let small = image::load_from_memory(&picture("plain.jpg")).expect("it is a picture");
    let mut jpeg = Cursor::new(Vec::new());
    let large = small.resize_exact(width, height, FilterType::Triangle);
    large.write_to(&mut jpeg, ImageFormat::Jpeg).expect("it can be written");
    jpeg.into_inner()
}

/// The time from enqueue to done that 95 % of uploads stay below.
async fn p95(darkroom: &TestDarkroom, photo: &[u8]) -> Duration {
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let upload = darkroom.staged(photo.to_vec()).await;
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
    let inline = |jpeg: &[u8]| Source::Inline { base64: BASE64_STANDARD.encode(jpeg) };
    let (large, small) = (inline(&photo(900, 600)), inline(&picture("plain.jpg")));
    let photo = photo(2_000, 1_500);

    let idle = p95(&darkroom, &photo).await;
    let product = |number: usize| ingest(if number < LARGE { &large } else { &small });
    let jobs: Vec<JobId> =
        darkroom.producer.enqueue_many((0..BACKLOG).map(product)).await.expect("redis takes jobs");
    assert_eq!(darkroom.final_receipt(&jobs[0]).await.status, Status::Done, "{}", worker.log());
    let busy = p95(&darkroom, &photo).await;

    let keys = darkroom_jobs::redis_keys::Keys::new("darkroom").expect("it is a namespace");
    let left: usize = darkroom.redis.llen(keys.queue(Ingest::KIND).active()).await.expect("redis answers");
    println!("p95 of an upload: {idle:?} alone, {busy:?} beside {left} product images");
    assert!(left > BACKLOG - LARGE, "the import ended before the uploads were timed");
    assert!(busy <= 2 * idle + NOISE, "{busy:?} instead of {idle:?}");
}
