//! Jobs on their way into a queue: checked, encoded, and cut into calls of the script.

use crate::{
    BucketHealth, DecodeError, Delete, EnqueueError, EnqueueOptions, ErrorCode, Ingest, Job, JobId, Kind,
    MAX_PAYLOAD_BYTES, Payload, Source, Timestamp, Upload, job::check_context,
};

/// Jobs that one call of the script takes.
const BATCH_JOBS: usize = 100;
/// Bytes of payload after which a batch is sent; more than one payload has.
const BATCH_BYTES: usize = 2 << 20;
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// One job on its way into a queue.
pub(crate) struct Entry {
    pub id: JobId,
    pub payload: String,
    /// `None`: as many as the producer gives to all.
    pub max_attempts: Option<u32>,
    pub run_at: Option<Timestamp>,
    pub idempotency_key: Option<String>,
}

impl Entry {
    pub fn new(payload: String, options: EnqueueOptions) -> Result<Self, EnqueueError> {
        let length = options.idempotency_key.as_ref().map_or(1, String::len);
        if !(1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&length) {
            return Err(EnqueueError::IdempotencyKey(length));
        }
        Ok(Self {
            id: options.job_id.unwrap_or_else(JobId::generate),
            payload,
            max_attempts: options.max_attempts,
            run_at: options.run_at,
            idempotency_key: options.idempotency_key,
        })
    }

    pub fn from_json(kind: Kind, json: &str, options: EnqueueOptions) -> Result<Self, EnqueueError> {
        let checked = match kind {
            Kind::Upload => check::<Upload>(json),
            Kind::Ingest => check::<Ingest>(json),
            Kind::Delete => check::<Delete>(json),
            Kind::BucketHealth => check::<BucketHealth>(json),
        };
        checked.map_err(EnqueueError::Payload)?;
        Self::new(json.to_owned(), options)
    }
}

fn check<J: Job>(json: &str) -> Result<(), DecodeError> {
    check_source(&Payload::<J>::decode(json.as_bytes())?.job)
}

/// Refuses at once what can only fail.
fn check_source<J: Job>(job: &J) -> Result<(), DecodeError> {
    job.source().map_or(Ok(()), Source::check).map_err(DecodeError::from)
}

pub(crate) fn encode<J: Job>(payload: &Payload<J>) -> Result<String, EnqueueError> {
    let malformed = |message| EnqueueError::Payload(DecodeError { code: ErrorCode::JobMalformed, message });
    payload.context.as_ref().map_or(Ok(()), check_context).map_err(malformed)?;
    check_source(&payload.job).map_err(EnqueueError::Payload)?;
    let json = serde_json::to_string(payload).map_err(|error| malformed(error.to_string()))?;
    if json.len() > MAX_PAYLOAD_BYTES {
        let length = json.len();
        return Err(malformed(format!(
            "the payload has {length} bytes, at most {MAX_PAYLOAD_BYTES} are allowed"
        )));
    }
    Ok(json)
}

/// Cuts the entries into calls of the script, by number and by bytes.
pub(crate) fn batches(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, entry) in entries.iter().enumerate() {
        if at - start == BATCH_JOBS || (at > start && bytes + entry.payload.len() > BATCH_BYTES) {
            batches.push(&entries[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += entry.payload.len();
    }
    if start < entries.len() {
        batches.push(&entries[start..]);
    }
    batches
}
