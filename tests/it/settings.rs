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
fn whichever_setting_does_not_parse_hides_none_of_the_others() {
    let wrong = [
        ("DARKROOM_RETRY_MAX_MS", "100"),
        ("DARKROOM_UPLOAD_MEMORY", "1MiB"),
        ("DARKROOM_MAX_SIDE", "0"),
        ("S3_KMS_KEY_ID", "k"),
        ("S3_BUCKET", ""),
    ];

    for name in check::variables() {
        let others = wrong.iter().filter(|(other, _)| name != *other && name != format!("{other}_FILE"));
        let set = |command: &mut Command| {
            let garbage = if name.ends_with("_FILE") { "/nowhere" } else { "\u{1}," };
            command.envs(wrong).env(&name, garbage).output().unwrap()
        };
        let check = String::from_utf8(set(darkroom().args(["config", "check", "--json"])).stdout).unwrap();
        let worker = String::from_utf8(set(darkroom().arg("worker")).stderr).unwrap();
        for (other, _) in others {
            assert!(check.contains(&format!("\"variable\":\"{other}\"")), "{name} hides {other} in\n{check}");
            assert!(worker.contains(&format!("{other}: ")), "{name} hides {other} in\n{worker}");
        }
    }
}

#[test]
fn a_command_with_few_settings_tells_all_that_are_wrong_too() {
    let wrong = [
        ("S3_BUCKET", "media"),
        ("S3_CONNECT_TIMEOUT_MS", "soon"),
        ("S3_KMS_KEY_ID", "k"),
        ("DARKROOM_REDIS_URL", "localhost:6379"),
        ("DARKROOM_ALLOW_EVICTION", "perhaps"),
    ];

    for (call, told) in [
        (["storage", "ls"], ["S3_CONNECT_TIMEOUT_MS: ", "S3_KMS_KEY_ID: "]),
        (["queue", "stats"], ["DARKROOM_ALLOW_EVICTION: ", "DARKROOM_REDIS_URL: "]),
    ] {
        let output = darkroom().args(call).envs(wrong).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(told.iter().all(|name| text.contains(name)), "{call:?}: {text}");
        assert_eq!((output.status.code(), text.lines().count()), (Some(78), 2), "{call:?}: {text}");
    }
}

#[test]
#[cfg(unix)]
fn a_value_that_is_not_utf_8_is_a_wrong_setting_and_no_wrong_call() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let wrong = OsStr::from_bytes(b"\xff");

    for call in [&["worker"][..], &["config", "check"][..]] {
        let output = darkroom().args(call).env("S3_BUCKET", "b").env("S3_REGION", wrong).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(told.contains("S3_REGION: "), "{call:?}: {told}");
        assert_eq!(output.status.code(), Some(78), "{call:?}: {told}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning_with_the_name_that_was_meant() {
    let check = check_with(&[("S3_BUCKET", "media"), ("DARKROOM_LEASE", "5000")]);
    let worker = darkroom().arg("worker").env("S3_BUCKE", "media").output().unwrap();
    let started = darkroom()
        .args(["worker", "--lease", "1"])
        .envs([("S3_BUCKET", "media"), ("DARKROOM_LEASE", "5000")])
        .output()
        .unwrap();

    let text = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(0), "{text}");
    assert!(text.contains("\"level\":\"warning\"") && text.contains("is DARKROOM_LEASE_MS meant?"), "{text}");
    let text = String::from_utf8(worker.stderr).unwrap();
    assert!(text.contains("S3_BUCKE: is no setting, and changes nothing; is S3_BUCKET meant?"), "{text}");
    let text = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(78), "{text}");
    assert!(
        text.contains("environment variable is no setting") && text.contains("DARKROOM_LEASE_MS"),
        "{text}"
    );
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
