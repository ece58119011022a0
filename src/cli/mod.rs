//! The command line: one file per subcommand, each asking only for the settings it uses.
//!
//! Exit codes: 0 · 1 refused · 2 wrong call · 70 died inside · 75 restart me · 78 configuration.

#[cfg(feature = "dev")]
pub mod bench;
mod call;
mod common;
pub mod completions;
pub mod config;
mod connect;
#[cfg(feature = "dev")]
pub mod demo;
#[cfg(feature = "dev")]
pub mod dev;
pub mod enqueue;
pub mod health;
pub mod jobs;
mod media_type;
pub mod normalize;
mod originals;
mod out;
pub mod queue;
pub mod schema;
mod service;
mod signal;
pub mod storage;
mod version;
pub mod worker;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches, Parser, Subcommand};
use redis::RedisError;

use crate::{
    config::{
        Http, Imaging, Log, Redis, S3, Traces, Worker,
        check::{Problem, Problems},
    },
    queue::boot,
    sandbox::child,
    telemetry,
};

/// A wrong call; what clap says too.
pub const WRONG_CALL: u8 = 2;
/// A setting cannot be used.
pub const CONFIGURATION: u8 = 78;

/// A call that parses, and still cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongCall(pub String);

/// Normalizes pictures in the background, and keeps them in a bucket.
///
/// Settings come from flags or from environment variables; `darkroom config check` tells every one that is wrong.
/// Results go to standard output, everything else to standard error; `--json` prints one object on each line.
/// Exit codes: 0 done, 1 refused, 2 wrong call, 70 died inside, 75 restart me, 78 configuration.
#[derive(Debug, Parser)]
#[command(name = "darkroom", version, max_term_width = 110)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// With --version: what this binary is made of.
    #[arg(short, long, requires = "version")]
    verbose: bool,
    #[command(flatten)]
    log: Log,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for as long as the process lives")]
enum Command {
    Worker(worker::Worker),
    #[cfg(feature = "dev")]
    Dev(dev::Dev),
    #[cfg(feature = "dev")]
    Demo(demo::Demo),
    #[cfg(feature = "dev")]
    Bench(bench::Bench),
    Enqueue(enqueue::Enqueue),
    Jobs(jobs::Jobs),
    Queue(queue::Queue),
    Storage(storage::Bucket),
    Normalize(normalize::Normalize),
    Health(health::Health),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(config::Config),
    Schema(schema::Schema),
    Completions(completions::Completions),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    // Before anything else: it has no use for settings, threads or TLS, and must not be able to learn of them.
    if words.get(1).is_some_and(|word| word == child::SUBCOMMAND) {
        return child::run(&words[2..]);
    }
    let line = match call::understand::<CommandLine>(words, contradictions) {
        Ok(matches) => CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        Err(exit) => return exit,
    };
    // The first provider of a process stays: TLS to Redis and S3 is ring's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a machine that runs processes has threads");
    let entered = runtime.enter();
    let export = telemetry::start(&line.command.log(line.log), line.command.traces());
    drop(entered);
    let ended = runtime.block_on(line.command.run()).unwrap_or_else(|error| {
        if error.is::<WrongCall>() {
            eprintln!("error: {error}\n\nFor more information, try '--help'.");
        } else if !out::reader_is_gone(&error) {
            eprintln!("{error:#}");
        }
        exit_code_of(&error)
    });
    export.end();
    // A read of standard input that nobody answers must not hold the process.
    runtime.shutdown_background();
    ended
}

/// Settings of a call that are right by themselves, but not together: in every group that its subcommand takes.
fn contradictions(matches: &ArgMatches) -> Vec<Problem> {
    let asked = std::iter::successors(Some(matches), |above| Some(above.subcommand()?.1)).last();
    let asked = asked.unwrap_or(matches);
    [
        contradictions_of(asked, "namespace", Redis::problems),
        contradictions_of(asked, "s3_bucket", S3::problems),
        contradictions_of(asked, "lease", Worker::problems),
        contradictions_of(asked, "max_pixels", Imaging::problems),
        contradictions_of(asked, "http_addr", Http::problems),
    ]
    .concat()
}

/// Those of one group, if it is there: `member` is a setting of its own that always has a value.
fn contradictions_of<G: FromArgMatches>(
    matches: &ArgMatches,
    member: &str,
    problems: fn(&G) -> Vec<Problem>,
) -> Vec<Problem> {
    match matches.try_contains_id(member) {
        Ok(true) => G::from_arg_matches(matches).map(|group| problems(&group)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

impl Command {
    /// Where spans go, for the commands that run jobs.
    fn traces(&self) -> Option<&Traces> {
        match self {
            Self::Worker(args) => Some(&args.traces),
            #[cfg(feature = "dev")]
            Self::Dev(args) => Some(&args.traces),
            _ => None,
        }
    }

    /// What is logged; a benchmark would measure lines about jobs too.
    fn log(&self, log: Log) -> Log {
        match self {
            #[cfg(feature = "dev")]
            Self::Bench(_) => Log { log: "warn".into(), ..log },
            _ => log,
        }
    }

    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Worker(args) => worker::run(args).await,
            #[cfg(feature = "dev")]
            Self::Dev(args) => dev::run(args).await,
            #[cfg(feature = "dev")]
            Self::Demo(args) => demo::run(args).await,
            #[cfg(feature = "dev")]
            Self::Bench(args) => bench::run(args).await,
            Self::Enqueue(args) => enqueue::run(args).await,
            Self::Jobs(args) => jobs::run(args).await,
            Self::Queue(args) => queue::run(args).await,
            Self::Storage(args) => storage::run(args).await,
            Self::Normalize(args) => normalize::run(args).await,
            Self::Health(args) => health::run(args).await,
            Self::Config(config) => config::run(&config),
            Self::Schema(args) => schema::run(&args),
            Self::Completions(args) => completions::run(&args),
        }
    }
}

fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    let fatal = error.chain().find_map(|cause| cause.downcast_ref::<crate::worker::Fatal>());
    if let Some(fatal) = fatal {
        ExitCode::from(fatal.exit_code())
    } else if error.chain().any(|cause| cause.is::<Problems>() || is_login(cause)) {
        ExitCode::from(CONFIGURATION)
    } else if error.is::<WrongCall>() {
        ExitCode::from(WRONG_CALL)
    } else {
        ExitCode::FAILURE
    }
}

/// Whether Redis refuses us: trying again is of no use, as with any other wrong setting.
fn is_login(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<RedisError>().is_some_and(boot::is_login)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
