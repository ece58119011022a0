//! Owners with pictures, and what is left of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use darkroom::storage::put::ObjectAttributes;
use darkroom_jobs::{
    Delete, Event, ImageId, JobId, ObjectKey, OwnerId, Receipt, Source, StagedKey, Target, Upload,
};
use redis::streams::StreamRangeReply;

use super::darkroom::{TestDarkroom, picture};

/// Sweeps within a second.
pub const QUICK: (&str, &str) = ("DARKROOM_ERASE_SWEEPS_MS", "200,600");

pub fn owner(id: &str) -> OwnerId {
    id.parse().expect("an id")
}

pub fn user(id: &str) -> Target {
    Target::User { user_id: owner(id) }
}

pub fn key_of(upload: &Upload) -> ObjectKey {
    ObjectKey::user_photo(&upload.user_id, &upload.image_id)
}

impl TestDarkroom {
    /// A photo of a user whose original waits under a key that only the job names.
    pub async fn photo_of(&self, user: &str) -> Upload {
        Upload { user_id: owner(user), ..self.staged(picture("plain.jpg")).await }
    }

    /// A photo that is staged again, under another key.
    pub async fn again(&self, upload: &Upload) -> Upload {
        Upload { source: self.staged(picture("plain.jpg")).await.source, ..upload.clone() }
    }

    /// Puts an original where our own API does.
    pub async fn stage_at(&self, key: &StagedKey) {
        let body = Bytes::from(picture("plain.jpg"));
        let attributes = ObjectAttributes::default();
        self.storage.upload(&ObjectKey::staged(key), body, &attributes).await.expect("it is stored");
    }

    pub async fn delete(&self, target: Target) -> JobId {
        self.producer.enqueue(Delete { target }).await.expect("redis takes jobs")
    }

    /// Stores what looks like pictures of a user, without jobs.
    pub async fn fill(&self, user: &str, count: usize) {
        self.fill_with(user, count, ObjectAttributes::default()).await;
    }

    pub async fn fill_with(&self, user: &str, count: usize, attributes: ObjectAttributes) {
        for _ in 0..count {
            let key = ObjectKey::user_photo(&owner(user), &ImageId::random());
            self.storage.upload(&key, Bytes::from("x"), &attributes).await.expect("it is stored");
        }
    }

    /// The receipt once the job was delivered so often and waits again, or is final, within 20 s.
    pub async fn receipt_after(&self, job: &JobId, deliveries: u32) -> Receipt {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let receipt = self.producer.receipt(job).await.expect("redis answers");
            match receipt {
                Some(receipt)
                    if receipt.deliveries >= deliveries
                        && (receipt.is_final || receipt.next_attempt_at.is_some()) =>
                {
                    return receipt;
                }
                other => {
                    assert!(
                        Instant::now() < deadline,
                        "{job} was not delivered {deliveries} times: {other:?}"
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All that was announced, oldest first.
    pub async fn events(&mut self) -> Vec<Event> {
        let range: StreamRangeReply = redis::cmd("XRANGE")
            .arg("{darkroom}:events")
            .arg("-")
            .arg("+")
            .query_async(&mut self.redis)
            .await
            .expect("redis answers");
        let event = |json: String| serde_json::from_str(&json).expect("it is an event");
        range.ids.iter().map(|entry| event(entry.get("event").expect("it has one"))).collect()
    }

    /// Every text that Redis keeps in hashes: payloads and what is known of jobs.
    pub async fn everything_in_redis(&mut self) -> String {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("*").query_async(&mut self.redis).await.expect("redis answers");
        let mut all = String::new();
        for key in keys {
            let kind: String =
                redis::cmd("TYPE").arg(&key).query_async(&mut self.redis).await.expect("redis answers");
            if kind == "hash" {
                let values: Vec<Vec<u8>> =
                    redis::cmd("HVALS").arg(&key).query_async(&mut self.redis).await.expect("redis answers");
                values.iter().for_each(|value| all.push_str(&String::from_utf8_lossy(value)));
            }
        }
        all
    }
}

/// An original that is in the job itself.
pub fn inline(base64: &str) -> Source {
    Source::Inline { base64: base64.into() }
}
