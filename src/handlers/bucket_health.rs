//! Looks at the bucket for all processes.
//!
//! 1. Read what the last look found.
//! 2. Probe the bucket; whatever that comes to is a result.
//! 3. Keep the report, and announce it when the status has changed.

use darkroom_jobs::Event;
use tracing::{info, warn};

use super::{context::Context, error::JobError, report::Report};
use crate::storage::probe::{Health, HealthStatus, record::Record};

/// Looks at the bucket, and keeps what it saw. A bucket that is down is no failure of the job.
///
/// # Errors
///
/// Redis' alone.
pub async fn run(ctx: &Context) -> Result<Report, JobError> {
    let seen = ctx.health.read::<Record>().await?;

    let mut health = ctx.storage.probe().await;
    health.checked_at = seen.now;
    health.last_success = health.last_success.map(|_| seen.now);

    let record = Record::following(seen.record, health);
    let data = serde_json::to_value(&record.health).expect("a report is plain JSON");
    let event = Event::of_health(data, record.health.checked_at);
    let before = ctx.health.write(record.health.status.as_str(), &record, &event).await?;
    if let Some(before) = before {
        tell(&before, &record.health);
    }
    Ok(Report::Probed)
}

/// One line for a change.
fn tell(before: &str, health: &Health) {
    let status = health.status.as_str();
    let findings: Vec<_> = health.findings.iter().map(|finding| finding.code.as_str()).collect();
    let findings = findings.join(" ");
    let (code, error) = health.error.as_ref().map(|error| (error.code.as_str(), &*error.message)).unzip();
    match health.status {
        HealthStatus::Ok => info!(status, before, "state of the bucket changed"),
        _ => warn!(status, before, findings, error.code = code, error, "state of the bucket changed"),
    }
}
