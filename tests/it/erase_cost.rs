//! What an erasure of many objects costs: `cargo test --test it -- --ignored --nocapture erase_cost`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use darkroom::{dev::s3::EmbeddedS3, digest::sha256};
use darkroom_jobs::{ImageId, ObjectKey, Receipt};
use serde_json::Value;

use crate::support::{
    bucket::{ANY_PORT, BUCKET, settings, storage},
    darkroom::TestDarkroom,
    deleting::{owner, user},
    service::Service,
};

/// Writes the files of a bucket, as the embedded server would have made them so long ago.
async fn fill(root: &Path, objects: usize, age: Duration) {
    let server = EmbeddedS3::start(root, ANY_PORT).await.expect("a port is free");
    server.create_bucket(BUCKET).await.expect("a folder can be made");
    let storage = storage(&settings(&server.endpoint_url, &[])).await;
    let sample = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
    storage.upload(&sample, "x".into(), &Default::default()).await.expect("it is stored");
    drop(server);
    let folder = root.join(BUCKET);
    let entry = fs::read_dir(&folder).expect("it is there").next().expect("it has one").expect("it is read");
    let file = fs::read(entry.path()).expect("it is read");
    let line = file.iter().position(|byte| *byte == b'\n').expect("it has a line");
    let mut facts: Value = serde_json::from_slice(&file[..line]).expect("it is JSON");
    let put = facts["modified"]["secs_since_epoch"].as_u64().expect("a time") - age.as_secs();
    facts["modified"]["secs_since_epoch"] = put.into();
    for _ in 1..objects {
        let key = ObjectKey::user_photo(&owner("u1"), &ImageId::random());
        facts["key"] = key.as_str().into();
        let content = [facts.to_string().as_bytes(), &file[line..]].concat();
        fs::write(folder.join(sha256(key.as_str().as_bytes())), content).expect("the disk takes it");
    }
}

/// The receipt, and what it took.
async fn measure(objects: usize, age: Duration) -> Receipt {
    let darkroom = TestDarkroom::start().await;
    let root = darkroom.folder().join("many");
    fill(&root, objects, age).await;
    let server = EmbeddedS3::start(&root, ANY_PORT).await.expect("a port is free");
    let more = [("S3_ENDPOINT_URL", &*server.endpoint_url), ("S3_BUCKET", BUCKET)];
    let sweeps = [("DARKROOM_ERASE_SWEEPS_MS", "100,200")];
    let service = Service::start(&darkroom, &[&more[..], &sweeps[..]].concat()).await;
    let before_kib = service.worker.peak_kib();

    let begun = Instant::now();
    let job = darkroom.delete(user("u1")).await;
    let receipt = darkroom.producer.wait(&job, Duration::from_secs(900)).await.expect("it ends");
    let took = begun.elapsed();

    let page = service.get("/metrics").send().await.expect("an answer").text().await.expect("text");
    let is_count = |line: &&str| line.starts_with("darkroom_s3_round_trip_seconds_count");
    let counts: Vec<_> = page.lines().filter(is_count).collect();
    println!(
        "{objects} objects put {age:?} ago: {took:?}, {} deliveries, peak {} KiB, before {before_kib} KiB\n{}",
        receipt.deliveries,
        service.worker.peak_kib(),
        counts.join("\n")
    );
    receipt
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of some minutes"]
async fn an_erasure_of_100_000_objects() {
    for (objects, age) in [(1_000, 86_400), (100_000, 86_400), (100_000, 0)] {
        let receipt = measure(objects, Duration::from_secs(age)).await;

        let deletion = receipt.deletion.expect("a deletion says what it removed");
        assert_eq!((deletion.verified, deletion.objects), (true, objects as u64));
    }
}
