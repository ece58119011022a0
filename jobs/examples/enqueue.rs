//! Enqueues the photo of a user that was put under `staging/`, and waits for its receipt.

use std::time::Duration;

use darkroom_jobs::{EnqueueOptions, ImageId, Producer, Source, Upload};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let producer = Producer::connect("redis://127.0.0.1:6379", "darkroom").await?;

    let image_id = ImageId::random();
    let source =
        Source::Staged { key: "staging/2026-11-23/3e1f0c9a".parse()?, bytes: None, etag: None, sha256: None };
    let job = Upload { user_id: "42".parse()?, image_id, source };
    let once = EnqueueOptions { idempotency_key: Some("order-10442".into()), ..Default::default() };

    let id = producer.enqueue_with(job, once).await?;
    let receipt = producer.wait(&id, Duration::from_secs(60)).await?;

    match (receipt.object, receipt.error) {
        (Some(object), _) => println!("{} is {} x {} px", object.key, object.width, object.height),
        (None, Some(error)) => println!("{}: {}", error.code, error.hint),
        (None, None) => println!("{}", receipt.status.as_str()),
    }
    Ok(())
}
