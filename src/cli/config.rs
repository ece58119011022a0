//! `darkroom config check`: every wrong setting at once.

use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Subcommand};
use serde_json::json;

use super::{CONFIGURATION, out};
use crate::config::{
    check::{self, Everything, Problem},
    secret_file, unknown,
};

/// Looks at the settings.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Tells every setting that cannot be used, without connecting to anything.
    ///
    /// Also warns of variables that look like settings and are none; those alone do not make it fail.
    Check {
        /// One JSON object per wrong setting or warning, on stdout.
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
    for Problem { variable, message } in &problems {
        tell(*json, "error", variable, message)?;
    }
    for unknown in unknown::in_environment() {
        tell(*json, "warning", &unknown.variable, &unknown.to_string())?;
    }
    if !problems.is_empty() {
        return Ok(ExitCode::from(CONFIGURATION));
    }
    if !json {
        out::line("every setting can be used")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(json: bool, level: &str, variable: &str, message: &str) -> anyhow::Result<()> {
    if json {
        return out::line(json!({ "level": level, "variable": variable, "message": message }));
    }
    let mark = if level == "warning" { "warning: " } else { "" };
    out::line(format_args!("{mark}{variable}: {message}"))
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
