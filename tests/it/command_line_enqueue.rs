//! `darkroom enqueue` as a process, on real servers.

use std::{fs, path::Path, process::Stdio, time::Duration};

use darkroom_jobs::{ErrorCode, Kind, Payload, Receipt, Source, Status, Upload};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use crate::support::{
    command::{Call as _, Ended, bare},
    darkroom::{TestDarkroom, picture},
};

const IMAGE: &str = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";

/// A folder with two pictures, a file that is no picture, an empty one and one that is too large.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder can be made");
    for name in ["plain.jpg", "plain.png"] {
        fs::write(folder.path().join(name), picture(name)).expect("it can be written");
    }
    fs::write(folder.path().join("notes.txt"), "notes").expect("it can be written");
    fs::write(folder.path().join("empty.jpg"), "").expect("it can be written");
    let large = fs::File::create(folder.path().join("large.jpg")).expect("it can be written");
    large.set_len((32 << 20) + 1).expect("it can be written");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

async fn enqueue(darkroom: &TestDarkroom, more: &[&str]) -> Ended {
    darkroom.command(&[&["enqueue"], more].concat()).ended().await
}

fn line(user: &str) -> String {
    json!({ "user_id": user, "image_id": IMAGE, "source": { "type": "inline", "base64": "YQ==" } })
        .to_string()
}

#[tokio::test]
async fn a_file_is_staged_with_what_it_claims_to_be_enqueued_and_waited_for() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let folder = folder();
    let file = folder.path().join("plain.png");

    let call = ["upload", "--user-id", "42", "--image-id", IMAGE, "--file", text(&file), "--wait", "--json"];
    let ended = enqueue(&darkroom, &call).await;

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let [told, receipt] = ended.objects::<Value>().try_into().expect("the id, then the receipt");
    let key = format!("user_photos/42/{IMAGE}.jpg");
    assert_eq!((&told["file"], &told["key"]), (&text(&file).into(), &key.as_str().into()));
    let receipt: Receipt = serde_json::from_value(receipt).expect("a receipt");
    assert_eq!((told["job_id"].as_str(), receipt.status), (Some(receipt.job_id.as_str()), Status::Done));
    let source = receipt.source.expect("it was read");
    assert_eq!((source.source_type.as_str(), source.declared_type.as_deref()), ("staged", Some("image/png")));
    darkroom.eventually_only(&[&key]).await;
}

#[tokio::test]
async fn a_job_of_a_file_describes_its_staged_original() {
    let mut darkroom = TestDarkroom::start().await;
    let file = folder();
    let file = file.path().join("plain.jpg");

    let call = ["upload", "--user-id", "42", "--image-id", IMAGE, "--file", text(&file)];
    let ended = enqueue(&darkroom, &call).await;

    let (id, named) = ended.stdout.trim_end().split_once("  ").expect("the id and the file");
    let payload: Vec<u8> = redis::AsyncCommands::hget(&mut darkroom.redis, "{darkroom}:upload:data", id)
        .await
        .expect("redis answers");
    let payload = Payload::<Upload>::decode(&payload).expect("a job");
    let Source::Staged { key, bytes, etag, sha256 } = payload.job.source else { panic!("it is staged") };
    assert_eq!((key.as_str(), named), (format!("staging/upload/42/{IMAGE}").as_str(), text(&file)));
    let there = darkroom.storage.download(&key.as_str().parse().expect("a key"), 1 << 20, None).await;
    let there = there.expect("it is staged");
    assert_eq!((bytes, etag, sha256), (Some(there.bytes.len() as u64), there.etag, Some(there.sha256)));
}

