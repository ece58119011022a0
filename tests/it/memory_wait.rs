//! Pictures that wait for memory: their time-out stands still meanwhile, and a wait that is too long puts the job off.

use std::{
    io::Cursor,
    time::{Duration, Instant},
};

use darkroom::{
    imaging::{Limits, Preset, header::Header},
    sandbox::faults::MARK,
};
use darkroom_jobs::{EnqueueOptions, ErrorCode, ImageId, Ingest, JobId, Kind, Status};
use image::{ImageFormat, RgbImage};
use redis::AsyncCommands as _;

use crate::{
    support::{darkroom::TestDarkroom, processes::eventually, service::Service},
    wall::{cpu_ticks, decoders_of},
};

/// What all pictures in work may have.
const MEMORY: u64 = 64 << 20;

/// A picture that needs more than half of it.
fn large() -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(2_500, 2_500).write_to(&mut png, ImageFormat::Png).expect("it can be written");
    let png = png.into_inner();
    let header = Header::read(&png, &Limits::default()).expect("it is a picture");
    for preset in [Preset::USER_PHOTO, Preset::PRODUCT] {
        let peak = header.peak_bytes(&preset);
        assert!((MEMORY / 2 + 1..MEMORY * 9 / 10).contains(&peak), "{peak}");
    }
    png
}

fn looping() -> Vec<u8> {
    [large(), format!("\n{MARK}loop").into_bytes()].concat()
}

/// A worker whose memory one picture has: that of an ingest which is tried once, and whose decoder loops.
struct Full {
    service: Service,
    holder: JobId,
}

impl Full {
    async fn start(darkroom: &TestDarkroom, more: &[(&str, &str)]) -> Self {
        let memory = [("DARKROOM_IMAGE_MEMORY", "64MiB"), ("DARKROOM_DECODE_TIMEOUT_MS", "120000")];
        let service = Service::start(darkroom, &[&memory, more].concat()).await;
        let source = darkroom.staged(looping()).await.source;
        let ingest = Ingest { product_id: "p1".parse().expect("an id"), image_id: ImageId::random(), source };
        let once = EnqueueOptions { max_attempts: Some(1), ..Default::default() };
        let holder = darkroom.producer.enqueue_with(ingest, once).await.expect("redis takes jobs");
        service.measures("darkroom_image_memory_used_bytes", (MEMORY / 2) as f64).await;
        Self { service, holder }
    }

    /// Ends the decoder that loops: then its memory is free.
    async fn make_room(&self, darkroom: &TestDarkroom) {
        let looping = || {
            let decoders = decoders_of(self.service.worker.id());
            decoders.into_iter().find(|decoder| cpu_ticks(*decoder) > 20)
        };
        eventually("a decoder loops", || looping().is_some()).await;
        let decoder = looping().expect("it loops for ever").to_string();
        let killed = std::process::Command::new("kill").args(["-KILL", &decoder]).status();
        assert!(killed.expect("kill is there").success());
        assert_eq!(darkroom.final_receipt(&self.holder).await.status, Status::Failed);
    }
}

/// Returns when one delivery of the upload has been running for so long.
async fn has_run_for(darkroom: &TestDarkroom, job: &JobId, time: Duration) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let running = darkroom.inspector().running(Kind::Upload, 10).await.expect("redis answers");
        let is_meant = |running_ms: u64| u128::from(running_ms) >= time.as_millis();
        if running.iter().any(|run| run.job_id == job.as_str() && is_meant(run.running_ms)) {
            return;
        }
        assert!(Instant::now() < deadline, "{job} does not run for {time:?}: {running:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_picture_that_waits_too_long_for_memory_is_put_off_uncounted_and_made_later() {
    let mut darkroom = TestDarkroom::start().await;
    let full = Full::start(&darkroom, &[("DARKROOM_MEMORY_WAIT_MS", "300")]).await;

    let (job, _) = darkroom.upload(large()).await;
    let put_off = darkroom.receipt_when_deferred(&job).await;
    full.make_room(&darkroom).await;
    let now: usize =
        darkroom.redis.zadd("{darkroom}:upload:scheduled", job.as_str(), 1).await.expect("redis answers");
    let made = darkroom.final_receipt(&job).await;

    assert_eq!((put_off.status, put_off.attempts, put_off.error), (Status::Queued, 0, None));
    assert_eq!((made.status, made.attempts, made.deliveries), (Status::Done, 1, 2));
    assert_eq!(now, 0, "it was scheduled already");
}

/// An upload that waits for memory for longer than it may run, and then has it.
async fn waits_for_longer_than_it_may_run(darkroom: &TestDarkroom, original: Vec<u8>) -> (Full, JobId) {
    let full = Full::start(darkroom, &[("DARKROOM_TIMEOUT_UPLOAD_MS", "3000")]).await;
    let (job, _) = darkroom.upload(original).await;
    has_run_for(darkroom, &job, Duration::from_secs(4)).await;
    full.make_room(darkroom).await;
    (full, job)
}

#[tokio::test]
async fn the_clock_of_a_job_stands_still_while_its_picture_waits_for_memory() {
    let darkroom = TestDarkroom::start().await;

    let (_full, job) = waits_for_longer_than_it_may_run(&darkroom, large()).await;
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 1));
}

#[tokio::test]
async fn the_clock_of_a_job_goes_on_when_its_picture_has_the_memory() {
    let darkroom = TestDarkroom::start().await;

    let (_full, job) = waits_for_longer_than_it_may_run(&darkroom, looping()).await;
    let receipt = darkroom.receipt_when(&job, Status::Retrying).await;

    assert_eq!((receipt.attempts, receipt.deliveries), (1, 1));
    assert_eq!(receipt.error.expect("it failed").code, ErrorCode::JobTimeout);
}
