//! Secrets in files: `DARKROOM_REDIS_URL_FILE=/run/secrets/redis` instead of `DARKROOM_REDIS_URL`.

use std::{env, ffi::OsStr, fs, path::Path};

use clap::{Command, builder::ValueParser};

use super::Secret;

/// Variables that have a `…_FILE` twin.
pub const WITH_FILE: [&str; 4] = ["DARKROOM_REDIS_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", LIST];

/// The one of them that is a list, separated by commas.
const LIST: &str = "DARKROOM_API_TOKENS";

/// Makes a command, and those below it, read secrets from the files that the environment names.
///
/// A file is read only when its setting is asked for, and only then can a file that is not there be an error.
#[expect(clippy::disallowed_methods, reason = "config reads the environment")]
pub fn honoured(command: Command) -> Command {
    WITH_FILE.iter().fold(command, |command, variable| {
        let Some(path) = env::var_os(twin(variable)) else { return command };
        with_file(command, variable, &path, env::var_os(variable).is_some())
    })
}

/// The variable that names the file.
pub fn twin(variable: &str) -> String {
    format!("{variable}_FILE")
}

fn with_file(command: Command, variable: &'static str, path: &OsStr, taken: bool) -> Command {
    let file = twin(variable);
    let refusal = match path.to_str() {
        _ if taken => Some(format!("{variable} and {file} are both set, keep one")),
        None => Some(format!("the path in {file} is not UTF-8")),
        Some(_) => None,
    };
    default_to(command, variable, &path.to_string_lossy(), refusal.as_deref())
}

fn default_to(command: Command, variable: &'static str, path: &str, refusal: Option<&str>) -> Command {
    let command = command.mut_args(|arg| {
        if arg.get_env().is_none_or(|env| env != variable) {
            return arg;
        }
        let is_secret = arg.is_hide_env_values_set();
        let parser = parser(variable, path.to_owned(), refusal.map(str::to_owned), is_secret);
        // clap keeps defaults for as long as the process lives.
        let default: &'static str = path.to_owned().leak();
        arg.value_parser(parser).default_value(default).hide_default_value(true)
    });
    command.mut_subcommands(|below| default_to(below, variable, path, refusal))
}

/// The path is the default; whatever else comes was given on the command line, or by the variable itself.
fn parser(variable: &'static str, path: String, refusal: Option<String>, is_secret: bool) -> ValueParser {
    let read = move |text: &str| match &refusal {
        Some(refusal) => Err(refusal.clone()),
        None if text == path => secret_in(Path::new(text), variable),
        None => Ok(text.to_owned()),
    };
    if is_secret {
        ValueParser::from(move |text: &str| read(text).map(Secret::from))
    } else {
        ValueParser::from(read)
    }
}

/// Its one line; of a list, each line is an item.
fn secret_in(path: &Path, variable: &str) -> Result<String, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the file that {} names cannot be read: {error}", twin(variable)))?;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [] => Err(format!("the file that {} names is empty", twin(variable))),
        [line] => Ok(line.to_owned()),
        _ if variable == LIST => Ok(lines.join(",")),
        _ => Err(format!("the file that {} names has {} lines, not one", twin(variable), lines.len())),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::config::Redis;

    fn parse(path: &str, taken: bool, argv: &[&str]) -> Result<Redis, String> {
        let command = Redis::augment_args(Command::new("darkroom"));
        let command = with_file(command, "DARKROOM_REDIS_URL", path.as_ref(), taken);
        let matches = command.try_get_matches_from(argv).map_err(|error| error.to_string())?;
        Redis::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_the_one_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "redis://:hush@redis/0\n").unwrap();

        let redis = parse(path.to_str().unwrap(), false, &["darkroom"]).unwrap();

        assert_eq!(redis.redis_url.reveal(), "redis://:hush@redis/0");
    }

    #[test]
    fn a_file_of_more_lines_is_refused_unless_each_of_them_is_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        fs::write(&path, "\none\ntwo, three\n\n").unwrap();

        let url = parse(path.to_str().unwrap(), false, &["darkroom"]).unwrap_err();
        let tokens = secret_in(&path, "DARKROOM_API_TOKENS").unwrap();

        assert!(url.contains("DARKROOM_REDIS_URL_FILE names has 2 lines, not one"), "{url}");
        assert_eq!(tokens, "one,two, three");
    }

    #[test]
    #[cfg(unix)]
    fn a_path_that_is_not_utf_8_is_refused_by_the_name_of_its_variable() {
        use std::os::unix::ffi::OsStrExt as _;
        let command = Redis::augment_args(Command::new("darkroom"));
        let command = with_file(command, "DARKROOM_REDIS_URL", OsStr::from_bytes(b"/run/\xff"), false);

        let refused = command.try_get_matches_from(["darkroom"]).unwrap_err().to_string();

        assert!(refused.contains("the path in DARKROOM_REDIS_URL_FILE is not UTF-8"), "{refused}");
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let redis = parse("/nowhere", false, &["darkroom", "--redis-url", "redis://here"]).unwrap();

        assert_eq!(redis.redis_url.reveal(), "redis://here");
    }

    #[test]
    fn a_file_that_is_missing_and_a_secret_given_twice_are_told_by_the_name_of_the_variable() {
        let missing = parse("/nowhere", false, &["darkroom"]).unwrap_err();
        let twice = parse("/nowhere", true, &["darkroom"]).unwrap_err();

        assert!(missing.contains("DARKROOM_REDIS_URL_FILE names cannot be read"), "{missing}");
        assert!(twice.contains("DARKROOM_REDIS_URL and DARKROOM_REDIS_URL_FILE are both set"), "{twice}");
    }
}
