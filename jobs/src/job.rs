//! What all job types share: their policy, and the envelope around their fields.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{BucketHealth, Delete, ErrorCode, Ingest, ObjectKey, Source, Timestamp, Upload, id};

/// Newest major version of a payload that this release understands.
pub const PAYLOAD_VERSION: u32 = 1;

/// Largest payload that is parsed, in bytes (2 MiB); a larger one is `job_malformed`.
pub const MAX_PAYLOAD_BYTES: usize = 2 << 20;

/// Most values that a payload may have (10,000), arrays, objects and what is in them: each takes many times its text in memory. A
/// payload with more is `job_malformed`.
pub const MAX_PAYLOAD_VALUES: usize = 10_000;

/// Largest `context` that a job may have, in bytes of JSON without blanks (4 KiB): it is copied into receipt and event.
pub const MAX_CONTEXT_BYTES: usize = 4 << 10;

/// How deep arrays and objects of a `context` may be nested: whoever reads the receipt has to parse it.
pub const MAX_CONTEXT_DEPTH: usize = 32;

/// Characters of a decoder's message that are kept: it may repeat the whole payload.
const MAX_MESSAGE_CHARS: usize = 300;

/// One type of job: its fields are the wire, its constants the policy.
pub trait Job: Serialize + DeserializeOwned + fmt::Debug + Clone + Send + Sync + 'static {
    /// Names the queue; never renamed, never reused.
    const KIND: Kind;
    /// Deliveries that may fail and be counted before the job is given up, when nobody chooses another number.
    const MAX_ATTEMPTS: u32;
    /// How long one delivery may run, when the worker's settings say nothing else; waiting for memory does not count.
    const TIMEOUT: Duration;

    /// Where the job's result is or was stored, known before it has run.
    fn object_key(&self) -> Option<ObjectKey> {
        None
    }

    /// Where the job's original is.
    fn source(&self) -> Option<&Source> {
        None
    }
}

/// The closed list of job types, and so of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`crate::Upload`]
    Upload,
    /// [`crate::Ingest`]
    Ingest,
    /// [`crate::Delete`]
    Delete,
    /// [`crate::BucketHealth`]
    BucketHealth,
}

impl Kind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Upload, Self::Ingest, Self::Delete, Self::BucketHealth];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Ingest => "ingest",
            Self::Delete => "delete",
            Self::BucketHealth => "bucket_health",
        }
    }
}

impl Kind {
    /// [`Job::MAX_ATTEMPTS`] of the kind's type.
    pub const fn max_attempts(self) -> u32 {
        match self {
            Self::Upload => Upload::MAX_ATTEMPTS,
            Self::Ingest => Ingest::MAX_ATTEMPTS,
            Self::Delete => Delete::MAX_ATTEMPTS,
            Self::BucketHealth => BucketHealth::MAX_ATTEMPTS,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown kind {text:?}, expected upload, ingest, delete or bucket_health"))
    }
}

/// A job with the fields that every type of job has. Unknown fields are ignored, a missing optional is its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(expecting = "a job, which is a JSON object")]
pub struct Payload<J> {
    /// Major version of the payload; missing means 1.
    #[serde(default = "first_version")]
    pub v: u32,
    /// The job's own fields.
    #[serde(flatten)]
    pub job: J,
    /// Judged by Redis' clock when the job is claimed: from then on the job is `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Name of a webhook endpoint of the worker's configuration; never a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// W3C trace context of the producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Groups jobs for the producer; returned nowhere, kept with the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Whatever the producer wants back in the receipt: at most 4 KiB of JSON, nested at most 32 deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
}

fn first_version() -> u32 {
    1
}

impl<J> From<J> for Payload<J> {
    fn from(job: J) -> Self {
        Self {
            v: PAYLOAD_VERSION,
            job,
            expires_at: None,
            webhook: None,
            traceparent: None,
            batch: None,
            context: None,
        }
    }
}

/// Why a payload is not a job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// `id_invalid`, `job_malformed` or `job_version_unsupported`; from a producer also what [`Source::check`] says.
    pub code: ErrorCode,
    /// Names what is wrong; may repeat a short piece of the input.
    pub message: String,
}

