//! From a verdict to what is written: when a job comes again, and when it is given up.

use std::time::Duration;

use darkroom_jobs::Timestamp;

use crate::{config, handlers::error::Verdict, queue::delivery::ClaimedJob};

/// Bytes of the longest note: it waits in Redis with the job.
const MAX_NOTE: usize = 1 << 10;
/// Pause before a payload of a newer version is tried again.
pub const VERSION_STEP: Duration = Duration::from_secs(60);

/// What becomes of a job that did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Again, after a pause.
    Again {
        after: Duration,
        /// Whether the attempt counts.
        counted: bool,
        note: Option<String>,
        deferred: bool,
    },
    /// Never again by itself.
    Dead,
}

/// Attempts that may fail like this: the job's own maximum, capped by what the failure allows.
pub fn max_attempts(job: &ClaimedJob, tries: Option<u32>, settings: &config::Worker) -> u32 {
    let own = job.max_attempts.unwrap_or(settings.attempts.of(job.kind)).max(1);
    tries.map_or(own, |tries| tries.min(own))
}

/// The fate of a job whose delivery failed; superseded and lost ones have none.
pub fn fate(verdict: &Verdict, job: &ClaimedJob, settings: &config::Worker) -> Fate {
    let counted = |tries| {
        let attempt = job.attempts + 1;
        if attempt >= max_attempts(job, tries, settings) {
            return Fate::Dead;
        }
        let after = backoff(attempt, settings).mul_f64(0.8 + 0.4 * fastrand::f64());
        Fate::Again { after, counted: true, note: None, deferred: false }
    };
    let limits = &settings.limits;
    match verdict {
        Verdict::Permanent | Verdict::Superseded | Verdict::Lost => Fate::Dead,
        Verdict::Retry { tries } => counted(*tries),
        Verdict::Throttled { .. } if since(job.first_at, job) > limits.throttle_within => counted(None),
        Verdict::Throttled { after } => {
            let after = (*after).min(limits.throttle_max);
            Fate::Again { after, counted: false, note: None, deferred: false }
        }
        Verdict::Deferred { limited: true, .. }
            if job.deferred_at.is_some_and(|at| since(at, job) > limits.defer_within) =>
        {
            counted(None)
        }
        Verdict::Deferred { after, note, .. } => {
            // Without its note a job begins anew, which is longer and as right.
            let note = note.clone().filter(|note| note.len() <= MAX_NOTE);
            Fate::Again { after: *after, counted: false, note, deferred: true }
        }
    }
}

/// `min(max, base · 2^(n-1))`, before jitter.
fn backoff(attempt: u32, settings: &config::Worker) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    settings.retry_base.saturating_mul(1 << doublings).min(settings.retry_max)
}

