//! What is shipped beside the code agrees with the code: names of metrics and settings, versions, and what documents promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output},
    thread,
};

use clap::Args as _;
use darkroom::config::check;

/// Endings that a counter or a histogram has when Prometheus reads it, and not in the code.
const ENDINGS: [&str; 4] = ["_total", "_bucket", "_sum", "_count"];

#[test]
fn every_metric_that_is_watched_is_exported() {
    let code = all_text("src");
    let exported: BTreeSet<_> =
        code.split('"').filter(|text| is_metric(text)).flat_map(as_prometheus_reads_it).collect();

    let watched: BTreeSet<_> =
        words(&all_text("deploy")).into_iter().filter(|word| is_metric(word)).collect();

    let unknown: Vec<_> = watched.difference(&exported).collect();
    assert!(unknown.is_empty(), "deploy/ asks for {unknown:?}, which no room exports");
    assert!(watched.len() > 5, "only {watched:?} are watched");
}

#[test]
fn every_alert_has_its_chapter_in_the_handbook_and_no_chapter_is_of_an_alert_that_is_gone() {
    let alerts = text("deploy/prometheus/alerts.yml");
    let handbook = text("docs/operations.md");

    let alerts: BTreeSet<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    let chapters = handbook.lines().filter_map(|line| line.strip_prefix("### Darkroom"));
    let chapters: BTreeSet<_> = chapters
        .flat_map(|names| words(&format!("Darkroom{names}")))
        .filter(|name| !name.is_empty())
        .collect();
    assert!(!alerts.is_empty());
    assert_eq!(alerts, chapters);
}

