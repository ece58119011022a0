//! `darkroom jobs`, `queue` and `storage` as processes, on real servers.

use darkroom_jobs::{ErrorCode, ImageId, JobId, Kind, ObjectKey, Receipt, Source, Status, Upload};
use serde_json::Value;

use crate::support::{
    command::{Call as _, bare},
    darkroom::{TestDarkroom, picture},
};

fn not_an_image() -> Upload {
    let source = Source::Inline { base64: "bm8gcGljdHVyZQ==".into() };
    Upload { user_id: "u1".parse().expect("an id"), image_id: ImageId::random(), source }
}

/// A job that died of a staged file that is no picture; its original is still there. Nobody works any more.
async fn dead(darkroom: &TestDarkroom) -> (JobId, Receipt) {
    let mut worker = darkroom.worker(&[]);
    let (job, _) = darkroom.upload(picture("text.jpg")).await;
    let receipt = darkroom.final_receipt(&job).await;
    assert_eq!(receipt.status, Status::Failed);
    worker.kill().await;
    (job, receipt)
}

#[tokio::test]
async fn a_job_is_shown_as_its_receipt_at_every_stage() {
    let darkroom = TestDarkroom::start().await;
    let job = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let show = async || darkroom.command(&["jobs", "show", job.as_str(), "--json"]).ended().await;

    let queued = show().await;
    let _worker = darkroom.worker(&[]);
    let receipt = darkroom.final_receipt(&job).await;
    let settled = show().await;
    let person = darkroom.command(&["jobs", "show", job.as_str()]).ended().await;

    let known = serde_json::to_string(&receipt).expect("it is JSON");
    assert_eq!((settled.code, settled.stdout.trim_end()), (Some(0), known.as_str()));
    assert_eq!(queued.objects::<Receipt>()[0].status, Status::Queued);
    assert!(person.stdout.contains("failed") && person.stdout.contains("not_an_image"), "{}", person.stdout);
    assert!(person.stdout.contains(ErrorCode::NotAnImage.hint()), "{}", person.stdout);
}

#[tokio::test]
async fn an_unknown_job_is_refused_by_every_command_without_a_look_at_s3() {
    let darkroom = TestDarkroom::start().await;

    for command in ["show", "retry", "cancel", "discard"] {
        let mut call = darkroom.command(&["jobs", command, "no-such-job", "--json"]);
        let ended = call.env_remove("S3_BUCKET").env("S3_FORCE_PATH_STYLE", "perhaps").ended().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{command}");
        assert!(ended.stderr.contains("no queue knows job no-such-job"), "{command}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn jobs_are_listed_by_queue_and_status_with_the_newest_first() {
    let darkroom = TestDarkroom::start().await;
    let first = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let second = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let list = async |more: &[&str]| {
        let call = [&["jobs", "list", "--json"], more].concat();
        let receipts: Vec<Receipt> = darkroom.command(&call).ended().await.objects();
        receipts.into_iter().map(|receipt| receipt.job_id).collect::<Vec<_>>()
    };

    let (all, queued) = (list(&[]).await, list(&["--kind", "upload", "--status", "queued"]).await);
    let (one, others) = (list(&["--limit", "1"]).await, list(&["--kind", "ingest"]).await);
    let none = darkroom.command(&["jobs", "list", "--status", "failed"]).ended().await;

    assert_eq!((&all, &queued), (&vec![second.clone(), first.clone()], &vec![second.clone(), first]));
    assert_eq!((one, others.len()), (vec![second], 0));
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.trim()), (Some(0), "", "no such jobs"));
}

#[tokio::test]
async fn a_cancelled_job_is_settled_and_its_staged_original_goes() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;

    let cancelled = darkroom.command(&["jobs", "cancel", job.as_str(), "--json"]).ended().await;
    let again = darkroom.command(&["jobs", "cancel", job.as_str()]).ended().await;

    assert_eq!((cancelled.code, cancelled.stderr.as_str()), (Some(0), ""));
    assert_eq!(cancelled.objects::<Receipt>()[0].status, Status::Cancelled);
    assert_eq!(darkroom.objects().await, Vec::<String>::new());
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is cancelled"), "{}", again.stderr);
}

