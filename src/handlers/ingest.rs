//! Keeps one image of a product.

use darkroom_jobs::{Ingest, ObjectKey};

use super::{context::Context, error::JobError, keep::keep, report::Report};
use crate::imaging::PresetName;

/// Keeps one image of a product.
pub async fn run(ctx: &Context, job: &Ingest) -> Result<Report, JobError> {
    let key = ObjectKey::product_image(&job.product_id, &job.image_id);
    keep(ctx, &key, &job.source, PresetName::Product).await.map(Report::Stored)
}
