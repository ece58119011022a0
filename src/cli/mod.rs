//! The command line: one file per subcommand, each asking only for the settings it uses.
//!
//! Exit codes: 0 · 1 refused · 2 wrong call · 70 died inside · 75 restart me · 78 configuration.

mod call;
pub mod config;
#[cfg(feature = "dev")]
pub mod demo;
#[cfg(feature = "dev")]
pub mod dev;
pub mod enqueue;
pub mod health;
pub mod jobs;
pub mod normalize;
mod service;
mod signal;
pub mod worker;

use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::config::{Log, Traces, check::Problems};
use crate::telemetry;

/// A wrong call; what clap says too.
pub const WRONG_CALL: u8 = 2;
/// A setting cannot be used.
pub const CONFIGURATION: u8 = 78;

/// Normalizes pictures in the background, and keeps them in a bucket.
///
/// Settings come from flags or from environment variables; `darkroom config check` tells every one that is wrong.
#[derive(Debug, Parser)]
#[command(name = "darkroom", version, propagate_version = true, max_term_width = 110)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
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
    Enqueue(enqueue::Enqueue),
    Jobs(jobs::Jobs),
    Normalize(normalize::Normalize),
    Health(health::Health),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(config::Config),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let line = match call::understand::<CommandLine>(std::env::args_os().collect()) {
        Ok(matches) => CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        Err(exit) => return exit,
    };
    // The first provider of a process stays: TLS to Redis and S3 is ring's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a machine that runs processes has threads");
    let entered = runtime.enter();
    let export = telemetry::start(&line.log, line.command.traces());
    drop(entered);
    let ended = runtime.block_on(line.command.run()).unwrap_or_else(|error| {
        eprintln!("darkroom: {error:#}");
        exit_code_of(&error)
    });
    export.end();
    ended
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

    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Worker(args) => worker::run(args).await,
            #[cfg(feature = "dev")]
            Self::Dev(args) => dev::run(args).await,
            #[cfg(feature = "dev")]
            Self::Demo(args) => demo::run(args).await,
            Self::Enqueue(args) => enqueue::run(args).await,
            Self::Jobs(args) => jobs::run(args).await,
            Self::Normalize(args) => normalize::run(args).await,
            Self::Health(args) => health::run(args).await,
            Self::Config(config) => Ok(config::run(&config)),
        }
    }
}

fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    let configuration = error.chain().any(|cause| cause.is::<Problems>());
    ExitCode::from(if configuration { CONFIGURATION } else { 1 })
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
