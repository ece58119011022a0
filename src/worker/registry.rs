//! Which handler runs which kind of job: one row each.

use darkroom_jobs::{
    BucketHealth, DecodeError, Delete, Ingest, Job, Kind, Payload, Source, Timestamp, Upload,
};
use serde_json::Value;

use crate::handlers::{self, context::Context, error::JobError, report::Report};

/// A payload that was decoded.
#[derive(Clone, Debug)]
pub enum AnyJob {
    Upload(Payload<Upload>),
    Ingest(Payload<Ingest>),
    Delete(Payload<Delete>),
    BucketHealth(Payload<BucketHealth>),
}

/// What the worker needs of any payload.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    pub source: Option<Source>,
    pub expires_at: Option<Timestamp>,
    pub context: Option<Value>,
    pub traceparent: Option<String>,
}

impl AnyJob {
    pub fn decode(kind: Kind, json: &[u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            Kind::Upload => Self::Upload(Payload::decode(json)?),
            Kind::Ingest => Self::Ingest(Payload::decode(json)?),
            Kind::Delete => Self::Delete(Payload::decode(json)?),
            Kind::BucketHealth => Self::BucketHealth(Payload::decode(json)?),
        })
    }

    pub async fn run(&self, ctx: &Context) -> Result<Report, JobError> {
        match self {
            Self::Upload(payload) => handlers::upload::run(ctx, &payload.job).await,
            Self::Ingest(payload) => handlers::ingest::run(ctx, &payload.job).await,
            Self::Delete(payload) => handlers::delete::run(ctx, &payload.job).await,
            Self::BucketHealth(_) => handlers::bucket_health::run(ctx).await,
        }
    }

    pub fn envelope(&self) -> Envelope {
        match self {
            Self::Upload(payload) => Envelope::of(payload),
            Self::Ingest(payload) => Envelope::of(payload),
            Self::Delete(payload) => Envelope::of(payload),
            Self::BucketHealth(payload) => Envelope::of(payload),
        }
    }
}

impl Envelope {
    fn of<J: Job>(payload: &Payload<J>) -> Self {
        Self {
            source: payload.job.source().cloned(),
            expires_at: payload.expires_at,
            context: payload.context.clone(),
            traceparent: payload.traceparent.clone(),
        }
    }
}
