//! A report joined to those before it: how often in a row, when last well, how fast in the last hour.

use darkroom_jobs::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Health, HealthStatus, LastHour, Latencies, Quantiles};

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Most probes that are remembered.
const MOST: usize = 720;

/// The last periodic report with what the next one needs of it: this is what is kept in Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The report.
    pub health: Health,
    /// The probes of the last hour, oldest first.
    samples: Vec<Sample>,
}

/// One probe of the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    at: Timestamp,
    down: bool,
    latency_ms: Latencies,
}

impl Record {
    /// Joins a report to the record before it.
    pub fn following(previous: Option<Self>, mut health: Health) -> Self {
        let down = health.status == HealthStatus::Down;
        let (before, samples) = previous.map(|record| (record.health, record.samples)).unzip();
        let mut samples: Vec<_> = samples.unwrap_or_default();
        samples.push(Sample { at: health.checked_at, down, latency_ms: health.latency_ms });
        samples.retain(|sample| sample.is_of_the_hour_before(health.checked_at));
        samples.drain(..samples.len().saturating_sub(MOST));

        if let Some(before) = before.filter(|_| down) {
            health.consecutive_failures = before.consecutive_failures.saturating_add(1);
            health.last_success = before.last_success;
        }
        health.last_hour = last_hour(samples.iter());
        Self { health, samples }
    }

    /// The report as it is served at this moment by Redis' clock.
    pub fn served_at(self, now: Timestamp) -> Health {
        let age_ms = now.unix_ms().saturating_sub(self.health.checked_at.unix_ms());
        Health { age_ms, last_hour: self.last_hour_at(now), ..self.health }
    }

    /// A report that was made at this moment beside the periodic ones, with what these know of the time before.
    pub fn beside(&self, made: Health, now: Timestamp) -> Health {
        let down = made.status == HealthStatus::Down;
        Health {
            consecutive_failures: if down { self.health.consecutive_failures.saturating_add(1) } else { 0 },
            last_success: if down { self.health.last_success } else { made.last_success },
            last_hour: self.last_hour_at(now),
            ..made
        }
    }

    fn last_hour_at(&self, now: Timestamp) -> LastHour {
        last_hour(self.samples.iter().filter(|sample| sample.is_of_the_hour_before(now)))
    }
}

impl Sample {
    fn is_of_the_hour_before(&self, end: Timestamp) -> bool {
        self.at.unix_ms() > end.unix_ms().saturating_sub(HOUR_MS)
    }
}

fn last_hour<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> LastHour {
    let count = |samples: usize| u32::try_from(samples).unwrap_or(u32::MAX);
    let of = |pick: fn(&Latencies) -> Option<u64>| {
        quantiles(samples.clone().filter_map(|sample| pick(&sample.latency_ms)).collect())
    };
    LastHour {
        probes: count(samples.clone().count()),
        failures: count(samples.clone().filter(|sample| sample.down).count()),
        head_ms: of(|latency| latency.head),
        put_ms: of(|latency| latency.put),
        get_ms: of(|latency| latency.get),
        delete_ms: of(|latency| latency.delete),
    }
}

/// By nearest rank.
fn quantiles(mut values: Vec<u64>) -> Option<Quantiles> {
    values.sort_unstable();
    let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(Quantiles { p50: rank(50)?, p95: rank(95)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(at_ms: u64, status: HealthStatus, put: u64) -> Health {
        let checked_at = Timestamp::from_unix_ms(at_ms);
        let down = status == HealthStatus::Down;
        Health {
            status,
            bucket: "b".into(),
            endpoint: "http://127.0.0.1".into(),
            checked_at,
            age_ms: 0,
            latency_ms: Latencies { put: (!down).then_some(put), ..Latencies::default() },
            consecutive_failures: u32::from(down),
            findings: Vec::new(),
            error: None,
            learnt: Default::default(),
            last_success: (!down).then_some(checked_at),
            last_hour: LastHour::default(),
        }
    }

    #[test]
    fn failures_in_a_row_are_counted_and_the_last_success_is_remembered() {
        let reports = [(1, HealthStatus::Ok), (2, HealthStatus::Down), (3, HealthStatus::Down)];
        let down = reports
            .into_iter()
            .fold(None, |before, (at, status)| Some(Record::following(before, health(at, status, 7))));
        let down = down.expect("there were reports");

        let again = Record::following(Some(down.clone()), health(4, HealthStatus::Degraded, 7));

        assert_eq!(
            (down.health.consecutive_failures, down.health.last_success),
            (2, Some(Timestamp::from_unix_ms(1)))
        );
        assert_eq!(
            (again.health.consecutive_failures, again.health.last_success),
            (0, Some(Timestamp::from_unix_ms(4)))
        );
        assert_eq!((again.health.last_hour.probes, again.health.last_hour.failures), (4, 2));
    }

    #[test]
    fn quantiles_are_of_the_last_hour_alone() {
        let old = Record::following(None, health(1, HealthStatus::Ok, 9_999));
        let records = (1..=100)
            .fold(old, |before, n| Record::following(Some(before), health(HOUR_MS + n, HealthStatus::Ok, n)));

        let last_hour = records.health.last_hour;

        assert_eq!((last_hour.probes, last_hour.put_ms), (100, Some(Quantiles { p50: 50, p95: 95 })));
        assert_eq!(last_hour.get_ms, None);
    }

    #[test]
    fn a_report_made_between_two_periodic_ones_has_their_hour_and_counts_on_from_them() {
        let reports = [(1, HealthStatus::Ok), (HOUR_MS, HealthStatus::Ok), (HOUR_MS + 1, HealthStatus::Down)];
        let kept = reports
            .into_iter()
            .fold(None, |before, (at, status)| Some(Record::following(before, health(at, status, 7))));
        let kept = kept.expect("there were reports");
        let now = Timestamp::from_unix_ms(HOUR_MS + 9);

        let down = kept.beside(health(7, HealthStatus::Down, 0), now);
        let up = kept.beside(health(7, HealthStatus::Ok, 5_000), now);

        assert_eq!((down.consecutive_failures, up.consecutive_failures), (2, 0));
        assert_eq!(down.last_success, Some(Timestamp::from_unix_ms(HOUR_MS)));
        assert_eq!(up.last_success, Some(up.checked_at));
        for health in [down, up] {
            assert_eq!((health.last_hour.probes, health.last_hour.failures), (2, 1));
            assert_eq!(
                health.last_hour.put_ms,
                Some(Quantiles { p50: 7, p95: 7 }),
                "the periodic ones alone"
            );
        }
    }

    #[test]
    fn a_report_that_nobody_renewed_has_no_last_hour_any_more() {
        let kept = Record::following(None, health(1, HealthStatus::Ok, 7));

        let served = kept.served_at(Timestamp::from_unix_ms(2 * HOUR_MS));

        assert_eq!((served.age_ms, served.last_hour), (2 * HOUR_MS - 1, LastHour::default()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Record::following(None, health(1, HealthStatus::Ok, 1));

        let record = (2..2_000)
            .fold(start, |before, n| Record::following(Some(before), health(n, HealthStatus::Ok, 1)));

        assert_eq!(record.health.last_hour.probes as usize, MOST);
    }
}
