//! Staged originals of jobs that nobody will run again.

use darkroom_jobs::Source;

use super::connect;
use crate::{queue::operate::Removed, storage::Storage};

/// Removes what can be removed, and says what stays: the jobs are gone already, and so this refuses nothing.
pub async fn remove(removed: &[Removed]) {
    let staged = |job: &&Removed| matches!(job.original, Some(Source::Staged { .. }));
    let jobs: Vec<_> = removed.iter().filter(staged).collect();
    if jobs.is_empty() {
        return;
    }
    let storage = connect::storage_of_environment().await;
    for job in jobs {
        if let Err(error) = remove_one(storage.as_ref(), job).await {
            eprintln!(
                "the staged original of job {} stays until its lifecycle rule takes it: {error}",
                job.receipt.job_id
            );
        }
    }
}

async fn remove_one(storage: Result<&Storage, &anyhow::Error>, job: &Removed) -> Result<(), String> {
    let storage = storage.map_err(|error| format!("{error:#}"))?;
    let Some(original) = &job.original else { return Ok(()) };
    let removed = storage.remove_original(original).await;
    removed.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}
