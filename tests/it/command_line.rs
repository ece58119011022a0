//! The command line as a process: what it prints where, its exit codes, and that it asks only for its own settings.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    command::{Call as _, Ended, bare},
    darkroom::picture,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// A folder with these rendered pictures.
fn folder_with(pictures: &[&str]) -> TempDir {
    let folder = TempDir::new().expect("a folder can be made");
    for name in pictures {
        fs::write(folder.path().join(name), picture(name)).expect("it can be written");
    }
    folder
}

async fn normalize(inputs: &[PathBuf], output: &Path, more: &[&str]) -> Ended {
    let inputs = inputs.iter().map(|path| text(path));
    bare(&[]).args(["normalize"]).args(inputs).args(["-o", text(output)]).args(more).ended().await
}

#[tokio::test]
async fn nothing_is_written_when_two_files_would_be_one_or_an_original_would_be_overwritten() {
    let (folder, output) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (jpeg, png) = (folder.path().join("a.jpg"), folder.path().join("a.png"));
    let other = folder.path().join("b.png");
    for (path, name) in [(&jpeg, "plain.jpg"), (&png, "plain.png"), (&other, "plain.png")] {
        fs::write(path, picture(name)).expect("it can be written");
    }

    for (inputs, target) in [
        (vec![other.clone(), jpeg.clone(), png.clone()], output.path()),
        (vec![other.clone(), jpeg.clone()], folder.path()),
        (vec![jpeg.clone()], jpeg.as_path()),
    ] {
        let ended = normalize(&inputs, target, &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{inputs:?}: {}", ended.stderr);
    }

    assert_eq!(fs::read_dir(output.path()).expect("it is there").count(), 0);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 3);
    assert_eq!(fs::read(&jpeg).expect("it is there"), picture("plain.jpg"));
}

#[tokio::test]
async fn a_file_is_normalized_without_any_setting_and_described_on_stdout() {
    let folder = folder_with(&["gps.jpg"]);
    let output = folder.path().join("out.jpg");

    let ended = normalize(&[folder.path().join("gps.jpg")], &output, &["--max-dimension", "64"]).await;

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let line: Value = serde_json::from_str(&ended.stdout).expect("one object");
    let jpeg = fs::read(&output).expect("it was written");
    assert_eq!(line["source"]["had_gps"], true);
    assert_eq!(line["object"]["size"], jpeg.len());
    assert!(line["object"]["width"].as_u64().expect("a number") <= 64);
}

