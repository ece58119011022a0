//! How often and how long a job is tried before it is given up.

use std::time::Duration;

use clap::Args;
use darkroom_jobs::{BucketHealth, Delete, Ingest, Job as _, Kind, Producer, Upload};

use super::milliseconds;

/// Attempts of a job whose producer chose no number.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Attempts")]
pub struct Attempts {
    /// Attempts of an upload whose producer chose no number.
    #[arg(long, env = "DARKROOM_ATTEMPTS_UPLOAD", default_value_t = Upload::MAX_ATTEMPTS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub attempts_upload: u32,
    /// Attempts of an ingest whose producer chose no number.
    #[arg(long, env = "DARKROOM_ATTEMPTS_INGEST", default_value_t = Ingest::MAX_ATTEMPTS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub attempts_ingest: u32,
    /// Attempts of a deletion whose producer chose no number.
    #[arg(long, env = "DARKROOM_ATTEMPTS_DELETE", default_value_t = Delete::MAX_ATTEMPTS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub attempts_delete: u32,
}

impl Attempts {
    /// Those of a kind; a look at the bucket has one, since its failure is a result.
    pub const fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Upload => self.attempts_upload,
            Kind::Ingest => self.attempts_ingest,
            Kind::Delete => self.attempts_delete,
            Kind::BucketHealth => BucketHealth::MAX_ATTEMPTS,
        }
    }

    /// The producer, which gives its jobs as many.
    pub fn given_by(&self, producer: Producer) -> Producer {
        Kind::ALL.into_iter().fold(producer, |producer, kind| producer.with_max_attempts(kind, self.of(kind)))
    }
}

/// How long a delivery may run, and what a job may go through that is not counted as an attempt.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Attempts")]
pub struct Limits {
    /// Milliseconds that a delivery of an upload may run, without its wait for memory.
    #[arg(long, env = "DARKROOM_TIMEOUT_UPLOAD_MS", default_value = "90000", value_parser = milliseconds)]
    pub timeout_upload: Duration,
    /// Milliseconds that a delivery of an ingest may run, without its wait for memory.
    #[arg(long, env = "DARKROOM_TIMEOUT_INGEST_MS", default_value = "120000", value_parser = milliseconds)]
    pub timeout_ingest: Duration,
    /// Milliseconds that a delivery of a deletion may run.
    #[arg(long, env = "DARKROOM_TIMEOUT_DELETE_MS", default_value = "120000", value_parser = milliseconds)]
    pub timeout_delete: Duration,
    /// Deaths of its worker after which a job is poison; from the third on it waits, for a minute at first.
    #[arg(long, env = "DARKROOM_CRASHES", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub crashes: u32,
    /// Milliseconds within which those deaths are counted.
    #[arg(long, env = "DARKROOM_CRASHES_WITHIN_MS", default_value = "259200000", value_parser = milliseconds)]
    pub crashes_within: Duration,
    /// Longest time that the other side can make a job wait at once, in milliseconds.
    #[arg(long, env = "DARKROOM_THROTTLE_MAX_MS", default_value = "21600000", value_parser = milliseconds)]
    pub throttle_max: Duration,
    /// Milliseconds after its first delivery within which a job that is told to wait loses no attempt.
    #[arg(long, env = "DARKROOM_THROTTLE_WITHIN_MS", default_value = "86400000", value_parser = milliseconds)]
    pub throttle_within: Duration,
    /// Milliseconds within which a job that darkroom puts off loses no attempt.
    #[arg(long, env = "DARKROOM_DEFER_WITHIN_MS", default_value = "259200000", value_parser = milliseconds)]
    pub defer_within: Duration,
}

impl Limits {
    /// How long a delivery of a kind may run.
    pub const fn timeout(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Upload => self.timeout_upload,
            Kind::Ingest => self.timeout_ingest,
            Kind::Delete => self.timeout_delete,
            Kind::BucketHealth => BucketHealth::TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn a_delivery_may_run_as_long_as_its_type_of_job_says() {
        let Defaults { limits } = Defaults::parse_from(["darkroom"]);

        let times = Kind::ALL.map(|kind| limits.timeout(kind));
        assert_eq!(times, [Upload::TIMEOUT, Ingest::TIMEOUT, Delete::TIMEOUT, BucketHealth::TIMEOUT]);
    }
}
