//! `darkroom completions`: what a shell needs to complete our words.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{CommandLine, out};

/// Prints what a shell needs to complete our words.
///
/// source <(darkroom completions bash)
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(args: &Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "darkroom", &mut script);
    out::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
