//! What is wrong with the settings: all of it at once, each with the name of its variable.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr, path::Path, time::Duration};

use clap::{Arg, Args, Command, error::ErrorKind};

use super::{Dev, Fetch, Http, Imaging, Log, Memory, Redis, S3, Traces, Worker, secret_file};

/// Every setting there is.
#[derive(Args, Clone, Debug)]
pub struct Everything {
    /// Where Redis is.
    #[command(flatten)]
    pub redis: Redis,
    /// Where pictures are kept.
    #[command(flatten)]
    pub s3: S3,
    /// How jobs are run.
    #[command(flatten)]
    pub worker: Worker,
    /// What pictures may be, and become.
    #[command(flatten)]
    pub imaging: Imaging,
    /// How originals are fetched from URLs.
    #[command(flatten)]
    pub fetch: Fetch,
    /// Where the HTTP service is, and who may use it.
    #[command(flatten)]
    pub http: Http,
    /// What is logged.
    #[command(flatten)]
    pub log: Log,
    /// Where traces go.
    #[command(flatten)]
    pub traces: Traces,
    /// What `dev` and `demo` start.
    #[command(flatten)]
    pub dev: Dev,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Its variable.
    pub variable: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Settings that cannot be used; exit code 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> =
            self.0.iter().map(|Problem { variable, message }| format!("{variable}: {message}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Every variable that means something to an operator of darkroom; what is hidden is for its own tests.
pub fn variables() -> BTreeSet<String> {
    let command = Everything::augment_args(Command::new("darkroom"));
    let names = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(variable_of);
    names.chain(secret_file::WITH_FILE.iter().map(|name| secret_file::twin(name))).collect()
}

/// What the environment gets wrong of the settings that a command has, each looked at by itself.
pub fn environment(command: &Command) -> Vec<Problem> {
    command.get_arguments().filter_map(problem_of).collect()
}

/// A group of settings as the environment has it, for a command that needs the group only in some of its calls.
///
/// # Errors
///
/// Every setting of the group that is missing, does not parse, or is wrong `together` with others.
pub fn of_environment<A: Args>(together: impl Fn(&A) -> Vec<Problem>) -> Result<A, Problems> {
    let command = secret_file::honoured(A::augment_args(Command::new("darkroom").disable_help_flag(true)));
    let alone = environment(&command);
    let found = mended(command, &alone).try_get_matches_from(["darkroom"]);
    match found.and_then(|found| A::from_arg_matches(&found)) {
        Ok(group) => {
            let problems = joined(alone, together(&group));
            if problems.is_empty() { Ok(group) } else { Err(Problems(problems)) }
        }
        Err(error) => Err(Problems(joined(alone, unparsed(error)))),
    }
}

/// Why settings did not parse although each was looked at by itself: it is about the group, and names its settings.
#[expect(clippy::needless_pass_by_value, reason = "it stands in the place of what would have been parsed")]
pub fn unparsed(error: clap::Error) -> Vec<Problem> {
    vec![wrong("settings", sentence(&error))]
}

/// A command that parses whatever the environment gets wrong: each of those settings has its default, or `unset`.
/// What the others contradict in each other can be told then; what is said of the wrong ones themselves means nothing.
pub fn mended(command: Command, problems: &[Problem]) -> Command {
    let is_wrong = |arg: &Arg| {
        variable_of(arg).is_some_and(|name| problems.iter().any(|problem| problem.variable == name))
    };
    let command = command.mut_args(|arg| {
        if !is_wrong(&arg) {
            return arg;
        }
        // The default of a secret may be the file that cannot be read.
        let names_file = secret_file::WITH_FILE.iter().any(|name| variable_of(&arg).as_deref() == Some(name));
        let needs_value = arg.is_required_set() || names_file;
        let arg = arg.env(None::<&'static str>).required(false);
        if needs_value { arg.default_value("unset") } else { arg }
    });
    command.mut_subcommands(|below| mended(below, problems))
}

/// What is wrong by itself, and what is wrong together about settings that are right by themselves.
pub fn joined(alone: Vec<Problem>, together: Vec<Problem>) -> Vec<Problem> {
    let is_new = |new: &Problem| alone.iter().all(|known| known.variable != new.variable);
    let together: Vec<_> = together.into_iter().filter(is_new).collect();
    [alone, together].concat()
}

/// What does not go together in the settings of a worker; `servers` are those that it does not start itself.
pub fn of_worker(
    servers: Option<(&Redis, &S3)>,
    worker: &Worker,
    imaging: &Imaging,
    fetch: &Fetch,
    http: &Http,
) -> Vec<Problem> {
    let servers = servers.map(|(redis, s3)| [redis.problems(), s3.problems()].concat());
    let own = [worker.problems(), imaging.problems(), fetch.problems(), http.problems()].concat();
    [servers.unwrap_or_default(), own].concat()
}

/// Settings that are right by themselves, but not together.
pub fn together(checks: impl IntoIterator<Item = Vec<Problem>>) -> Result<(), Problems> {
    let problems: Vec<_> = checks.into_iter().flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn variable_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

fn problem_of(arg: &Arg) -> Option<Problem> {
    let variable = variable_of(arg)?;
    let alone = Command::new("darkroom").disable_help_flag(true).arg(arg.clone());
    let error = alone.try_get_matches_from(["darkroom"]).err()?;
    let message = match error.kind() {
        ErrorKind::MissingRequiredArgument => "is not set".to_owned(),
        _ => sentence(&error),
    };
    Some(Problem { variable, message })
}

/// What the value's own parser said, or clap's list of what is possible; never the value of a secret.
fn sentence(error: &clap::Error) -> String {
    use std::error::Error as _;

    if let Some(source) = error.source() {
        return source.to_string();
    }
    let text = error.to_string();
    let lines: Vec<_> =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("For more")).collect();
    lines.join(" ").trim_start_matches("error: ").trim().to_owned()
}

fn wrong(variable: &str, message: impl Into<String>) -> Problem {
    Problem { variable: variable.to_owned(), message: message.into() }
}

/// Keeps the problems whose condition holds.
pub(super) fn those<const N: usize>(rules: [(bool, &str, String); N]) -> Vec<Problem> {
    rules.into_iter().filter(|rule| rule.0).map(|(_, variable, message)| wrong(variable, message)).collect()
}

impl Redis {
    /// What a URL of Redis has to look like.
    pub fn problems(&self) -> Vec<Problem> {
        let url = self.redis_url.reveal();
        let known = ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
        // What the client says of a URL never repeats it.
        let refused = redis::Client::open(url).err().map(|error| error.to_string());
        those([
            (!known, "DARKROOM_REDIS_URL", "starts with redis:// or rediss://, and names a host".into()),
            (known && refused.is_some(), "DARKROOM_REDIS_URL", refused.unwrap_or_default()),
        ])
    }
}

impl S3 {
    /// Addresses, credentials and time-outs that do not fit.
    pub fn problems(&self) -> Vec<Problem> {
        let only_id = self.s3_access_key_id.is_some() && self.s3_secret_access_key.is_none();
        let only_secret = self.s3_access_key_id.is_none() && self.s3_secret_access_key.is_some();
        let bundle = self.s3_ca_bundle.as_deref();
        let kms = self.s3_sse.as_deref().is_some_and(|sse| sse.starts_with("aws:kms"));
        those([
            (!is_bucket(&self.s3_bucket), "S3_BUCKET", BUCKET.into()),
            (!self.s3_staging_bucket.as_deref().is_none_or(is_bucket), "S3_STAGING_BUCKET", BUCKET.into()),
            (!is_address(self.s3_endpoint_url.as_deref()), "S3_ENDPOINT_URL", ADDRESS.into()),
            (!is_address(self.s3_public_base_url.as_deref()), "S3_PUBLIC_BASE_URL", ADDRESS.into()),
            (!is_prefix(&self.s3_prefix), "S3_PREFIX", PREFIX.into()),
            (only_id, "S3_SECRET_ACCESS_KEY", "is not set, but S3_ACCESS_KEY_ID is".into()),
            (only_secret, "S3_ACCESS_KEY_ID", "is not set, but S3_SECRET_ACCESS_KEY is".into()),
            (!bundle.is_none_or(Path::is_file), "S3_CA_BUNDLE", "is not a file that exists".into()),
            (
                self.s3_kms_key_id.is_some() && !kms,
                "S3_KMS_KEY_ID",
                "needs S3_SSE to be aws:kms or aws:kms:dsse".into(),
            ),
            (
                self.s3_attempt_timeout > self.s3_operation_timeout,
                "S3_ATTEMPT_TIMEOUT_MS",
                "is longer than S3_OPERATION_TIMEOUT_MS".into(),
            ),
        ])
    }
}

const BUCKET: &str = "is 3 to 63 lower-case letters, digits, `-` and `.`, begins and ends with a letter or digit, and has no `..`";
const ADDRESS: &str = "is an address like https://fsn1.your-objectstorage.com, without a query";
const PREFIX: &str =
    "is empty, or like `media/`: letters, digits, `_`, `.`, `-`, `/`, ends in `/`, without `..` or `//`";

pub(super) fn is_address(url: Option<&str>) -> bool {
    let Some(url) = url else { return true };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && !rest.contains(|c: char| "?#@".contains(c) || c.is_whitespace())
    })
}

/// S3's rule for names, but for those that only AWS keeps for itself; the ARN of an access point stands for a bucket.
fn is_bucket(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let inside = !name.starts_with(['-', '.']) && !name.ends_with(['-', '.']) && !name.contains("..");
    let is_name = (3..=63).contains(&name.len()) && inside && name.chars().all(allowed);
    name.starts_with("arn:") || (is_name && name.parse::<Ipv4Addr>().is_err())
}

fn is_prefix(prefix: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let safe = !prefix.starts_with('/') && !prefix.contains("..") && !prefix.contains("//");
    prefix.is_empty() || (prefix.ends_with('/') && safe && prefix.chars().all(allowed))
}

/// Handing back takes up to 7 s when Redis is slow, and a worker is gone 28 s after the signal.
const MOST_SHUTDOWN: Duration = Duration::from_secs(20);

impl Worker {
    /// Times that do not fit.
    pub fn problems(&self) -> Vec<Problem> {
        let least = |variable, value: Duration| {
            (value < Duration::from_millis(10), variable, "is at least 10".to_owned())
        };
        let second = |variable, value: Duration| {
            (value < Duration::from_secs(1), variable, "is at least 1000".to_owned())
        };
        those([
            least("DARKROOM_HEARTBEAT_MS", self.heartbeat),
            least("DARKROOM_REAP_MS", self.reap),
            least("DARKROOM_RETRY_BASE_MS", self.retry_base),
            least("DARKROOM_BREAKER_PROBE_MS", self.breaker_probe),
            second("DARKROOM_HEALTH_INTERVAL_MS", self.health_interval),
            second("DARKROOM_TIMEOUT_UPLOAD_MS", self.limits.timeout_upload),
            second("DARKROOM_TIMEOUT_INGEST_MS", self.limits.timeout_ingest),
            second("DARKROOM_TIMEOUT_DELETE_MS", self.limits.timeout_delete),
            (
                self.heartbeat * 2 > self.lease,
                "DARKROOM_LEASE_MS",
                "is less than twice DARKROOM_HEARTBEAT_MS: one late renewal would lose every job".into(),
            ),
            (
                self.lease > Duration::from_secs(3600),
                "DARKROOM_LEASE_MS",
                "is more than an hour: the job of a worker that died would wait as long".into(),
            ),
            (
                self.shutdown > MOST_SHUTDOWN,
                "DARKROOM_SHUTDOWN_MS",
                "is more than 20000: what is left is handed back after it, and supervisors kill after 28 s".into(),
            ),
            (self.reap > self.outage, "DARKROOM_OUTAGE_MS", "is shorter than DARKROOM_REAP_MS".into()),
            (self.retry_base > self.retry_max, "DARKROOM_RETRY_MAX_MS", "is shorter than DARKROOM_RETRY_BASE_MS".into()),
            (
                self.tombstone <= self.dead_retention,
                "DARKROOM_TOMBSTONE_MS",
                "is not longer than DARKROOM_DEAD_RETENTION_MS: a dead job could bring a deleted picture back".into(),
            ),
            (
                self.erase_sweeps.is_empty() || !self.erase_sweeps.is_sorted(),
                "DARKROOM_ERASE_SWEEPS_MS",
                "is not a list of times from the first to the last".into(),
            ),
            (
                self.erase_turn * 2 > self.limits.timeout_delete,
                "DARKROOM_ERASE_TURN_MS",
                "is more than half of DARKROOM_TIMEOUT_DELETE_MS: the job's time could be over before it has put itself off".into(),
            ),
            (self.queues.is_empty(), "DARKROOM_QUEUES", "names no queue".into()),
        ])
    }
}

/// Less decodes no photo of a phone; it is bytes where MiB were meant.
const LEAST_IMAGE_MEMORY: u64 = 64 << 20;
/// More is no machine's.
const MOST_IMAGE_MEMORY: u64 = 1 << 40;

impl Imaging {
    /// Limits that no picture could pass.
    pub fn problems(&self) -> Vec<Problem> {
        let positive = |variable, value: u64| (value == 0, variable, "is at least 1".to_owned());
        let memory = match self.image_memory {
            Memory::Bytes(bytes) => bytes,
            Memory::Percent(_) => LEAST_IMAGE_MEMORY,
        };
        those([
            (
                !(LEAST_IMAGE_MEMORY..=MOST_IMAGE_MEMORY).contains(&memory),
                "DARKROOM_IMAGE_MEMORY",
                "is 64MiB to 1024GiB, or a share like 60%; a number alone is bytes".into(),
            ),
            positive("DARKROOM_MAX_PIXELS", self.max_pixels),
            positive("DARKROOM_MAX_SIDE", self.max_side.into()),
            positive("DARKROOM_MAX_ASPECT_RATIO", self.max_aspect_ratio.into()),
            positive("DARKROOM_MAX_JPEG_SCANS", self.max_jpeg_scans.into()),
            (
                self.max_decode_work < self.max_pixels,
                "DARKROOM_MAX_DECODE_WORK",
                "is less than DARKROOM_MAX_PIXELS".into(),
            ),
            (
                !(0.0..=1.0).contains(&self.min_decoded_fraction),
                "DARKROOM_MIN_DECODED_FRACTION",
                "is between 0 and 1".into(),
            ),
            positive("DARKROOM_DECODE_TIMEOUT_MS", self.decode_timeout.as_millis() as u64),
        ])
    }
}

impl Everything {
    /// Every setting that does not go with the others.
    pub fn problems(&self) -> Vec<Problem> {
        of_worker(Some((&self.redis, &self.s3)), &self.worker, &self.imaging, &self.fetch, &self.http)
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