#[tokio::test]
async fn originals_of_jobs_that_are_gone_go_also_when_redis_fails_at_the_next_job() {
    let mut darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (first, _) = darkroom.upload(picture("plain.jpg")).await;
    let (second, _) = darkroom.upload(picture("plain.jpg")).await;
    let meta = format!("{{darkroom}}:upload:meta:{second}");
    let () =
        redis::pipe().del(&meta).set(&meta, "no hash").query_async(&mut darkroom.redis).await.expect("OK");

    let ended = darkroom.command(&["jobs", "cancel", first.as_str(), second.as_str()]).ended().await;

    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 1), "{}", ended.stderr);
    assert_eq!(darkroom.objects().await.len(), 1, "{}", ended.stderr);
}

#[tokio::test]
async fn a_job_is_cancelled_without_settings_of_s3_and_what_stays_is_told() {
    let darkroom = TestDarkroom::start().await;
    let (staged, _) = darkroom.upload(picture("plain.jpg")).await;
    let inline = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let cancel = async |job: &JobId| {
        darkroom.command(&["jobs", "cancel", job.as_str()]).env_remove("S3_BUCKET").ended().await
    };

    let (with, without) = (cancel(&staged).await, cancel(&inline).await);

    assert_eq!((with.code, without.code, without.stderr.as_str()), (Some(0), Some(0), ""));
    assert!(
        with.stderr.contains("stays") && with.stderr.contains("S3_BUCKET: is not set"),
        "{}",
        with.stderr
    );
    assert_eq!(darkroom.objects().await.len(), 1);
}

#[tokio::test]
async fn a_dead_job_is_retried_by_its_id_and_with_others_by_its_code() {
    let darkroom = TestDarkroom::start().await;
    let (job, receipt) = dead(&darkroom).await;
    let retry = async |more: &[&str]| darkroom.command(&[&["jobs", "retry"], more].concat()).ended().await;

    let other = retry(&["--all-dead", "upload", "--code", "source_missing", "--json"]).await;
    let one = retry(&[job.as_str(), "--json"]).await;
    let twice = retry(&[job.as_str()]).await;
    let worker = darkroom.worker(&[]);
    let again = darkroom.final_receipt(&job).await;
    drop(worker);
    let all = retry(&["--all-dead", "upload", "--code", "not_an_image"]).await;

    assert_eq!(other.objects::<Value>(), [serde_json::json!({ "kind": "upload", "retried": 0 })]);
    assert_eq!((one.objects::<Receipt>()[0].status, one.code), (Status::Queued, Some(0)));
    assert_eq!((twice.code, twice.stdout.as_str()), (Some(1), ""));
    assert_eq!((again.attempts, again.deliveries), (receipt.attempts, receipt.deliveries + 1));
    assert_eq!((all.code, all.stdout.trim()), (Some(0), "upload: dead jobs that wait again: 1"));
}

#[tokio::test]
async fn a_discarded_job_is_forgotten_and_its_staged_original_goes() {
    let darkroom = TestDarkroom::start().await;
    let (job, _) = dead(&darkroom).await;
    assert_eq!(darkroom.objects().await.iter().filter(|key| key.starts_with("staging/")).count(), 1);

    let ended = darkroom.command(&["jobs", "discard", job.as_str()]).ended().await;

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(darkroom.objects().await.iter().filter(|key| key.starts_with("staging/")).count(), 0);
    assert_eq!(darkroom.producer.receipt(&job).await.expect("redis answers"), None);
}

