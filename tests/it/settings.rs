//! Settings: `.env.example` lists them all, and `darkroom config check` tells all that are wrong at once.

use std::{collections::BTreeSet, fs, process::Command};

use darkroom::config::check;

#[test]
fn the_example_lists_exactly_the_variables_that_darkroom_knows() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();

    let listed: BTreeSet<_> = example.lines().filter_map(variable).map(str::to_owned).collect();

    assert_eq!(listed, check::variables());
}

#[test]
fn every_wrong_setting_is_told_at_once_and_the_exit_code_is_that_of_configuration() {
    let output = check_with(&[
        ("DARKROOM_DECODE_TIMEOUT_MS", "soon"),
        ("S3_FORCE_PATH_STYLE", "perhaps"),
        ("DARKROOM_IMAGE_MEMORY", "200%"),
    ]);

    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["DARKROOM_DECODE_TIMEOUT_MS", "S3_FORCE_PATH_STYLE", "DARKROOM_IMAGE_MEMORY", "S3_BUCKET"] {
        assert!(text.contains(&format!("\"variable\":\"{name}\"")), "{name} is missing in\n{text}");
    }
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_wrong_setting_of_the_log_hides_no_other() {
    let output = check_with(&[("DARKROOM_LOG", "x=y"), ("S3_FORCE_PATH_STYLE", "perhaps")]);

    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["DARKROOM_LOG", "S3_FORCE_PATH_STYLE", "S3_BUCKET"] {
        assert!(text.contains(&format!("\"variable\":\"{name}\"")), "{name} is missing in\n{text}");
    }
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_url_of_redis_that_no_client_understands_is_told_by_its_name() {
    for url in ["redis://localhost:1/x", "redis://localhost:99999", "http://localhost", "redis://"] {
        let wrong = [("S3_BUCKET", "media"), ("DARKROOM_REDIS_URL", url)];
        let worker = darkroom().arg("worker").envs(wrong).output().unwrap();

        let told = String::from_utf8(worker.stderr).unwrap();
        assert!(told.contains("DARKROOM_REDIS_URL: "), "{url}: {told}");
        assert_eq!(worker.status.code(), Some(78), "{url}");
        assert_eq!(check_with(&wrong).status.code(), Some(78), "{url}");
    }
}

#[test]
fn a_setting_that_contradicts_another_is_told() {
    let output = check_with(&[("S3_BUCKET", "media"), ("DARKROOM_RETRY_MAX_MS", "100")]);

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"variable\":\"DARKROOM_RETRY_MAX_MS\""), "{text}");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_setting_that_does_not_parse_hides_no_contradiction_of_its_group() {
    let wrong = [("DARKROOM_LEASE_MS", "soon"), ("DARKROOM_RETRY_MAX_MS", "100"), ("S3_PREFIX", "media")];

    let check = check_with(&wrong);
    let worker = darkroom().arg("worker").envs(wrong).output().unwrap();

    let (check, worker) =
        (String::from_utf8(check.stdout).unwrap(), String::from_utf8(worker.stderr).unwrap());
    for name in ["DARKROOM_LEASE_MS", "DARKROOM_RETRY_MAX_MS", "S3_PREFIX", "S3_BUCKET"] {
        assert_eq!(check.matches(&format!("\"variable\":\"{name}\"")).count(), 1, "{name} in\n{check}");
        assert_eq!(worker.matches(&format!("{name}: ")).count(), 1, "{name} in\n{worker}");
    }
}

#[test]
fn settings_that_can_be_used_are_no_problem() {
    let output = check_with(&[("S3_BUCKET", "media")]);

    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_worker_with_a_wrong_setting_names_it_and_ends_with_78() {
    let output =
        darkroom().arg("worker").env("S3_BUCKET", "media").env("DARKROOM_REAP_MS", "x").output().unwrap();

    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("DARKROOM_REAP_MS: expected a whole number of milliseconds"), "{text}");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_file_of_authorities_that_has_none_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    fs::write(&bundle, "no certificate").unwrap();
    let settings = [
        ("S3_BUCKET", "media"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("DARKROOM_FETCH_CA_BUNDLE", bundle.to_str().unwrap()),
    ];

    let worker = darkroom().arg("worker").envs(settings).output().unwrap();
    let look = darkroom()
        .args(["enqueue", "ingest", "--check", "http://localhost/"])
        .envs(settings)
        .output()
        .unwrap();

    for output in [worker, look] {
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("DARKROOM_FETCH_CA_BUNDLE: there is no certificate in it"), "{told}");
        assert_eq!(output.status.code(), Some(78), "{told}");
    }
}

#[test]
fn a_wrong_call_ends_with_2() {
    let output = darkroom().arg("develop-film").output().unwrap();

    assert_eq!(output.status.code(), Some(2));
}

fn darkroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    command.env_clear();
    command
}

fn check_with(environment: &[(&str, &str)]) -> std::process::Output {
    darkroom().args(["config", "check", "--json"]).envs(environment.iter().copied()).output().unwrap()
}

fn variable(line: &str) -> Option<&str> {
    let name = line.trim_start_matches('#').split_once('=')?.0;
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (is_name && !name.is_empty()).then_some(name)
}
