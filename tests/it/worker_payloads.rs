//! What lies in a queue and is no job, or none that this worker knows: it ends with a reason that helps.

use std::time::{Duration, Instant};

use darkroom_jobs::{
    Class, ErrorCode, JobId, Kind, MAX_PAYLOAD_BYTES, Receipt, ReceiptError, Status, Timestamp,
};
use redis::AsyncCommands as _;
use serde_json::json;

use crate::support::darkroom::{TestDarkroom, picture};

const QUEUE: &str = "{darkroom}:upload";
/// Bytes that a receipt shows of a payload that is no job.
const EXCERPT: usize = 4 << 10;

fn error(receipt: &Receipt) -> &ReceiptError {
    receipt.error.as_ref().expect("a failed job says why")
}

#[tokio::test]
async fn a_payload_of_a_newer_version_waits_a_minute_for_a_newer_worker_and_is_dead_after_the_third_time() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let job: JobId = "of-tomorrow".parse().expect("an id");

    darkroom.push_by_hand(Kind::Upload, job.as_str(), br#"{"v":2,"film":"not invented"}"#).await;
    let mut tried = Vec::new();
    for _ in 0..2 {
        let pauses_ms = darkroom.pauses_ms_until_due_again(&job).await;
        tried.push((darkroom.receipt_when(&job, Status::Retrying).await, pauses_ms));
        darkroom.make_due(&job).await;
    }
    let dead = darkroom.final_receipt(&job).await;

    for ((receipt, pauses_ms), attempts) in tried.into_iter().zip([1, 2]) {
        assert_eq!((receipt.attempts, receipt.is_final), (attempts, false));
        assert_eq!(error(&receipt).code, ErrorCode::JobVersionUnsupported);
        // A minute after the delivery ended.
        assert!(pauses_ms.iter().all(|pause| (60_000..80_000).contains(pause)), "{pauses_ms:?}");
    }
    assert_eq!((dead.status, dead.attempts), (Status::Failed, 3));
    let error = error(&dead);
    assert_eq!((error.code, error.class), (ErrorCode::JobVersionUnsupported, Class::Conditional));
    assert_eq!(error.max_attempts, 3);
}

#[tokio::test]
async fn a_job_whose_id_is_none_is_dead_and_its_neighbours_are_done() {
    let mut darkroom = TestDarkroom::start().await;
    let long = "a".repeat(65);
    let strange: [(&[u8], &str); 3] =
        [(b"bad id!", "bad_id_"), (b"\xff\xfe", "__"), (long.as_bytes(), &long[..64])];
    let upload = darkroom.staged(picture("plain.jpg")).await;
    let payload = serde_json::to_vec(&upload).expect("a job is JSON");

    for (id, _) in strange {
        darkroom.push_by_hand(Kind::Upload, id, &payload).await;
    }
    // A neighbour that is called what the receipt of another says.
    darkroom.push_by_hand(Kind::Upload, "bad_id_", &payload).await;
    let _worker = darkroom.worker(&[]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let neighbours = [
        darkroom.final_receipt(&"bad_id_".parse().expect("an id")).await,
        darkroom.final_receipt(&job).await,
    ];

    assert_eq!(neighbours.map(|receipt| receipt.status), [Status::Done; 2]);
    for (id, told) in strange {
        let receipt = darkroom.final_receipt_of_bytes(id).await;
        assert_eq!((receipt.job_id.as_str(), receipt.status, receipt.attempts), (told, Status::Failed, 1));
        assert_eq!(error(&receipt).code, ErrorCode::IdInvalid);
    }
    let mut dead: Vec<Vec<u8>> =
        darkroom.redis.zrange(format!("{QUEUE}:dead"), 0, -1).await.expect("redis answers");
    dead.sort();
    let mut ids = strange.map(|(id, _)| id.to_vec());
    ids.sort();
    assert_eq!(dead, ids);
    assert_eq!(darkroom.redis.zcard::<_, usize>(format!("{QUEUE}:leases")).await.expect("it answers"), 0);
}

#[tokio::test]
async fn what_does_not_decode_is_kept_and_its_receipt_shows_four_kilobytes_of_it() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let payload = format!("no job: {}", "x".repeat(2 * EXCERPT));

    darkroom.push_by_hand(Kind::Upload, "no-job", payload.as_bytes()).await;
    darkroom.push_by_hand(Kind::Upload, "short", b"no \xff").await;
    let receipt = darkroom.final_receipt(&"no-job".parse().expect("an id")).await;
    let short = darkroom.final_receipt(&"short".parse().expect("an id")).await;

    assert_eq!((receipt.status, error(&receipt).code), (Status::Failed, ErrorCode::JobMalformed));
    assert_eq!(error(&receipt).detail, Some(json!({ "payload": payload[..EXCERPT] })));
    assert_eq!(error(&short).detail, Some(json!({ "payload": "no \u{fffd}" })));
    let kept: Vec<u8> = darkroom.redis.hget(format!("{QUEUE}:data"), "no-job").await.expect("it is kept");
    assert_eq!(kept, payload.as_bytes());
}