#[tokio::test]
async fn the_stats_of_a_queue_tell_its_places_its_pause_and_its_oldest_job() {
    let darkroom = TestDarkroom::start().await;
    let (cancelled, _) = darkroom.upload(picture("plain.jpg")).await;
    darkroom.operator().cancel(&cancelled).await.expect("it waits");
    darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");

    let paused = darkroom.command(&["queue", "pause", "upload", "--json"]).ended().await;
    let stats: Vec<Value> = darkroom.command(&["queue", "stats", "--json"]).ended().await.objects();
    let one = darkroom.command(&["queue", "stats", "upload"]).ended().await;
    let resumed = darkroom.command(&["queue", "resume", "upload"]).ended().await;
    let again = darkroom.command(&["queue", "resume", "upload"]).ended().await;

    let kinds: Vec<_> = stats.iter().map(|stats| stats["kind"].as_str().expect("a word")).collect();
    assert_eq!(kinds, Kind::ALL.map(Kind::as_str));
    let upload = &stats[0];
    assert_eq!((&upload["paused"], &upload["active"], &upload["done"]), (&true.into(), &2.into(), &1.into()));
    assert_eq!(upload["settled"]["cancelled"], 1);
    assert!(upload["oldest_ready_ms"].as_u64().is_some_and(|age| age < 60_000), "{upload}");
    assert_eq!(stats[1]["oldest_ready_ms"], Value::Null);
    assert!(one.stdout.lines().count() == 2 && one.stdout.contains("paused"), "{}", one.stdout);
    assert_eq!(paused.objects::<Value>(), [serde_json::json!({ "kind": "upload", "paused": true })]);
    assert_eq!((resumed.stdout.trim(), again.stdout.trim()), ("upload resumed", "upload was not paused"));
}

#[tokio::test]
async fn the_page_of_the_queues_is_printed_once_into_a_pipe() {
    let darkroom = TestDarkroom::start().await;
    darkroom.forge();
    let (job, _) = dead(&darkroom).await;
    let running = darkroom.producer.enqueue(not_an_image()).await.expect("redis takes jobs");
    let () = redis::pipe()
        .lpop("{darkroom}:upload:active", None)
        .zadd("{darkroom}:upload:leases", running.as_str(), u64::MAX)
        .hset(format!("{{darkroom}}:upload:meta:{running}"), "dr_leased_at", 1)
        .query_async(&mut darkroom.redis.clone())
        .await
        .expect("redis answers");

    let page = darkroom.command(&["queue", "watch"]).ended().await;
    let json: Vec<Value> = darkroom.command(&["queue", "watch", "--once", "--json"]).ended().await.objects();

    assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""));
    for word in ["oldest ready", "bucket_health", running.as_str(), job.as_str(), "not_an_image"] {
        assert!(page.stdout.contains(word), "{word} is missing in\n{}", page.stdout);
    }
    assert_eq!((&json[0]["running"][0]["job_id"], json.len()), (&running.as_str().into(), 1));
    assert_eq!(json[0]["failures"][0]["job_id"], job.as_str());
}

#[tokio::test]
async fn a_wrong_password_of_redis_ends_each_command_with_78_and_nothing_on_stdout() {
    let darkroom = TestDarkroom::start().await;
    let mut redis = darkroom.redis.clone();
    let mut set = async |password: &str| {
        let mut config = redis::cmd("CONFIG");
        let () = config.arg(&["SET", "requirepass", password]).query_async(&mut redis).await.expect("OK");
    };
    set("right").await;
    let url = darkroom.services.redis.url().replace("redis://", "redis://:wrong-secret@");
    let upload = ["enqueue", "upload", "--user-id", "1", "--url", "https://shop.example/a.jpg"];
    let calls: [&[&str]; 12] = [
        &["queue", "stats"],
        &["queue", "stats", "upload", "--json"],
        &["queue", "watch", "--once"],
        &["queue", "pause", "upload"],
        &["queue", "resume", "upload"],
        &["jobs", "list"],
        &["jobs", "show", "x"],
        &["jobs", "retry", "x"],
        &["jobs", "retry", "--all-dead", "upload"],
        &["jobs", "cancel", "x"],
        &["jobs", "discard", "x"],
        &upload,
    ];

    for call in calls {
        for url in [url.clone(), darkroom.services.redis.url()] {
            let ended = darkroom.command(call).env("DARKROOM_REDIS_URL", url).ended().await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(78), ""), "{call:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("DARKROOM_REDIS_URL"), "{call:?}: {}", ended.stderr);
            assert!(!ended.stderr.contains("wrong-secret"), "{call:?}: {}", ended.stderr);
        }
    }
    set("").await;
}

