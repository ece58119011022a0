//! Every setting. Nothing else reads the environment; the comments here are the text of `--help`.
//!
//! Never connects to anything: a setting that parses and agrees with the others is all that is known here.

pub mod bench;
pub mod check;
pub mod fetch;
mod http;
mod imaging;
pub mod secret_file;
pub mod steps;
mod traces;
mod tries;
pub mod unknown;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use darkroom_jobs::{Kind, redis_keys::Keys};

pub use fetch::{Fetch, OpenedNetworks};
pub use http::{Address, Http};
pub use imaging::{Imaging, Memory};
pub use traces::Traces;
pub use tries::{Attempts, Limits};

/// A value that is never printed: no `Debug`, no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where Redis is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Redis")]
pub struct Redis {
    /// redis:// or rediss:// URL with user, password and database.
    #[arg(
        long,
        env = "DARKROOM_REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379"
    )]
    pub redis_url: Secret,
    /// First part of every key in Redis; one for each deployment.
    #[arg(long, env = "DARKROOM_NAMESPACE", default_value = "darkroom", value_parser = namespace)]
    pub namespace: Keys,
    /// Starts although Redis may evict keys (a maxmemory-policy other than noeviction): jobs can be lost.
    #[arg(long, env = "DARKROOM_ALLOW_EVICTION", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_eviction: bool,
}

/// Where pictures are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "S3")]
pub struct S3 {
    /// Address of the S3-compatible server; unset means AWS.
    #[arg(long, env = "S3_ENDPOINT_URL")]
    pub s3_endpoint_url: Option<String>,
    /// Region of the bucket.
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    /// Bucket of the finished pictures.
    #[arg(long, env = "S3_BUCKET")]
    pub s3_bucket: String,
    /// Bucket of the originals that wait; unset means S3_BUCKET.
    #[arg(long, env = "S3_STAGING_BUCKET")]
    pub s3_staging_bucket: Option<String>,
    /// Access key; unset means the AWS SDK's own chain.
    #[arg(long, env = "S3_ACCESS_KEY_ID")]
    pub s3_access_key_id: Option<String>,
    /// Secret of the access key.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_access_key: Option<Secret>,
    /// Puts the bucket into the path instead of the host name.
    #[arg(long, env = "S3_FORCE_PATH_STYLE", default_value_t = false, action = clap::ArgAction::Set)]
    pub s3_force_path_style: bool,
    /// Put before every object name, for a bucket that others use too.
    #[arg(long, env = "S3_PREFIX", default_value = "")]
    pub s3_prefix: String,
    /// PEM file of the certificate authorities to trust.
    #[arg(long, env = "S3_CA_BUNDLE")]
    pub s3_ca_bundle: Option<PathBuf>,
    /// Public address of the bucket, for `object.url` of product images.
    #[arg(long, env = "S3_PUBLIC_BASE_URL")]
    pub s3_public_base_url: Option<String>,
    /// Checksums that are sent with objects.
    #[arg(long, env = "S3_CHECKSUM", value_enum, default_value_t = Checksum::WhenRequired)]
    pub s3_checksum: Checksum,
    /// Whether objects are written with `If-None-Match: *`; `auto` asks the server once.
    #[arg(long, env = "S3_CONDITIONAL_WRITES", value_enum, default_value_t = Switch::Auto)]
    pub s3_conditional_writes: Switch,
    /// Server-side encryption: AES256, aws:kms or aws:kms:dsse.
    #[arg(long, env = "S3_SSE")]
    pub s3_sse: Option<String>,
    /// Key for server-side encryption with KMS.
    #[arg(long, env = "S3_KMS_KEY_ID")]
    pub s3_kms_key_id: Option<String>,
    /// Canned ACL of new objects; unset sends none, as buckets with an enforced owner ask.
    #[arg(long, env = "S3_ACL")]
    pub s3_acl: Option<String>,
    /// Milliseconds to connect to the S3 server.
    #[arg(long, env = "S3_CONNECT_TIMEOUT_MS", default_value = "3000", value_parser = milliseconds)]
    pub s3_connect_timeout: Duration,
    /// Milliseconds that one attempt of a request may take.
    #[arg(long, env = "S3_ATTEMPT_TIMEOUT_MS", default_value = "20000", value_parser = milliseconds)]
    pub s3_attempt_timeout: Duration,
    /// Milliseconds that a request may take with its repetitions.
    #[arg(long, env = "S3_OPERATION_TIMEOUT_MS", default_value = "45000", value_parser = milliseconds)]
    pub s3_operation_timeout: Duration,
}