impl<J: Job> Payload<J> {
    /// Decodes what a producer of any language wrote.
    ///
    /// # Errors
    ///
    /// * `job_version_unsupported`: `v` is newer than [`PAYLOAD_VERSION`]; a newer worker may take it.
    /// * `id_invalid`: an id, or a staged key, is not of its form.
    /// * `job_malformed`: everything else that does not decode, and payloads over [`MAX_PAYLOAD_BYTES`] or
    ///   [`MAX_PAYLOAD_VALUES`], and a `context` over [`MAX_CONTEXT_BYTES`] or [`MAX_CONTEXT_DEPTH`].
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |message| DecodeError { code: ErrorCode::JobMalformed, message };
        check_size(json)?;
        // The version first: what a newer shape looks like is not ours to judge.
        #[derive(Deserialize)]
        #[serde(expecting = "a job, which is a JSON object")]
        struct Version {
            #[serde(default = "first_version")]
            v: u32,
        }
        let Version { v } = serde_json::from_slice(json).map_err(|e| malformed(shortened(e.to_string())))?;
        if v > PAYLOAD_VERSION {
            return Err(DecodeError {
                code: ErrorCode::JobVersionUnsupported,
                message: format!("payload version {v}, this worker knows {PAYLOAD_VERSION}"),
            });
        }
        if v == 0 {
            return Err(malformed("payload version 0: the first is 1".into()));
        }
        let payload: Self = serde_json::from_slice(json).map_err(|error| {
            let message = shortened(error.to_string());
            let code =
                if message.starts_with(id::MARK) { ErrorCode::IdInvalid } else { ErrorCode::JobMalformed };
            DecodeError { code, message }
        })?;
        payload.context.as_ref().map_or(Ok(()), check_context).map_err(malformed)?;
        Ok(payload)
    }
}

/// Refuses a payload that would take too much memory, without reading it.
///
/// # Errors
///
/// `job_malformed`: more than [`MAX_PAYLOAD_BYTES`], or [`MAX_PAYLOAD_VALUES`].
pub fn check_size(json: &[u8]) -> Result<(), DecodeError> {
    let malformed = |message| Err(DecodeError { code: ErrorCode::JobMalformed, message });
    let bytes = json.len();
    if bytes > MAX_PAYLOAD_BYTES {
        return malformed(format!("the payload has {bytes} bytes, at most {MAX_PAYLOAD_BYTES} are allowed"));
    }
    let values = values(json);
    if values > MAX_PAYLOAD_VALUES {
        return malformed(format!(
            "the payload has {values} values, at most {MAX_PAYLOAD_VALUES} are allowed"
        ));
    }
    Ok(())
}

/// At least as many as JSON has arrays, objects, and values in them.
fn values(json: &[u8]) -> usize {
    let (mut values, mut in_string, mut is_escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// Refuses a context that a receipt cannot carry; says why.
pub(crate) fn check_context(context: &Value) -> Result<(), String> {
    // The depth first: how deep it is, writing it recurses.
    if !is_nested_at_most(context, MAX_CONTEXT_DEPTH) {
        return Err(format!("context is nested more than {MAX_CONTEXT_DEPTH} deep"));
    }
    let bytes = context.to_string().len();
    if bytes > MAX_CONTEXT_BYTES {
        return Err(format!("context has {bytes} bytes, at most {MAX_CONTEXT_BYTES} are allowed"));
    }
    Ok(())
}

fn is_nested_at_most(value: &Value, levels: usize) -> bool {
    let mut inner: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(values) => Box::new(values.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => return true,
    };
    levels > 0 && inner.all(|value| is_nested_at_most(value, levels - 1))
}

fn shortened(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}
