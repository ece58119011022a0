use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Kind, Receipt, Status, Target, Timestamp};

/// What is announced on the stream `{darkroom}:events`: a CloudEvents 1.0 JSON event and a Standard Webhooks body in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Of the event; the same when it is announced again.
    pub id: String,
    /// Always `/darkroom`.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Id of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened (CloudEvents).
    pub time: Timestamp,
    /// When it happened (Standard Webhooks).
    pub timestamp: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// The receipt; for `storage.health_changed` the health report.
    pub data: Value,
}

impl Event {
    /// The event that a change of the bucket's state makes; `health` is the report, `at` its time.
    pub fn of_health(health: Value, at: Timestamp) -> Self {
        Self {
            specversion: "1.0".into(),
            id: format!("health-{}", at.unix_ms()),
            source: "/darkroom".into(),
            event_type: EventType::StorageHealthChanged,
            subject: None,
            time: at,
            timestamp: at,
            datacontenttype: "application/json".into(),
            data: health,
        }
    }

    /// The event that a final receipt makes; `None` for a receipt that announces nothing.
    pub fn of_receipt(receipt: &Receipt) -> Option<Self> {
        let data = serde_json::to_value(receipt).expect("a receipt is plain JSON");
        Self::around(receipt, data)
    }

    /// The JSON of [`of_receipt`](Self::of_receipt), around the receipt's own, `receipt_json`, which is not made again.
    pub fn json_of_receipt(receipt: &Receipt, receipt_json: &str) -> Option<String> {
        let event = Self::around(receipt, Value::Null)?;
        let envelope = serde_json::to_string(&event).expect("an event is plain JSON");
        let before = envelope.strip_suffix("null}").expect("`data` is the last field");
        Some([before, receipt_json, "}"].concat())
    }

    fn around(receipt: &Receipt, data: Value) -> Option<Self> {
        let event_type = EventType::of_receipt(receipt)?;
        let time = receipt.finished_at.unwrap_or(Timestamp::from_unix_ms(0));
        Some(Self {
            specversion: "1.0".into(),
            // A retried dead job may settle again: the end of this life names the event.
            id: format!("{}-{}", receipt.job_id, time.unix_ms()),
            source: "/darkroom".into(),
            event_type,
            subject: Some(receipt.job_id.to_string()),
            time,
            timestamp: time,
            datacontenttype: "application/json".into(),
            data,
        })
    }
}

/// The closed list of events. Retries emit none; of health, a change alone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventType {
    /// A picture is in the bucket.
    #[serde(rename = "image.stored")]
    ImageStored,
    /// A job was given up.
    #[serde(rename = "image.failed")]
    ImageFailed,
    /// The picture or its owner was deleted meanwhile.
    #[serde(rename = "image.superseded")]
    ImageSuperseded,
    /// The job was claimed too late.
    #[serde(rename = "image.expired")]
    ImageExpired,
    /// The job was cancelled.
    #[serde(rename = "image.cancelled")]
    ImageCancelled,
    /// One image is gone.
    #[serde(rename = "image.deleted")]
    ImageDeleted,
    /// Everything of an owner was removed; whether that is proven, the receipt says.
    #[serde(rename = "owner.erased")]
    OwnerErased,
    /// The bucket's state changed.
    #[serde(rename = "storage.health_changed")]
    StorageHealthChanged,
    /// A word of a newer worker's, read and never written.
    #[serde(other, rename = "unknown")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl EventType {
    fn of_receipt(receipt: &Receipt) -> Option<Self> {
        if receipt.kind == Kind::BucketHealth {
            return None;
        }
        match receipt.status {
            Status::Queued | Status::Running | Status::Retrying => None,
            Status::Done if receipt.kind == Kind::Delete => {
                let target = receipt.deletion.as_ref().and_then(|deletion| deletion.target.as_ref());
                let is_owner = target.is_some_and(Target::is_owner);
                Some(if is_owner { Self::OwnerErased } else { Self::ImageDeleted })
            }
            Status::Done => Some(Self::ImageStored),
            Status::Failed => Some(Self::ImageFailed),
            Status::Superseded => Some(Self::ImageSuperseded),
            Status::Expired => Some(Self::ImageExpired),
            Status::Cancelled => Some(Self::ImageCancelled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobId;

    #[test]
    fn the_json_of_an_event_is_the_same_around_a_receipt_that_is_json_already() {
        for status in [Status::Done, Status::Failed, Status::Retrying] {
            let mut receipt = Receipt::new(JobId::generate(), Kind::Upload, status);
            receipt.context = Some(serde_json::json!({ "data": null, "note": "\"null}" }));
            let json = serde_json::to_string(&receipt).unwrap();

            let composed = Event::json_of_receipt(&receipt, &json);

            let read = composed.map(|event| serde_json::from_str::<Event>(&event).unwrap());
            assert_eq!(read, Event::of_receipt(&receipt));
        }
    }
}