#[tokio::test]
async fn a_payload_of_more_than_two_megabytes_is_refused_for_its_size_and_its_beginning_is_kept() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut job = serde_json::to_value(darkroom.staged(picture("plain.jpg")).await).expect("a job is JSON");
    job["context"] = "x".repeat(MAX_PAYLOAD_BYTES + 100_000).into();
    let payload = job.to_string();

    darkroom.push_by_hand(Kind::Upload, "large", payload.as_bytes()).await;
    let receipt = darkroom.final_receipt(&"large".parse().expect("an id")).await;

    assert_eq!((receipt.status, receipt.attempts), (Status::Failed, 1));
    let error = error(&receipt);
    let sentence = format!("the payload has {} bytes, at most 2097152 are allowed", payload.len());
    assert_eq!((error.code, &error.message), (ErrorCode::JobMalformed, &sentence));
    assert_eq!(error.detail, Some(json!({ "payload": payload[..EXCERPT] })));
    let kept: Vec<u8> = darkroom.redis.hget(format!("{QUEUE}:data"), "large").await.expect("it is kept");
    assert_eq!(kept, &payload.as_bytes()[..EXCERPT]);
}

impl TestDarkroom {
    /// From the delivery of a job to when it is due again, as its place in the queue and its receipt say, once it waits.
    async fn pauses_ms_until_due_again(&mut self, job: &JobId) -> [u64; 2] {
        let deadline = Instant::now() + Duration::from_secs(20);
        let due = loop {
            let due: Option<f64> =
                self.redis.zscore(format!("{QUEUE}:scheduled"), job.as_str()).await.expect("redis answers");
            // A test makes it due with less.
            if let Some(due) = due.filter(|due| *due > 1.0) {
                break Timestamp::from_unix_ms((due * 1_000.0).round() as u64);
            }
            assert!(Instant::now() < deadline, "{job} was not put off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let meta = format!("{QUEUE}:meta:{job}");
        let claimed_ms: u64 = self.redis.hget(meta, "dr_leased_at").await.expect("it was delivered");
        let receipt = self.producer.receipt(job).await.expect("redis answers").expect("it was tried");
        let told = receipt.next_attempt_at.expect("it says when it is tried again");
        [due, told].map(|at| at.unix_ms().saturating_sub(claimed_ms))
    }

    async fn make_due(&mut self, job: &JobId) {
        let mut command = redis::cmd("ZADD");
        command.arg(format!("{QUEUE}:scheduled")).arg(&["XX", "CH", "1", job.as_str()]);
        let moved: u8 = command.query_async(&mut self.redis).await.expect("redis answers");
        assert_eq!(moved, 1, "{job} does not wait");
    }

    /// The final receipt of a job whose id is none, within 20 s.
    async fn final_receipt_of_bytes(&mut self, id: &[u8]) -> Receipt {
        let meta = [format!("{QUEUE}:meta:").as_bytes(), id].concat();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let result: Option<String> = self.redis.hget(&meta, "result").await.expect("redis answers");
            if let Some(result) = result {
                let result: serde_json::Value = serde_json::from_str(&result).expect("it is JSON");
                return serde_json::from_value(result["Ok"].clone()).expect("it is a receipt");
            }
            assert!(Instant::now() < deadline, "{id:?} has not ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
