//! `darkroom config check`: every wrong setting at once, and what the machine lacks.

use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Subcommand};
use serde_json::json;

use super::{CONFIGURATION, out};
use crate::{
    config::{
        check::{self, Everything, Problem},
        secret_file, unknown,
    },
    sandbox::{self, held::Lack},
};

/// Looks at the settings.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Tells every setting that cannot be used, without connecting to anything.
    ///
    /// Also warns of variables that look like settings and are none, and of what this machine lacks to hold decoders
    /// (Landlock, seccomp), for which one is started; warnings alone do not make it fail.
    Check {
        /// One JSON object per wrong setting or warning, on stdout; `variable` names the setting, `machine` what the
        /// machine lacks.
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
        tell(*json, "error", ("variable", variable), message)?;
    }
    for unknown in unknown::in_environment() {
        tell(*json, "warning", ("variable", &unknown.variable), &unknown.to_string())?;
    }
    for (part, message) in lacks() {
        tell(*json, "warning", ("machine", part), &message)?;
    }
    if !problems.is_empty() {
        return Ok(ExitCode::from(CONFIGURATION));
    }
    if !json {
        out::line("every setting can be used")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(json: bool, level: &str, (what, name): (&str, &str), message: &str) -> anyhow::Result<()> {
    if json {
        return out::line(json!({ "level": level, what: name, "message": message }));
    }
    let mark = if level == "warning" { "warning: " } else { "" };
    out::line(format_args!("{mark}{name}: {message}"))
}

/// Parts of the wall around decoders that this machine does not have.
fn lacks() -> Vec<(&'static str, String)> {
    match sandbox::held_by() {
        Ok(held_by) => {
            held_by.lacks().into_iter().map(|Lack { part, message }| (part, message.into())).collect()
        }
        Err(error) => {
            vec![("decoders", format!("none can be started here: {:#}", anyhow::Error::new(error)))]
        }
    }
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
