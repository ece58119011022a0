//! The contract between producers and darkroom: job types, ids, receipts, events, error codes and the keys in Redis.
//!
//! Never touches pixels, URLs or buckets: other services depend on this package, so it stays small.

mod bucket_health;
mod delete;
mod ingest;
mod upload;

#[cfg(feature = "producer")]
mod entry;
mod error_code;
mod event;
mod id;
mod job;
#[cfg(feature = "producer")]
mod lookup;
mod object_key;
#[cfg(feature = "producer")]
mod producer;
mod receipt;
pub mod redis_keys;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "producer")]
mod settlements;
mod source;
mod timestamp;
#[cfg(feature = "producer")]
pub mod wire;

pub use bucket_health::BucketHealth;
pub use delete::{Delete, Target};
pub use error_code::{Blame, Class, ErrorCode};
pub use event::{Event, EventType};
pub use id::{ImageId, InvalidId, JobId, OwnerId};
pub use ingest::Ingest;
pub use job::{
    DecodeError, Job, Kind, MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_VALUES,
    PAYLOAD_VERSION, Payload, check_size,
};
pub use object_key::{ObjectKey, OwnerPrefix, StagedKey};
#[cfg(feature = "producer")]
pub use producer::{ConnectError, EnqueueError, EnqueueOptions, Producer};
pub use receipt::{
    Deletion, Encoding, Object, Receipt, ReceiptError, SourceFacts, Status, Timings, Visual, Warning,
    WarningCode,
};
#[cfg(feature = "producer")]
pub use settlements::WaitError;
pub use source::{MAX_INLINE_BYTES, MAX_SOURCE_BYTES, Source, SourceError};
pub use timestamp::Timestamp;
pub use upload::Upload;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