#[tokio::test]
async fn several_files_go_into_a_folder_and_a_refused_one_stops_none() {
    let folder = folder_with(&["plain.jpg", "plain.png"]);
    let output = TempDir::new().expect("a folder can be made");
    fs::write(folder.path().join("note.jpg"), "no picture").expect("it can be written");
    let inputs = ["plain.jpg", "note.jpg", "plain.png"].map(|name| folder.path().join(name));

    let ended = normalize(&inputs[..2], output.path(), &[]).await;
    let png = normalize(&inputs[2..], &output.path().join("png.jpg"), &[]).await;

    let refusal: Value = serde_json::from_str(&ended.stderr).expect("one object");
    assert_eq!((ended.code, png.code), (Some(1), Some(0)));
    assert_eq!((&refusal["code"], &refusal["input"]), (&"not_an_image".into(), &text(&inputs[1]).into()));
    assert!(refusal["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    let mut made: Vec<_> = fs::read_dir(output.path())
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    made.sort();
    assert_eq!(made, ["plain.jpg", "png.jpg"]);
}

#[tokio::test]
async fn a_picture_goes_through_a_pipe() {
    let ended = bare(&["normalize", "-", "-o", "-"]).input(picture("plain.png")).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.bytes.starts_with(&[0xff, 0xd8, 0xff]));
    let line: Value = serde_json::from_str(&ended.stderr).expect("one object");
    assert_eq!(line["object"]["size"], ended.bytes.len());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_no_output_is_written() {
    let folder = TempDir::new().expect("a folder can be made");
    let (input, output) = (folder.path().join("large.jpg"), folder.path().join("out.jpg"));
    fs::File::create(&input).and_then(|file| file.set_len((32 << 20) + 1)).expect("it can be written");

    let ended = normalize(&[input], &output, &[]).await;

    let refusal: Value = serde_json::from_str(&ended.stderr).expect("one object");
    assert_eq!((ended.code, &refusal["code"]), (Some(1), &"source_too_large".into()));
    assert!(!output.exists() && ended.stdout.is_empty());
}

#[tokio::test]
async fn a_wrong_call_ends_with_2_whatever_the_command() {
    let folder = folder_with(&["plain.jpg"]);
    let there = folder.path().join("plain.jpg");
    let there = text(&there);
    let uuid = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";
    let calls: &[&[&str]] = &[
        &["develop-film"],
        &["normalize", there],
        &["normalize", "/nowhere.jpg", "-o", "x.jpg"],
        &["normalize", there, there, "-o", "/nowhere/"],
        &["enqueue"],
        &["enqueue", "upload", "--url", "https://shop.example/a.jpg"],
        &["enqueue", "upload", "--user-id", "1"],
        &["enqueue", "upload", "--user-id", "not an id", "--url", "https://shop.example/a.jpg"],
        &["enqueue", "upload", "--user-id", "1", "--file", "/nowhere/*.jpg"],
        &["enqueue", "upload", "--user-id", "1", "--file", there, there, "--image-id", uuid],
        &["enqueue", "upload", "--user-id", "1", "--file", there, "--url", "https://shop.example/a.jpg"],
        &["enqueue", "ingest", "--user-id", "1", "--url", "https://shop.example/a.jpg"],
        &["enqueue", "delete"],
        &["enqueue", "delete", "--user-id", "1", "--file", there],
        &["enqueue", "bucket_health"],
        &["enqueue", "upload", "--from-jsonl", "/nowhere.jsonl"],
        &["jobs", "retry"],
        &["jobs", "retry", "--code", "source_missing"],
        &["jobs", "cancel"],
        &["jobs", "show", "not an id"],
        &["queue", "pause"],
        &["queue", "pause", "downloads"],
        &["schema", "picture"],
        &["completions", "dos"],
        &["--verbose"],
    ];

    for call in calls {
        let ended = bare(call).ended().await;
        assert_eq!(ended.code, Some(2), "{call:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{call:?}: {}", ended.stdout);
    }
    let storage = bare(&["storage", "put", "elsewhere/a.jpg", there]).env("S3_BUCKET", "media").ended().await;
    assert_eq!(storage.code, Some(2), "{}", storage.stderr);
}

#[tokio::test]
async fn each_command_asks_only_for_its_own_settings() {
    let folder = folder_with(&["plain.jpg"]);
    let (input, output) = (folder.path().join("plain.jpg"), folder.path().join("out.jpg"));
    let calls: [&[&str]; 4] = [
        &["normalize", text(&input), "-o", text(&output)],
        &["schema"],
        &["completions", "bash"],
        &["--version"],
    ];

    for call in calls {
        let wrong = [("DARKROOM_REDIS_URL", "x"), ("S3_FORCE_PATH_STYLE", "x"), ("DARKROOM_LEASE_MS", "x")];
        let ended = bare(call).envs(wrong).ended().await;
        assert_eq!(ended.code, Some(0), "{call:?}: {}", ended.stderr);
    }
    let redis = bare(&["jobs", "list"]).env("DARKROOM_REDIS_URL", "x").ended().await;
    assert_eq!(redis.code, Some(78));
    assert!(redis.stderr.starts_with("DARKROOM_REDIS_URL: "), "{}", redis.stderr);
    let bucket = bare(&["storage", "ls"]).env("DARKROOM_REDIS_URL", "x").ended().await;
    assert_eq!((bucket.code, bucket.stderr.trim()), (Some(78), "S3_BUCKET: is not set"));
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_in_seconds() {
    let started = std::time::Instant::now();

    let ended =
        bare(&["queue", "stats", "--json"]).env("DARKROOM_REDIS_URL", "redis://127.0.0.1:1").ended().await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("DARKROOM_REDIS_URL"), "{}", ended.stderr);
    assert!(started.elapsed().as_secs() < 10, "it took {:?}", started.elapsed());
}

#[tokio::test]
async fn the_schemas_are_those_of_the_contract() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/schema");
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).expect("it is there"));

    let all: Value = serde_json::from_str(&bare(&["schema"]).ended().await.stdout).expect("one object");
    let upload: Value =
        serde_json::from_str(&bare(&["schema", "upload"]).ended().await.stdout).expect("one object");
    let lines = bare(&["schema", "--json"]).ended().await.stdout;

    let files: Vec<_> =
        fs::read_dir(&schemas).expect("it is there").map(|entry| entry.unwrap().path()).collect();
    assert_eq!((files.len(), lines.lines().count()), (6, 6));
    for file in files {
        let name = file.file_stem().expect("it has a name").to_string_lossy().into_owned();
        assert_eq!(all[&name], read(file).expect("it is JSON"), "{name}");
    }
    assert_eq!(upload, all["upload"]);
}

#[tokio::test]
async fn a_shell_learns_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = bare(&["completions", shell]).ended().await.stdout;
        for command in ["worker", "enqueue", "jobs", "queue", "storage", "normalize", "schema"] {
            assert!(script.contains(command), "{shell} does not learn {command}");
        }
    }
}

#[tokio::test]
async fn the_version_tells_what_the_binary_is_made_of_when_asked() {
    let short = bare(&["--version"]).ended().await.stdout;
    let long = bare(&["--version", "--verbose"]).ended().await;

    assert_eq!(short.trim(), concat!("darkroom ", env!("CARGO_PKG_VERSION")));
    assert_eq!(long.code, Some(0));
    for word in [
        short.trim(),
        "features:",
        "image/webp",
        "simd:",
        "lane:",
        "pipeline:",
        "encodes:",
        "decoders:  processes held by limits",
    ] {
        assert!(long.stdout.contains(word), "{word} is missing in\n{}", long.stdout);
    }
}

#[tokio::test]
async fn log_settings_are_taken_before_and_after_the_command() {
    for call in [["--log", "off", "schema", "upload"], ["schema", "upload", "--log", "off"]] {
        let ended = bare(&call).ended().await;
        assert_eq!(ended.code, Some(0), "{call:?}: {}", ended.stderr);
    }
    let wrong = bare(&["schema"]).env("DARKROOM_LOG", "no=filter=at,all").ended().await;
    assert_eq!(wrong.code, Some(78));
    assert_eq!(wrong.stderr.matches("DARKROOM_LOG:").count(), 1, "{}", wrong.stderr);
}

#[tokio::test]
async fn a_reader_that_is_gone_is_no_panic() {
    let mut child =
        bare(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");

    drop(child.stdout.take());
    let ended = child.wait_with_output().await.expect("it ends");

    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