#[tokio::test]
async fn a_redis_that_is_away_leaves_no_table_on_stdout() {
    for call in [["queue", "stats"], ["jobs", "list"], ["queue", "watch"]] {
        let ended = bare(&call).env("DARKROOM_REDIS_URL", "redis://127.0.0.1:1").ended().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{call:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn objects_are_put_listed_got_and_removed() {
    let darkroom = TestDarkroom::start().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (file, copy) = (folder.path().join("a.png"), folder.path().join("b.png"));
    std::fs::write(&file, picture("plain.png")).expect("it can be written");
    let key = format!("user_photos/42/{}.jpg", ImageId::random());
    let storage = async |call: &[&str]| darkroom.command(&[&["storage"], call].concat()).ended().await;

    let put = storage(&["put", &key, file.to_str().expect("text"), "--json"]).await;
    let (of_user, of_other) =
        (storage(&["ls", "--user-id", "42", "--json"]).await, storage(&["ls", "--user-id", "4"]).await);
    let got = storage(&["get", &key, "-o", copy.to_str().expect("text")]).await;
    let piped = storage(&["get", &key]).await;
    let head = darkroom.storage.head(&key.parse::<ObjectKey>().expect("a key")).await;
    let removed = storage(&["rm", &key]).await;
    let gone = storage(&["get", &key]).await;

    let codes = [&put, &of_user, &of_other, &got, &piped, &removed].map(|ended| ended.code);
    assert_eq!((codes, gone.code), ([Some(0); 6], Some(1)));
    assert_eq!(of_user.objects::<Value>()[0]["key"], key.as_str());
    assert_eq!(of_other.stdout, "");
    assert_eq!(
        (std::fs::read(&copy).expect("it was written"), &piped.bytes),
        (picture("plain.png"), &piped.bytes)
    );
    assert_eq!(piped.bytes, picture("plain.png"));
    assert_eq!(head.expect("it answers").expect("it is there").content_type.as_deref(), Some("image/png"));
    assert!(gone.stderr.contains(&key), "{}", gone.stderr);
}

#[tokio::test]
async fn a_bucket_that_is_there_is_healthy_and_one_that_is_not_is_down() {
    let darkroom = TestDarkroom::start().await;

    let there = darkroom.command(&["storage", "health", "--json"]).ended().await;
    let missing =
        darkroom.command(&["storage", "health", "--json"]).env("S3_BUCKET", "elsewhere").ended().await;
    let person = darkroom.command(&["storage", "health"]).env("S3_BUCKET", "elsewhere").ended().await;

    assert_eq!((there.code, missing.code), (Some(0), Some(1)));
    let (there, missing) = (&there.objects::<Value>()[0], &missing.objects::<Value>()[0]);
    assert!(there["status"] != "down" && there["latency_ms"]["put"].is_u64(), "{there}");
    assert_eq!(
        (&missing["status"], &missing["error"]["code"]),
        (&"down".into(), &"storage_misconfigured".into())
    );
    assert!(person.stdout.starts_with("down: elsewhere at http://"), "{}", person.stdout);
    assert!(person.stdout.contains("S3_BUCKET"), "{}", person.stdout);
}

#[tokio::test]
async fn a_call_without_credentials_and_one_to_nobody_say_what_can_be_done() {
    let darkroom = TestDarkroom::start().await;
    let health = || darkroom.command(&["storage", "health"]);

    let mut without = health();
    without.env_remove("S3_ACCESS_KEY_ID").env_remove("S3_SECRET_ACCESS_KEY");
    let without =
        without.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", darkroom.folder()).ended().await;
    let nobody = health().env("S3_ENDPOINT_URL", "http://127.0.0.1:1").ended().await;

    assert_eq!((without.code, nobody.code), (Some(1), Some(1)));
    assert!(
        without.stdout.contains("storage_denied") && without.stdout.contains("no credentials"),
        "{}",
        without.stdout
    );
    assert!(without.stdout.contains("Set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY"), "{}", without.stdout);
    assert!(nobody.stdout.contains("Check S3_ENDPOINT_URL"), "{}", nobody.stdout);
    assert!(!nobody.stdout.contains("tried again"), "{}", nobody.stdout);
}