#[tokio::test]
async fn the_pictures_of_a_folder_are_taken_and_what_cannot_be_one_is_refused_before_it_is_staged() {
    let darkroom = TestDarkroom::start().await;
    let folder = folder();

    let ended =
        enqueue(&darkroom, &["ingest", "--product-id", "p1", "--file", text(folder.path()), "--json"]).await;

    assert_eq!((ended.code, ended.objects::<Value>().len()), (Some(1), 2));
    let codes: std::collections::BTreeSet<_> = ended
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|refusal| refusal["code"].as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(codes, ["source_empty", "source_too_large"].map(str::to_owned).into());
    assert!(ended.stderr.contains("no pictures by their names: 1"), "{}", ended.stderr);
    let objects = darkroom.objects().await;
    assert_eq!(objects.len(), 2);
    assert!(objects.iter().all(|key| key.starts_with("staging/ingest/p1/")), "{objects:?}");
}

#[tokio::test]
async fn a_pattern_means_the_files_that_it_matches() {
    let darkroom = TestDarkroom::start().await;
    let folder = folder();
    let pattern = format!("{}/*.png", text(folder.path()));

    let ended = enqueue(&darkroom, &["upload", "--user-id", "42", "--file", &pattern]).await;

    assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.lines().count()), (Some(0), "", 1));
    assert!(ended.stdout.trim_end().ends_with("plain.png"), "{}", ended.stdout);
}

#[tokio::test]
async fn settings_of_s3_are_asked_for_only_when_a_file_is_staged() {
    let darkroom = TestDarkroom::start().await;
    let folder = folder();
    let file = folder.path().join("plain.jpg");
    let call = |more: &[&str]| {
        let call = [&["enqueue", "upload", "--user-id", "42"], more].concat();
        let mut command = bare(&call);
        command.env("DARKROOM_REDIS_URL", darkroom.services.redis.url());
        command
    };

    let missing = call(&["--file", text(&file)]).ended().await;
    let wrong = call(&["--file", text(&file)])
        .envs([("S3_BUCKET", "media"), ("S3_FORCE_PATH_STYLE", "perhaps"), ("S3_PREFIX", "media")])
        .ended()
        .await;
    let none =
        call(&["--url", "https://shop.example/a.jpg"]).env("S3_FORCE_PATH_STYLE", "perhaps").ended().await;

    assert_eq!((missing.code, missing.stderr.trim()), (Some(78), "S3_BUCKET: is not set"));
    assert_eq!(wrong.code, Some(78));
    for name in ["S3_FORCE_PATH_STYLE: ", "S3_PREFIX: "] {
        assert!(wrong.stderr.contains(name), "{name} is missing in\n{}", wrong.stderr);
    }
    assert_eq!((none.code, none.stderr.as_str(), none.stdout.lines().count()), (Some(0), "", 1));
}

