//! Which handler runs which kind of job: one row each.

use std::pin::Pin;

use darkroom_jobs::{
    BucketHealth, DecodeError, Delete, Ingest, Job, Kind, OwnerPrefix, Payload, Source, Timestamp, Upload,
};
use serde_json::Value;

use crate::handlers::{self, context::Context, error::JobError, report::Report};

/// Runs a job of any kind. One delivery, one call; the context is made for it.
pub type Handler = fn(AnyJob, Context) -> Handling;

/// A handler at work.
pub type Handling = Pin<Box<dyn Future<Output = Result<Report, JobError>> + Send>>;

/// A payload that was decoded.
#[derive(Clone, Debug)]
pub enum AnyJob {
    /// One photo of a user.
    Upload(Payload<Upload>),
    /// One image of a product.
    Ingest(Payload<Ingest>),
    /// Something that has to go.
    Delete(Payload<Delete>),
    /// A look at the bucket.
    BucketHealth(Payload<BucketHealth>),
}

/// What the worker needs of any payload.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// Where the original is, of a job that has one.
    pub source: Option<Source>,
    /// From when on the job is expired.
    pub expires_at: Option<Timestamp>,
    /// What goes back in the receipt.
    pub context: Option<Value>,
    /// Whose picture it is about.
    pub owner: Option<OwnerPrefix>,
    /// W3C trace context of the producer, which the job continues.
    pub traceparent: Option<String>,
}

/// The handlers of this release.
pub fn handle(job: AnyJob, ctx: Context) -> Handling {
    Box::pin(async move { job.run(&ctx).await })
}

impl AnyJob {
    /// Decodes a payload of that kind.
    ///
    /// # Errors
    ///
    /// As [`Payload::decode`].
    pub fn decode(kind: Kind, json: &[u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            Kind::Upload => Self::Upload(Payload::decode(json)?),
            Kind::Ingest => Self::Ingest(Payload::decode(json)?),
            Kind::Delete => Self::Delete(Payload::decode(json)?),
            Kind::BucketHealth => Self::BucketHealth(Payload::decode(json)?),
        })
    }

    async fn run(&self, ctx: &Context) -> Result<Report, JobError> {
        match self {
            Self::Upload(payload) => handlers::upload::run(ctx, &payload.job).await,
            Self::Ingest(payload) => handlers::ingest::run(ctx, &payload.job).await,
            Self::Delete(payload) => handlers::delete::run(ctx, &payload.job).await,
            Self::BucketHealth(_) => handlers::bucket_health::run(ctx).await,
        }
    }

    /// What the worker needs of it.
    pub fn envelope(&self) -> Envelope {
        match self {
            Self::Upload(payload) => Envelope::about(payload, OwnerPrefix::user(&payload.job.user_id)),
            Self::Ingest(payload) => Envelope::about(payload, OwnerPrefix::product(&payload.job.product_id)),
            Self::Delete(payload) => Envelope::of(payload),
            Self::BucketHealth(payload) => Envelope::of(payload),
        }
    }
}

impl Envelope {
    /// Of a job that keeps a picture. A deletion is not of its owner: its receipt is the proof.
    fn about<J: Job>(payload: &Payload<J>, owner: OwnerPrefix) -> Self {
        Self { owner: Some(owner), ..Self::of(payload) }
    }

    fn of<J: Job>(payload: &Payload<J>) -> Self {
        Self {
            source: payload.job.source().cloned(),
            expires_at: payload.expires_at,
            context: payload.context.clone(),
            owner: None,
            traceparent: payload.traceparent.clone(),
        }
    }
}
