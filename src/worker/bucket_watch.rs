//! Opens and closes the breaker by what looks at the bucket find.

use std::time::Duration;

use darkroom_jobs::{ErrorCode, Timestamp};
use tracing::{debug, warn};

use super::outcome::Failure;
use crate::{
    handlers::report::Report,
    queue::{breaker::Breaker, health::HealthBoard},
    storage::{Storage, probe::HealthStatus},
};

/// Tells the breaker how a delivery ended, if that says anything about the bucket.
pub fn note(breaker: &Breaker, result: &Result<Report, Failure>) {
    match result {
        Ok(Report::Stored(_) | Report::Deleted(_) | Report::Erased(_)) => breaker.worked(),
        Err(Failure::Job(error)) if is_of_the_bucket(error.code()) => breaker.failed(),
        _ => {}
    }
}

fn is_of_the_bucket(code: ErrorCode) -> bool {
    use ErrorCode::{StorageDenied, StorageMisconfigured, StorageUnavailable};
    matches!(code, StorageUnavailable | StorageDenied | StorageMisconfigured)
}

/// For as long as the process works: a fresh report that the bucket is down opens the breaker, and while it is open the
/// bucket is asked every `pause`; one good answer closes it.
pub async fn watch(breaker: Breaker, storage: Storage, board: HealthBoard, pause: Duration) {
    let mut heard = Timestamp::from_unix_ms(0);
    loop {
        if !breaker.is_open() && is_told_down(&board, &mut heard).await {
            breaker.open("a health check found it down");
        }
        if breaker.is_open() {
            match storage.check().await {
                Ok(()) => {
                    breaker.close();
                    // What was reported until now, this answer has overtaken.
                    is_told_down(&board, &mut heard).await;
                }
                Err(error) => debug!(%error, "bucket is still down"),
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Whether a report says so that was not heard before: an old one must not open what a good answer has closed.
async fn is_told_down(board: &HealthBoard, heard: &mut Timestamp) -> bool {
    match board.word().await {
        Ok(Some(word)) if word.at > *heard => {
            *heard = word.at;
            word.status == HealthStatus::Down.as_str()
        }
        Ok(_) => false,
        Err(error) => {
            warn!(%error, "health report could not be read");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::Deletion;

    use super::*;
    use crate::handlers::error::JobError;

    fn refused(reason: &str) -> Result<Report, Failure> {
        let reason = reason.to_owned();
        Err(Failure::Job(JobError::NotRemoved { key: "user_photos/1/a.jpg".into(), reason }))
    }

    fn deleted() -> Result<Report, Failure> {
        Ok(Report::Deleted(Deletion {
            target: None,
            deleted_at: None,
            verified: true,
            objects: 0,
            versions: 0,
            markers: 0,
            staged: 0,
            versions_known: true,
            not_covered: Vec::new(),
        }))
    }

    #[test]
    fn failures_of_the_bucket_in_a_row_open_the_breaker() {
        let breaker = Breaker::new(2);

        note(&breaker, &refused("SlowDown"));
        note(&breaker, &refused("InternalError"));

        assert!(breaker.is_open());
    }

    #[test]
    fn a_success_between_them_and_what_says_nothing_of_the_bucket_do_not_count() {
        let breaker = Breaker::new(2);

        for result in [
            refused("SlowDown"),
            deleted(),
            refused("SlowDown"),
            Err(Failure::TimedOut),
            Err(Failure::Job(JobError::Superseded)),
            Ok(Report::Probed),
        ] {
            note(&breaker, &result);
        }

        assert!(!breaker.is_open());
    }
}