#[test]
fn every_variable_that_is_set_or_explained_is_a_setting() {
    let known = check::variables();
    let documents =
        ["docker-compose.yml", "README.md", "docs/operations.md", "docs/hetzner.md", "docs/fetch.md"]
            .map(text);

    let named = words(&(all_text("deploy") + &documents.concat()));

    let ours = |word: &str| word.starts_with("DARKROOM_") || word.starts_with("S3_");
    let unknown: Vec<_> =
        named.iter().filter(|word| ours(word) && !word.ends_with('_') && !known.contains(*word)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are no settings");
}

#[test]
fn the_defaults_that_documents_tell_are_those_of_the_code() {
    let defaults = defaults();

    let told = [table_of("README.md", 10), table_of("docs/fetch.md", 5), values_of_the_example()];

    for (name, told) in told.concat() {
        let default = defaults.get(&name).unwrap_or_else(|| panic!("{name} is no setting"));
        assert_eq!(&told, default, "the default of {name}");
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_and_has_the_version_of_this_repository() {
    let toolchain = text("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let version = env!("CARGO_PKG_VERSION");

    let image = text("Dockerfile");
    for part in [
        format!("FROM rust:{channel}-"),
        format!("RUSTUP_TOOLCHAIN={channel} "),
        format!("VERSION={version}\n"),
    ] {
        assert!(image.contains(&part), "the Dockerfile does not say {part:?}");
    }
    assert!(text("docker-compose.yml").contains(&format!("image: darkroom:{version}\n")));
    assert!(text("deploy/k8s/kustomization.yaml").contains(&format!("newTag: {version}\n")));
}

#[test]
fn the_image_sees_every_member_of_the_workspace() {
    let manifest = text("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let seen = text(".dockerignore");

    for member in members.split('"').skip(1).step_by(2).chain(["Cargo.toml", "Cargo.lock", "src"]) {
        assert!(seen.lines().any(|line| line == format!("!{member}")), ".dockerignore hides {member}");
    }
}

#[test]
fn pictures_originals_and_uploads_fit_into_the_memory_that_workers_are_given() {
    let defaults = defaults();
    let default = |name: &str| Some(defaults[name].clone()).filter(|value| !value.is_empty());

    for (limited, limit, settings) in [
        ("docker-compose.yml", "mem_limit: 2g", "docker-compose.yml"),
        ("deploy/systemd/darkroom.service", "MemoryMax=2G", "deploy/systemd/darkroom.env"),
        ("deploy/k8s/deployment.yaml", "limits: { cpu: \"2\", memory: 2Gi }", "deploy/k8s/configmap.yaml"),
    ] {
        assert!(text(limited).lines().any(|line| line.trim() == limit), "{limited} does not say {limit}");
        let value = |name: &str| set_in(&text(settings), name).or_else(|| default(name)).expect("it is set");
        let number = |name: &str, unit: &str| {
            value(name).strip_suffix(unit).unwrap().parse::<u64>().unwrap_or_else(|_| panic!("{name}"))
        };

        let slots = number("DARKROOM_CONCURRENCY_UPLOAD", "") + number("DARKROOM_CONCURRENCY_INGEST", "");
        let originals_mib = slots * (darkroom_jobs::MAX_SOURCE_BYTES >> 20);
        let pictures_mib = 2048 * number("DARKROOM_IMAGE_MEMORY", "%") / 100;
        let rest_mib =
            2048_u64.checked_sub(originals_mib + pictures_mib + number("DARKROOM_UPLOAD_MEMORY", "MiB"));

        assert!(rest_mib >= Some(200), "{settings}: {rest_mib:?} MiB are left for the worker itself");
    }
}

#[test]
fn the_readme_can_be_read_and_leads_to_files_that_are_there() {
    let readme = text("README.md");

    assert!(readme.lines().count() <= 250, "the README has more than 250 lines");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.starts_with("http")) {
        assert!(path(link).exists(), "the README leads to {link}, which is not there");
    }
}

#[test]
fn the_health_check_of_the_image_says_what_the_worker_says() {
    for (answer, code) in [("HTTP/1.1 200 OK", 0), ("HTTP/1.1 503 Service Unavailable", 1), ("PONG", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let worker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream.write_all(format!("{answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            asked
        });

        let output = health_check(address);

        assert_eq!(output.status.code(), Some(code), "{answer}: {output:?}");
        assert_eq!(worker.join().unwrap(), "GET /livez HTTP/1.1\r\n");
    }
}

#[test]
fn the_health_check_of_the_image_fails_when_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

    assert_eq!(health_check(free).status.code(), Some(1));
}

fn health_check(address: SocketAddr) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    command.arg("health").env_clear().env("DARKROOM_HTTP_ADDR", address.to_string());
    command.output().unwrap()
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of every file below a folder.
fn all_text(folder: &str) -> String {
    let (mut all, mut folders) = (String::new(), vec![path(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all += &fs::read_to_string(path).unwrap();
                all.push('\n');
            }
        }
    }
    all
}

/// The value in a line like `NAME=value` or `NAME: "value"`.
fn set_in(settings: &str, name: &str) -> Option<String> {
    let mut values =
        settings.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(['=', ':']));
    values.next().map(|value| value.trim().trim_matches('"').to_owned())
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
}

fn is_metric(word: &str) -> bool {
    let rest = word.strip_prefix("darkroom_").unwrap_or_default();
    // `darkroom_jobs` is a crate.
    !rest.is_empty() && rest != "jobs" && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn as_prometheus_reads_it(name: &str) -> Vec<String> {
    [""].iter().chain(&ENDINGS).map(|ending| format!("{name}{ending}")).collect()
}

/// What each variable is when nobody sets it.
fn defaults() -> BTreeMap<String, String> {
    let command = check::Everything::augment_args(clap::Command::new("darkroom"));
    let mut defaults: BTreeMap<_, _> = command
        .get_arguments()
        .filter_map(|arg| {
            let values: Vec<_> =
                arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
            Some((arg.get_env()?.to_string_lossy().into_owned(), values.join(",")))
        })
        .collect();
    for name in check::variables() {
        defaults.entry(name).or_default();
    }
    defaults
}

/// Rows like "| `NAME`, `OTHER` | `default` | … |".
fn table_of(document: &str, least: usize) -> Vec<(String, String)> {
    let content = text(document);
    let rows = content.lines().filter(|line| {
        line.strip_prefix("| `").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    let rows: Vec<_> = rows
        .flat_map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let default = cells[2].trim_matches('`').to_owned();
            let names = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
            names.map(|name| (name, default.clone())).collect::<Vec<_>>()
        })
        .collect();
    assert!(rows.len() > least, "{document} has no table of settings");
    rows
}

/// Lines like "#NAME=default"; what is not commented out is an example.
fn values_of_the_example() -> Vec<(String, String)> {
    let example = text(".env.example");
    let lines = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let named = |name: &str| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    lines.filter(|(name, _)| named(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
