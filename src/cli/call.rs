//! Tells a wrong call from a wrong setting: the first is the caller's (2), the second the operator's (78).

use std::{collections::BTreeSet, ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Command, CommandFactory, error::ErrorKind};

use super::{CONFIGURATION, out, version};
use crate::config::{
    check::{self, Problem, Problems},
    secret_file, unknown,
};

/// Parses the command line. When a setting in the environment is what it fails for, all that are wrong are told, also
/// those that are wrong `together`.
///
/// # Errors
///
/// The exit code, once it was told why.
pub fn understand<C: CommandFactory>(
    argv: Vec<OsString>,
    together: impl Fn(&ArgMatches) -> Vec<Problem>,
) -> Result<ArgMatches, ExitCode> {
    let command = secret_file::honoured(C::command());
    let error = match command.clone().try_get_matches_from(&argv) {
        Ok(matches) => return Ok(matches),
        Err(error) => error,
    };
    if version::asked(&error, &argv) {
        let told = out::line(version::long());
        return Err(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let problems = match error.kind() {
        ErrorKind::ValueValidation
        | ErrorKind::InvalidValue
        | ErrorKind::InvalidUtf8
        | ErrorKind::MissingRequiredArgument => {
            let alone = problems(command.clone(), &argv);
            let mended = check::mended(command, &alone).try_get_matches_from(&argv);
            if let Ok(matches) = &mended
                && matches.subcommand_name() == Some("config")
            {
                // It looks at the environment itself, and tells more than the settings of one command.
                return Ok(matches.clone());
            }
            check::joined(alone, mended.map(|matches| together(&matches)).unwrap_or_default())
        }
        _ => Vec::new(),
    };
    if problems.is_empty() {
        error.exit();
    }
    eprintln!("{}", Problems(problems));
    // The variable that is missing may be there, under a name with a typo.
    for unknown in unknown::in_environment() {
        eprintln!("{}: {unknown}", unknown.variable);
    }
    Err(ExitCode::from(CONFIGURATION))
}

/// What is wrong in the environment of the subcommand that was called; settings given as flags are not looked at.
fn problems(mut command: Command, argv: &[OsString]) -> Vec<Problem> {
    command.build();
    let mut asked = &command;
    let mut flags = Vec::new();
    for word in argv.iter().skip(1).map(|word| word.to_string_lossy()) {
        match asked.find_subcommand(word.as_ref()) {
            Some(below) => asked = below,
            None => flags
                .extend(word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap_or("").to_owned())),
        }
    }
    if std::ptr::eq(asked, &raw const command) {
        return Vec::new();
    }
    let given = asked.clone().mut_args(|arg| match arg.get_long() {
        Some(long) if flags.iter().any(|flag| flag == long) => arg.required(false).env(None::<&'static str>),
        _ => arg,
    });
    // What every subcommand takes is found in both.
    let found: BTreeSet<_> =
        check::environment(&command).into_iter().chain(check::environment(&given)).collect();
    found.into_iter().collect()
}
