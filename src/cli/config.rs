//! `darkroom config check`: every wrong setting at once.

use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Subcommand};

use super::{CONFIGURATION, out};
use crate::config::{
    check::{self, Everything, Problem},
    secret_file,
};

/// Looks at the settings.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Tells every setting that cannot be used, without connecting to anything.
    Check {
        /// One JSON object per wrong setting, on stdout.
        #[arg(long)]
        json: bool,
    },
}

/// Looks at the environment as a worker would.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let Config::Check { json } = config;
    let problems = problems();
    for problem in &problems {
        if *json {
            out::line(serde_json::to_string(problem)?)?;
        } else {
            out::line(format_args!("{}: {}", problem.variable, problem.message))?;
        }
    }
    if !problems.is_empty() {
        return Ok(ExitCode::from(CONFIGURATION));
    }
    if !json {
        out::line("every setting can be used")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// First each setting by itself; then, with others in the place of the wrong ones, all together.
fn problems() -> Vec<Problem> {
    let command = secret_file::honoured(Everything::augment_args(clap::Command::new("darkroom")));
    let problems = check::environment(&command);
    let rest = check::mended(command, &problems);
    let settings =
        rest.try_get_matches_from(["darkroom"]).and_then(|found| Everything::from_arg_matches(&found));
    let together = settings.map_or_else(check::unparsed, |settings| settings.problems());
    check::joined(problems, together)
}