fn since(then: Timestamp, job: &ClaimedJob) -> Duration {
    Duration::from_millis(job.now().unix_ms().saturating_sub(then.unix_ms()))
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;
    use darkroom_jobs::Kind;

    use super::*;

    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        worker: config::Worker,
    }

    /// Those that nobody has set.
    pub fn settings() -> config::Worker {
        Defaults::parse_from(["darkroom"]).worker
    }

    fn job(attempts: u32, max_attempts: Option<u32>, age: Duration) -> ClaimedJob {
        let fresh = ClaimedJob::fresh(Kind::Upload);
        let then = Timestamp::from_unix_ms(fresh.claimed_at.unix_ms() - age.as_millis() as u64);
        ClaimedJob {
            attempts,
            max_attempts,
            deliveries: attempts + 1,
            enqueued_at: then,
            ready_at: then,
            first_at: then,
            deferred_at: Some(then),
            ..fresh
        }
    }

    #[test]
    fn a_transient_failure_waits_twice_as_long_each_time_and_ends_with_the_attempts() {
        let retry = Verdict::Retry { tries: None };

        for (attempts, seconds) in [(0, 5.0), (1, 10.0), (4, 80.0), (15, 14_400.0)] {
            let Fate::Again { after, counted: true, .. } =
                fate(&retry, &job(attempts, None, Duration::ZERO), &settings())
            else {
                panic!("attempt {attempts} was not repeated")
            };
            assert!((0.8..=1.2).contains(&(after.as_secs_f64() / seconds)), "attempt {attempts}: {after:?}");
        }
        assert_eq!(fate(&retry, &job(17, None, Duration::ZERO), &settings()), Fate::Dead);
    }

    #[test]
    fn jobs_that_failed_together_come_again_at_different_times() {
        let retry = Verdict::Retry { tries: None };

        let fates = std::iter::repeat_with(|| fate(&retry, &job(0, None, Duration::ZERO), &settings()));
        let pauses: Vec<_> = fates
            .map(|fate| match fate {
                Fate::Again { after, .. } => after.as_secs_f64() / 5.0,
                Fate::Dead => panic!("it was not repeated"),
            })
            .take(200)
            .collect();

        assert!(pauses.iter().any(|pause| *pause < 0.9), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > 1.1), "{pauses:?}");
    }

    #[test]
    fn a_conditional_failure_ends_with_its_own_tries_or_the_jobs() {
        let twice = Verdict::Retry { tries: Some(2) };

        assert!(matches!(fate(&twice, &job(0, None, Duration::ZERO), &settings()), Fate::Again { .. }));
        assert_eq!(fate(&twice, &job(1, None, Duration::ZERO), &settings()), Fate::Dead);
        assert_eq!(fate(&twice, &job(0, Some(1), Duration::ZERO), &settings()), Fate::Dead);
        assert_eq!(fate(&twice, &job(0, Some(0), Duration::ZERO), &settings()), Fate::Dead);
    }

    #[test]
    fn throttling_is_not_counted_for_a_day_and_never_waits_longer_than_six_hours() {
        let throttled = Verdict::Throttled { after: Duration::from_secs(999_999_999) };

        let young = fate(&throttled, &job(3, None, Duration::from_secs(60)), &settings());
        let old = fate(&throttled, &job(3, None, Duration::from_secs(90_000)), &settings());

        assert_eq!(
            young,
            Fate::Again { after: Duration::from_secs(6 * 3600), counted: false, note: None, deferred: false }
        );
        assert!(matches!(old, Fate::Again { counted: true, .. }));
    }

    #[test]
    fn what_is_not_counted_is_a_setting() {
        let mut settings = settings();
        let short = Duration::from_secs(30);
        let limits = &mut settings.limits;
        (limits.throttle_max, limits.throttle_within, limits.defer_within) = (short, short, short);
        let throttled = Verdict::Throttled { after: Duration::from_secs(3600) };
        let deferred = Verdict::Deferred { after: Duration::from_secs(3600), note: None, limited: true };

        let young = job(0, None, Duration::from_secs(29));
        let Fate::Again { after, counted: false, .. } = fate(&throttled, &young, &settings) else {
            panic!("it was counted")
        };
        assert_eq!(after, short);
        assert!(matches!(fate(&deferred, &young, &settings), Fate::Again { counted: false, .. }));
        let old = job(0, None, Duration::from_secs(31));
        for verdict in [throttled, deferred] {
            assert!(
                matches!(fate(&verdict, &old, &settings), Fate::Again { counted: true, .. }),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn a_job_without_attempts_of_its_own_has_those_of_its_kind() {
        let mut settings = settings();
        settings.attempts.attempts_upload = 2;
        let retry = Verdict::Retry { tries: None };

        assert!(matches!(fate(&retry, &job(0, None, Duration::ZERO), &settings), Fate::Again { .. }));
        assert_eq!(fate(&retry, &job(1, None, Duration::ZERO), &settings), Fate::Dead);
        assert!(matches!(fate(&retry, &job(1, Some(3), Duration::ZERO), &settings), Fate::Again { .. }));
    }

    #[test]
    fn a_note_of_a_kilobyte_reaches_the_next_delivery_and_a_longer_one_does_not() {
        for (bytes, kept) in [(MAX_NOTE, true), (MAX_NOTE + 1, false)] {
            let after = Duration::from_secs(9);
            let verdict = Verdict::Deferred { after, note: Some("n".repeat(bytes)), limited: true };

            let Fate::Again { note, deferred: true, .. } =
                fate(&verdict, &job(0, None, Duration::ZERO), &settings())
            else {
                panic!("it was not deferred")
            };
            assert_eq!(note.is_some(), kept, "{bytes}");
        }
    }

    #[test]
    fn a_deferred_job_is_not_counted_for_three_days() {
        let deferred =
            |limited| Verdict::Deferred { after: Duration::from_secs(9), note: Some("n".into()), limited };
        let old = job(0, None, Duration::from_secs(4 * 86_400));

        assert!(matches!(
            fate(&deferred(true), &job(0, None, Duration::ZERO), &settings()),
            Fate::Again { counted: false, deferred: true, .. }
        ));
        assert!(matches!(fate(&deferred(true), &old, &settings()), Fate::Again { counted: true, .. }));
        assert!(matches!(fate(&deferred(false), &old, &settings()), Fate::Again { counted: false, .. }));
    }
}
