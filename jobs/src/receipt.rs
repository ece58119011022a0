//! What became of a job, in one shape for every way to ask.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Blame, Class, ErrorCode, JobId, Kind, ObjectKey, Target, Timestamp};

/// What became of a job. Waiting clients watch [`final`](Self::is_final) alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Receipt {
    /// Version of this shape.
    pub v: u32,
    /// The job.
    pub job_id: JobId,
    /// Its type.
    pub kind: Kind,
    /// Where it stands.
    pub status: Status,
    /// Whether the status will never change again.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Deliveries that ended in success or in a counted failure.
    pub attempts: u32,
    /// Deliveries begun, crashes and hand-backs included.
    pub deliveries: u32,
    /// When the job was first seen, by Redis' clock.
    pub enqueued_at: Option<Timestamp>,
    /// When the status became final.
    pub finished_at: Option<Timestamp>,
    /// When a `retrying` or `queued` job is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// What was stored.
    pub object: Option<Object>,
    /// What was known of the original.
    pub source: Option<SourceFacts>,
    /// What the picture looks like.
    pub visual: Option<Visual>,
    /// What a deletion removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// What was odd about the original, though it was accepted.
    pub warnings: Vec<Warning>,
    /// Why the last attempt failed.
    pub error: Option<ReceiptError>,
    /// Where the time went, in milliseconds.
    pub timings_ms: Timings,
    /// The producer's own, as given.
    pub context: Option<Value>,
}

impl Receipt {
    /// Version of the receipt's shape.
    pub const VERSION: u32 = 1;

    /// Reads the field `result` of a settled job, `{"Ok":<receipt>}`.
    ///
    /// # Errors
    ///
    /// When it is no receipt that this release understands.
    pub fn from_result(json: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        enum Settled {
            Ok(Receipt),
        }
        serde_json::from_str(json).map(|Settled::Ok(receipt)| receipt)
    }

    /// A receipt that says no more than where the job stands.
    pub fn new(job_id: JobId, kind: Kind, status: Status) -> Self {
        Self {
            v: Self::VERSION,
            job_id,
            kind,
            status,
            is_final: status.is_final(),
            attempts: 0,
            deliveries: 0,
            enqueued_at: None,
            finished_at: None,
            next_attempt_at: None,
            object: None,
            source: None,
            visual: None,
            deletion: None,
            warnings: Vec::new(),
            error: None,
            timings_ms: Timings::default(),
            context: None,
        }
    }
}

/// `queued → running → (retrying → running)* → done | failed | superseded | expired | cancelled`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker, or for its time.
    Queued,
    /// A worker has it.
    Running,
    /// Failed, and will be tried again.
    Retrying,
    /// Did what was asked.
    Done,
    /// Will not be tried again by itself.
    Failed,
    /// Its picture or owner was deleted meanwhile.
    Superseded,
    /// Was claimed too late.
    Expired,
    /// Was cancelled before it ran.
    Cancelled,
}

impl Status {
    /// Whether the status never changes by itself again.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An object in the bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Object {
    /// Its name.
    pub key: ObjectKey,
    /// The bucket.
    pub bucket: String,
    /// Public address; for product images, when `S3_PUBLIC_BASE_URL` is set.
    pub url: Option<String>,
    /// Always `image/jpeg`.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// As S3 gave it, quotes included.
    pub etag: Option<String>,
    /// Of the content, in hex.
    pub sha256: String,
    /// How it came to be.
    pub encoding: Encoding,
}

/// How a stored JPEG was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Decoded and encoded by the general path.
    Reencoded,
    /// Streamed by the JPEG lane.
    Lane,
}

/// What was known of an original. A field is null when the job failed before it was known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceFacts {
    /// `staged`, `url` or `inline`.
    #[serde(rename = "type")]
    pub source_type: String,
    /// Media type that the bytes have.
    pub detected_type: Option<String>,
    /// Media type that was claimed for them.
    pub declared_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Of the bytes, in hex.
    pub sha256: Option<String>,
    /// Pixels, as stored in the file: before orientation.
    pub width: Option<u32>,
    /// Pixels, as stored in the file: before orientation.
    pub height: Option<u32>,
    /// EXIF orientation, 1 to 8.
    pub orientation: Option<u8>,
    /// Description of the embedded color profile, at most 64 printable characters.
    pub icc: Option<String>,
    /// Pictures in the file.
    pub frames: Option<u32>,
    /// Whether the original told where it was taken.
    pub had_gps: Option<bool>,
}

/// What a picture looks like before it has loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Visual {
    /// ThumbHash, base64.
    pub thumbhash: String,
    /// `#rrggbb`
    pub dominant: String,
}

/// What a deletion removed, and what it does not answer for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deletion {
    /// What was to be removed, as the job named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The deletion's moment, by Redis' clock: a job of that owner which was enqueued by then stores nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Whether a last look found nothing left.
    pub verified: bool,
    /// Current objects removed.
    pub objects: u64,
    /// Noncurrent versions removed.
    pub versions: u64,
    /// Delete markers removed.
    pub markers: u64,
    /// Staged originals removed.
    pub staged: u64,
    /// Whether the bucket let versions be listed.
    pub versions_known: bool,
    /// Copies out of reach: `cdn`, `backups`, `staged_unnamed`; of an owner also `events`, which were announced before.
    pub not_covered: Vec<String>,
}

/// Something odd about an original that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Warning {
    /// Stable word.
    pub code: WarningCode,
    /// For a person.
    pub message: String,
}

/// The closed list of warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The bytes are of another type than was claimed.
    TypeMismatch,
    /// EXIF that says something impossible was ignored.
    ExifInvalid,
    /// A color profile that cannot be used was ignored.
    IccInvalid,
    /// High dynamic range was mapped to the standard one.
    HdrTonemapped,
    /// Only the first frame was kept.
    AnimationDropped,
    /// The last rows are missing.
    Truncated,
    /// A word of a newer worker's, read and never written.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Why an attempt failed. Branch on [`class`](Self::class), show [`hint`](Self::hint), never parse [`message`](Self::message).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptError {
    /// Stable word.
    pub code: ErrorCode,
    /// What becomes of the job.
    pub class: Class,
    /// Whom to address.
    pub blame: Blame,
    /// Attempts counted so far.
    pub attempt: u32,
    /// Attempts that may fail like this.
    pub max_attempts: u32,
    /// What happened, for an engineer.
    pub message: String,
    /// What to do, for a person.
    pub hint: String,
    /// Facts, depending on the code.
    pub detail: Option<Value>,
}

/// Where the time of the last attempt went, in milliseconds. A step that did not happen is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timings {
    /// From enqueued (or due) to claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Getting the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<u64>,
    /// Decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<u64>,
    /// Orientation, color, size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u64>,
    /// Encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encode: Option<u64>,
    /// Writing to the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<u64>,
}