#[tokio::test]
async fn a_staged_original_is_removed_when_its_job_is_not_taken() {
    let mut darkroom = TestDarkroom::start().await;
    let folder = folder();
    let file = folder.path().join("plain.jpg");
    let mut limit = redis::cmd("CONFIG");
    let () = limit
        .arg("SET")
        .arg("maxmemory")
        .arg(1)
        .query_async(&mut darkroom.redis)
        .await
        .expect("redis answers");

    let ended = enqueue(&darkroom, &["upload", "--user-id", "42", "--file", text(&file)]).await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("queue_full"), "{}", ended.stderr);
    assert!(ended.stderr.contains("its staged original was removed"), "{}", ended.stderr);
    assert_eq!(darkroom.objects().await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_staged_while_redis_is_away_and_no_more_is_tried_when_the_bucket_is() {
    let darkroom = TestDarkroom::start().await;
    let folder = folder();
    let call = ["enqueue", "upload", "--user-id", "42", "--file", text(folder.path())];

    let no_redis = darkroom.command(&call).env("DARKROOM_REDIS_URL", "redis://127.0.0.1:1").ended().await;
    let no_bucket = darkroom.command(&call).env("S3_BUCKET", "elsewhere").ended().await;

    assert_eq!((no_redis.code, no_bucket.code), (Some(1), Some(1)));
    assert!(no_bucket.stderr.contains("storage_misconfigured"), "{}", no_bucket.stderr);
    assert_eq!(darkroom.objects().await, Vec::<String>::new());
}

/// Enqueues one job from options.
const ONE: [&str; 5] = ["upload", "--user-id", "1", "--url", "https://shop.example/a.jpg"];

/// Lets nobody write for so long, as a primary that is being changed does; who connects meanwhile is answered.
async fn stop_writes(darkroom: &TestDarkroom, ms: u32) {
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(ms).arg("WRITE");
    let () = pause.query_async(&mut darkroom.redis.clone()).await.expect("redis answers");
}

#[tokio::test]
async fn a_job_whose_outcome_is_unknown_is_pushed_again_and_is_there_once() {
    let darkroom = TestDarkroom::start().await;
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("jobs.jsonl");
    fs::write(&file, line("2")).expect("it can be written");
    stop_writes(&darkroom, 8_000).await;

    let from_file = ["upload", "--from-jsonl", text(&file)];
    let (options, lines) = tokio::join!(enqueue(&darkroom, &ONE), enqueue(&darkroom, &from_file));

    assert_eq!((options.code, lines.code), (Some(0), Some(0)), "{} {}", options.stderr, lines.stderr);
    let jobs = darkroom.inspector().list(Kind::Upload, None, 10).await.expect("redis answers");
    let mut ids: Vec<_> = jobs.iter().map(|receipt| receipt.job_id.to_string()).collect();
    let mut told = vec![options.stdout.trim().to_owned(), lines.stdout.trim().to_owned()];
    ids.sort();
    told.sort();
    assert_eq!(ids, told);
}

#[tokio::test]
async fn it_is_told_which_job_may_be_in_the_queue_when_redis_does_not_answer() {
    let darkroom = TestDarkroom::start().await;
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("jobs.jsonl");
    fs::write(&file, format!("{}\n{}", line("2"), line("3"))).expect("it can be written");
    stop_writes(&darkroom, 60_000).await;

    let from_file = ["upload", "--from-jsonl", text(&file)];
    let (options, lines) = tokio::join!(enqueue(&darkroom, &ONE), enqueue(&darkroom, &from_file));
    let mut go_on = redis::cmd("CLIENT");
    let () = go_on.arg("UNPAUSE").query_async(&mut darkroom.redis.clone()).await.expect("redis answers");

    let named = |ended: &Ended| ended.stderr.matches(" may be in the queue").count();
    assert_eq!((options.code, named(&options)), (Some(1), 1), "{}", options.stderr);
    assert_eq!((lines.code, named(&lines)), (Some(1), 2), "{}", lines.stderr);
}

#[tokio::test]
async fn a_file_that_is_staged_for_another_job_is_not_overwritten() {
    let darkroom = TestDarkroom::start().await;
    let folder = folder();
    let (jpeg, png) = (folder.path().join("plain.jpg"), folder.path().join("plain.png"));
    let keep = async |file: &Path| {
        enqueue(&darkroom, &["upload", "--user-id", "42", "--image-id", IMAGE, "--file", text(file)]).await
    };

    let (first, same, other) = (keep(&jpeg).await, keep(&jpeg).await, keep(&png).await);

    assert_eq!((first.code, same.code, other.code), (Some(0), Some(0), Some(1)), "{}", same.stderr);
    assert!(other.stderr.contains("key_conflict"), "{}", other.stderr);
    let key = format!("staging/upload/42/{IMAGE}").parse().expect("a key");
    let there = darkroom.storage.download(&key, 1 << 20, None).await.expect("it is staged");
    assert_eq!(there.bytes, picture("plain.jpg"));
}

#[tokio::test]
async fn each_kind_is_enqueued_from_its_options() {
    let darkroom = TestDarkroom::start().await;
    let url = "https://shop.example/a.jpg";
    let calls: [(&[&str], Kind); 4] = [
        (&["upload", "--user-id", "42", "--url", url], Kind::Upload),
        (&["ingest", "--product-id", "p1", "--image-id", IMAGE, "--url", url], Kind::Ingest),
        (&["delete", "--user-id", "42", "--image-id", IMAGE], Kind::Delete),
        (&["delete", "--product-id", "p1"], Kind::Delete),
    ];

    for (call, kind) in calls {
        let ended = enqueue(&darkroom, call).await;
        let id = ended.stdout.trim_end().parse().expect("an id");
        let receipt = darkroom.producer.receipt(&id).await.expect("redis answers").expect("it is known");
        assert_eq!((ended.code, receipt.kind), (Some(0), kind), "{call:?}");
    }
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job_and_another_payload_a_conflict() {
    let darkroom = TestDarkroom::start().await;
    let with = async |image: &str| {
        let call = ["delete", "--user-id", "42", "--image-id", image, "--idempotency-key", "k"];
        enqueue(&darkroom, &call).await
    };

    let (one, same, other) =
        (with(IMAGE).await, with(IMAGE).await, with(&IMAGE.replace("3e1f", "4e1f")).await);

    assert_eq!((one.code, &one.stdout), (Some(0), &same.stdout));
    assert_eq!((other.code, other.stderr.starts_with("idempotency_conflict: ")), (Some(1), true));
}

#[tokio::test]
async fn lines_of_a_file_go_into_their_own_queues_and_a_wrong_one_stops_no_other() {
    let darkroom = TestDarkroom::start().await;
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("jobs.jsonl");
    let deletion = json!({ "kind": "delete", "target": { "type": "user", "user_id": "42" } });
    let upload = line("1").replacen('{', "{\"kind\":\"upload\",", 1);
    fs::write(&file, format!("{upload}\n\n{{\"kind\":\"upload\"}}\nno JSON\n{deletion}\n")).expect("written");

    let ended = enqueue(&darkroom, &["--from-jsonl", text(&file), "--json"]).await;

    let taken: Vec<_> = ended.objects::<Value>().iter().map(|told| told["line"].clone()).collect();
    assert_eq!((ended.code, taken), (Some(1), vec![json!(1), json!(5)]));
    let refused: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect("one object")).collect();
    let mut lines: Vec<_> = refused.iter().map(|refusal| refusal["line"].as_u64()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [Some(3), Some(4)]);
    assert!(refused.iter().all(|refusal| refusal["code"] == ErrorCode::JobMalformed.as_str()));
}

#[tokio::test]
async fn a_line_of_standard_input_is_a_job_as_soon_as_it_is_there() {
    let darkroom = TestDarkroom::start().await;
    let mut child = darkroom
        .command(&["enqueue", "upload", "--from-jsonl", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    let mut ids = BufReader::new(child.stdout.take().expect("it is piped")).lines();

    for user in ["1", "not an id", "3"] {
        input.write_all(format!("{}\n", line(user)).as_bytes()).await.expect("it reads");
        if user == "not an id" {
            continue;
        }
        let id = timeout(Duration::from_secs(20), ids.next_line()).await.expect("it does not wait for more");
        let id = id.expect("it prints").expect("an id").parse().expect("an id");
        assert!(darkroom.producer.receipt(&id).await.expect("redis answers").is_some());
    }
    drop(input);
    let ended = child.wait_with_output().await.expect("it ends");

    let refusal = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(
        (ended.status.code(), refusal.starts_with("line 2: id_invalid: ")),
        (Some(1), true),
        "{refusal}"
    );
}

#[tokio::test]
async fn waiting_for_a_job_that_fails_ends_with_1() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let call = ["upload", "--user-id", "42", "--url", "ftp://shop.example/a.jpg", "--wait"];

    let ended = enqueue(&darkroom, &call).await;

    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 2), "{}", ended.stderr);
    assert!(ended.stdout.lines().last().is_some_and(|line| line.contains("failed")), "{}", ended.stdout);
}