/// Checksums that are sent with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Checksum {
    /// None but where the operation demands one.
    WhenRequired,
    /// CRC-32 in a header.
    Crc32,
    /// SHA-256 in a header.
    Sha256,
}

/// A setting that can find out for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Find out.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How jobs are run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Worker")]
pub struct Worker {
    /// Queues to serve.
    #[arg(
        long,
        env = "DARKROOM_QUEUES",
        value_delimiter = ',',
        default_value = "upload,ingest,delete,bucket_health"
    )]
    pub queues: Vec<Kind>,
    /// Uploads in work at once; unset means 2 for each core.
    #[arg(long, env = "DARKROOM_CONCURRENCY_UPLOAD", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency_upload: Option<u32>,
    /// Product images in work at once.
    #[arg(long, env = "DARKROOM_CONCURRENCY_INGEST", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency_ingest: u32,
    /// Deletions in work at once; unset means 2 for each core.
    #[arg(long, env = "DARKROOM_CONCURRENCY_DELETE", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency_delete: Option<u32>,
    /// Milliseconds a job stays ours after the last renewal.
    #[arg(long, env = "DARKROOM_LEASE_MS", default_value = "30000", value_parser = milliseconds)]
    pub lease: Duration,
    /// Milliseconds between two renewals of all leases.
    #[arg(long, env = "DARKROOM_HEARTBEAT_MS", default_value = "5000", value_parser = milliseconds)]
    pub heartbeat: Duration,
    /// Milliseconds between two searches for leases that ran out.
    #[arg(long, env = "DARKROOM_REAP_MS", default_value = "1000", value_parser = milliseconds)]
    pub reap: Duration,
    /// Milliseconds without a search for leases after which Redis counts as having been away: one lease of grace follows.
    #[arg(long, env = "DARKROOM_OUTAGE_MS", default_value = "15000", value_parser = milliseconds)]
    pub outage: Duration,
    /// Milliseconds before the first retry; doubles with each.
    #[arg(long, env = "DARKROOM_RETRY_BASE_MS", default_value = "5000", value_parser = milliseconds)]
    pub retry_base: Duration,
    /// Longest pause between two tries, in milliseconds.
    #[arg(long, env = "DARKROOM_RETRY_MAX_MS", default_value = "14400000", value_parser = milliseconds)]
    pub retry_max: Duration,
    /// Milliseconds that running jobs have to finish after SIGTERM.
    #[arg(long, env = "DARKROOM_SHUTDOWN_MS", default_value = "20000", value_parser = milliseconds)]
    pub shutdown: Duration,
    /// Milliseconds that settled jobs are remembered.
    #[arg(long, env = "DARKROOM_DONE_RETENTION_MS", default_value = "604800000", value_parser = milliseconds)]
    pub done_retention: Duration,
    /// Settled jobs that are remembered for each queue.
    #[arg(long, env = "DARKROOM_DONE_MAX", default_value_t = 100_000)]
    pub done_max: u64,
    /// Milliseconds that dead jobs are kept.
    #[arg(long, env = "DARKROOM_DEAD_RETENTION_MS", default_value = "7776000000", value_parser = milliseconds)]
    pub dead_retention: Duration,
    /// Dead jobs that are kept for each queue.
    #[arg(long, env = "DARKROOM_DEAD_MAX", default_value_t = 50_000)]
    pub dead_max: u64,
    /// Bytes of dead jobs that are kept for each queue.
    #[arg(long, env = "DARKROOM_DEAD_MAX_BYTES", default_value = "256MiB", value_parser = bytes)]
    pub dead_max_bytes: u64,
    /// Milliseconds that a tombstone is kept; longer than a dead job.
    #[arg(long, env = "DARKROOM_TOMBSTONE_MS", default_value = "8640000000", value_parser = milliseconds)]
    pub tombstone: Duration,
    /// Milliseconds after which a deleted image is looked for again.
    #[arg(long, env = "DARKROOM_SECOND_PASS_MS", default_value = "1200000", value_parser = milliseconds)]
    pub second_pass: Duration,
    /// Milliseconds from the deletion of an owner to each sweep after the first, which comes at once.
    #[arg(
        long,
        env = "DARKROOM_ERASE_SWEEPS_MS",
        value_delimiter = ',',
        default_value = "60000,1200000",
        value_parser = milliseconds
    )]
    pub erase_sweeps: Vec<Duration>,
    /// Milliseconds after which a sweep gives its slot to others, and goes on later.
    #[arg(long, env = "DARKROOM_ERASE_TURN_MS", default_value = "60000", value_parser = milliseconds)]
    pub erase_turn: Duration,
    /// Milliseconds between two looks at the bucket, one for all processes.
    #[arg(long, env = "DARKROOM_HEALTH_INTERVAL_MS", default_value = "60000", value_parser = milliseconds)]
    pub health_interval: Duration,
    /// Failures of the bucket in a row after which jobs that need it wait.
    #[arg(long, env = "DARKROOM_BREAKER_FAILURES", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub breaker_failures: u32,
    /// Milliseconds between two looks at a bucket that is down, in every process.
    #[arg(long, env = "DARKROOM_BREAKER_PROBE_MS", default_value = "5000", value_parser = milliseconds)]
    pub breaker_probe: Duration,
    /// Attempts of a job.
    #[command(flatten)]
    pub attempts: Attempts,
    /// How long a delivery may run, and what is not counted as an attempt.
    #[command(flatten)]
    pub limits: Limits,
    /// Where a test wants the worker to stop.
    #[cfg(feature = "test-hooks")]
    #[arg(long, env = "DARKROOM_TEST_STOP_AT", hide = true, value_delimiter = ';')]
    pub stop_at: Vec<steps::StopAt>,
}

