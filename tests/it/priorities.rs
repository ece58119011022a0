//! A person waits for an upload, nobody for a bulk import; and what needs no pixels waits for neither.

use std::{
    collections::BTreeSet,
    io::Cursor,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use darkroom_jobs::{BucketHealth, ImageId, Ingest, Job as _, JobId, Kind, Source, Status, Target};
use image::{ImageFormat, imageops::FilterType};
use redis::AsyncCommands as _;

use crate::{
    support::{
        darkroom::{TestDarkroom, picture},
        service::Service,
    },
    wall::faulty,
};

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

/// The uploads that are being delivered, and how often each was.
async fn running(darkroom: &TestDarkroom) -> BTreeSet<(String, u64)> {
    let running = darkroom.inspector().running(Kind::Upload, 1_000).await.expect("redis answers");
    running.into_iter().map(|run| (run.job_id, run.deliveries)).collect()
}

#[tokio::test]
async fn deletes_and_health_checks_are_done_while_pictures_hold_every_core_and_every_slot_of_uploads() {
    let darkroom = TestDarkroom::start().await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let slots = 2 * cores;
    let service = Service::start(&darkroom, &[("DARKROOM_DECODE_TIMEOUT_MS", "120000")]).await;
    let stored = darkroom.staged(picture("plain.jpg")).await;
    let target = Target::UserPhoto { user_id: stored.user_id.clone(), image_id: stored.image_id };
    let stored = darkroom.producer.enqueue(stored).await.expect("redis takes jobs");
    assert_eq!(darkroom.final_receipt(&stored).await.status, Status::Done);
    let (width, height) =
        image::load_from_memory(&picture("plain.png")).expect("it is one").to_rgb8().dimensions();
    for _ in 0..=slots {
        darkroom.upload(faulty("loop").to_vec()).await;
    }
    let pixels = f64::from(width * height) * cores as f64;
    service.measures("darkroom_work_pixels", pixels).await;
    service.measures("darkroom_queue_running_jobs{kind=\"upload\"}", slots as f64).await;

    let before = running(&darkroom).await;
    let delete = darkroom.delete(target).await;
    let health = darkroom.producer.enqueue(BucketHealth {}).await.expect("redis takes jobs");
    let (deleted, looked) = (darkroom.final_receipt(&delete).await, darkroom.final_receipt(&health).await);
    let after = running(&darkroom).await;

    assert_eq!((deleted.status, looked.status), (Status::Done, Status::Done));
    assert_eq!(deleted.deletion.expect("it says what it removed").objects, 1);
    assert_eq!((before.len(), before), (slots, after), "the uploads did not hold their slots");
}
