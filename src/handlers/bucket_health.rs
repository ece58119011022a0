//! Asks whether the bucket can be reached.

use super::{context::Context, error::JobError, report::Report};

/// Asks whether the bucket can be reached.
pub async fn run(ctx: &Context) -> Result<Report, JobError> {
    ctx.storage.head_bucket().await?;
    Ok(Report::Healthy)
}