/// What is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// What is logged, as tracing's filter directives.
    #[arg(long, env = "DARKROOM_LOG", default_value = "info", value_parser = log_filter, global = true)]
    pub log: String,
    /// How it is logged.
    #[arg(long, env = "DARKROOM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
}

/// What `darkroom dev` and `darkroom demo` start.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Development")]
pub struct Dev {
    /// Redis or Valkey server (7.0 or newer) to start; unset means the one on PATH, or the one that scripts/setup brought.
    #[arg(long, env = "DARKROOM_REDIS_SERVER")]
    pub redis_server: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One object per line.
    Json,
}

fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map_err(|error| format!("not a filter for logs: {error}"))?;
    Ok(text.to_owned())
}

fn namespace(text: &str) -> Result<Keys, String> {
    Keys::new(text).map_err(|error| error.to_string())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let ms = text.parse().map_err(|_| "expected a whole number of milliseconds".to_owned())?;
    Ok(Duration::from_millis(ms))
}

fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let found = UNITS.iter().find_map(|(name, size)| Some((text.strip_suffix(name)?, *size)));
    let (number, unit) = found.unwrap_or((text, 1));
    let number: u64 = number
        .trim()
        .parse()
        .map_err(|_| "expected bytes, or a whole number with KiB, MiB or GiB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too many bytes".to_owned())
}
