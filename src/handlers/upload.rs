//! Keeps one photo of a user.

use darkroom_jobs::{ObjectKey, Upload};

use super::{context::Context, error::JobError, keep::keep, report::Report};
use crate::imaging::PresetName;

/// Keeps one photo of a user.
pub async fn run(ctx: &Context, job: &Upload) -> Result<Report, JobError> {
    let key = ObjectKey::user_photo(&job.user_id, &job.image_id);
    keep(ctx, &key, &job.source, PresetName::UserPhoto).await.map(Report::Stored)
}
