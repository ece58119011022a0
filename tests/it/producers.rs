//! Producers that are not ours: stock apalis-redis, redis-py, ioredis, redis-cli. The worker takes what they push.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use apalis_core::{
    backend::{TaskResult, TaskSink as _, WaitForCompletion as _},
    task::{builder::TaskBuilder, status, task_id::TaskId},
};
use apalis_redis::{Config, RedisStorage};
use darkroom_jobs::{ErrorCode, ImageId, JobId, Kind, Receipt, Source, Status, Upload};
use futures_util::TryStreamExt as _;
use redis::AsyncCommands as _;

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, answer},
};

const README: &str = include_str!("../../README.md");
/// What the package of the contract says.
const CONTRACT: &str = include_str!("../../jobs/README.md");

/// Jobs that a stock producer pushes before any worker is there.
const MANY: usize = 100_000;
/// Jobs that one call of the script promotes.
const BATCH: usize = 100;
/// Most that it may push at once.
const BULK: usize = 1_000;

async fn stock<Args>(darkroom: &TestDarkroom, kind: Kind) -> RedisStorage<Args> {
    let connection = apalis_redis::connect(darkroom.services.redis.url()).await.expect("redis answers");
    let config = Config::default()
        .queue(format!("{{darkroom}}:{kind}"))
        .idempotency_ttl(Some(Duration::from_secs(60)));
    RedisStorage::new(connection).with_config(config)
}

fn missing() -> Upload {
    let key = "staging/nobody/put-it-here".parse().expect("a staged key");
    let source = Source::Staged { key, bytes: None, etag: None, sha256: None };
    Upload { user_id: "u1".parse().expect("an id"), image_id: ImageId::random(), source }
}

fn tries(receipt: &Receipt) -> (u32, u32) {
    (receipt.attempts, receipt.error.as_ref().expect("it failed").max_attempts)
}

#[tokio::test]
async fn a_stock_producers_job_is_done_under_the_id_that_it_chose() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;
    let id = "01K9ZV5T0R3S9A1B2C3D4E5F6G";

    let task = TaskBuilder::new(darkroom.staged(picture("plain.jpg")).await);
    let task = task.task_id(id.parse::<TaskId>().expect("a ULID")).priority(7).build();
    storage.push_task(task).await.expect("redis takes it");
    let receipt = darkroom.final_receipt(&id.parse().expect("an id")).await;

    assert_eq!((receipt.status, receipt.attempts, receipt.deliveries), (Status::Done, 1, 1));
}

#[tokio::test]
async fn a_stock_producers_attempts_are_taken_as_given_and_none_at_all_count_as_one() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;
    let ids = ["01K9ZV5T0R3S9A1B2C3D4E5F60", "01K9ZV5T0R3S9A1B2C3D4E5F61", "01K9ZV5T0R3S9A1B2C3D4E5F62"];

    for (id, attempts) in ids.into_iter().zip([0, 1, 25]) {
        let task =
            TaskBuilder::new(missing()).task_id(id.parse().expect("a ULID")).max_attempts(attempts).build();
        storage.push_task(task).await.expect("redis takes it");
    }
    let payload = serde_json::to_vec(&missing()).expect("a job is JSON");
    darkroom.push_by_hand(Kind::Upload, "by-hand", &payload).await;

    let mut found = Vec::new();
    for id in ids.into_iter().chain(["by-hand"]) {
        found.push(tries(&darkroom.final_receipt(&id.parse().expect("an id")).await));
    }
    assert_eq!(found, [(1, 1), (1, 1), (2, 2), (2, 2)]);
}

#[tokio::test]
async fn a_job_whose_producer_chose_no_attempts_has_those_of_the_settings() {
    let mut darkroom = TestDarkroom::start().await;
    let once = [("DARKROOM_ATTEMPTS_UPLOAD", "1")];
    let service = Service::start(&darkroom, &once).await;
    let payload = serde_json::to_value(missing()).expect("a job is JSON");
    let line = serde_json::to_string(&missing()).expect("a job is JSON");

    darkroom.push_by_hand(Kind::Upload, "by-hand", line.as_bytes()).await;
    let (_, taken) = answer(service.post("/api/jobs/upload").json(&payload)).await;
    let (_, many) = answer(service.post("/api/jobs/upload").json(&vec![&payload])).await;
    let lines = darkroom.folder().join("jobs.jsonl");
    std::fs::write(&lines, line).expect("a file can be written");
    let mut command = darkroom.command(&["enqueue", "upload", "--json", "--from-jsonl"]);
    let told = command.arg(&lines).envs(once).output().await.expect("darkroom runs");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("it tells the job");

    let ids = [&taken["job_id"], &many[0]["job_id"], &told["job_id"]].map(|id| id.as_str().expect("an id"));
    for id in ids.into_iter().chain(["by-hand"]) {
        assert_eq!(tries(&darkroom.final_receipt(&id.parse().expect("an id")).await), (1, 1), "{id}");
    }
    for id in ids {
        let meta = format!("{{darkroom}}:upload:meta:{id}");
        let attempts: u32 = darkroom.redis.hget(meta, "max_attempts").await.expect("redis answers");
        assert_eq!(attempts, 1);
    }
}

#[tokio::test]
async fn a_stock_producers_time_is_kept() {
    let mut darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;
    let id = "01K9ZV5T0R3S9A1B2C3D4E5F6G";

    let task = TaskBuilder::new(darkroom.staged(picture("plain.jpg")).await);
    let task = task.task_id(id.parse::<TaskId>().expect("a ULID")).run_in_seconds(2).build();
    storage.push_task(task).await.expect("redis takes it");
    let due: f64 = darkroom.redis.zscore("{darkroom}:upload:scheduled", id).await.expect("it waits");
    darkroom.final_receipt(&id.parse().expect("an id")).await;
    let first_ms: f64 =
        darkroom.redis.hget(format!("{{darkroom}}:upload:meta:{id}"), "dr_leased_at").await.expect("it ran");

    assert!(first_ms >= due * 1000.0, "it ran at {first_ms}, and was due at {due} s");
}

#[tokio::test]
async fn a_time_of_more_than_thirty_days_ahead_is_refused_at_once_and_an_earlier_one_is_waited_for() {
    let mut darkroom = TestDarkroom::start().await;
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;
    let payload = serde_json::to_vec(&missing()).expect("a job is JSON");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
    let days = |days: u64| now + days * 86_400;
    let [waits, too_late] = ["01K9ZV5T0R3S9A1B2C3D4E5F60", "01K9ZV5T0R3S9A1B2C3D4E5F61"];

    for (id, due) in [(waits, days(29)), (too_late, days(31))] {
        let task = TaskBuilder::new(missing()).task_id(id.parse().expect("a ULID")).run_at_timestamp(due);
        storage.push_task(task.build()).await.expect("redis takes it");
    }
    for (id, due) in [("waits", days(29)), ("too-late", days(31)), ("milliseconds", now * 1_000)] {
        darkroom.push_by_hand_for(due, Kind::Upload, id, &payload).await;
    }
    let _worker = darkroom.worker(&[]);

    for id in [too_late, "too-late", "milliseconds"] {
        let receipt = darkroom.final_receipt(&id.parse().expect("an id")).await;
        let error = receipt.error.expect("a failed job says why");
        let sentence = "it is scheduled more than 30 days ahead; scores are unix seconds, not milliseconds";
        assert_eq!((receipt.status, receipt.attempts), (Status::Failed, 1), "{id}");
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::JobMalformed, sentence), "{id}");
    }
    let waiting: Vec<String> =
        darkroom.redis.zrange("{darkroom}:upload:scheduled", 0, -1).await.expect("redis answers");
    assert_eq!(waiting, [waits, "waits"]);
}

#[tokio::test]
async fn a_stock_producer_that_waits_gets_the_final_receipt_as_its_result() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;
    let jobs = [
        ("01K9ZV5T0R3S9A1B2C3D4E5F60", darkroom.staged(picture("plain.jpg")).await),
        // It is tried twice: what is told of it between is no result.
        ("01K9ZV5T0R3S9A1B2C3D4E5F61", missing()),
    ];
    let ids = jobs.clone().map(|(id, _)| id);

    for (id, upload) in jobs {
        let task = TaskBuilder::new(upload).task_id(id.parse().expect("a ULID")).build();
        storage.push_task(task).await.expect("redis takes it");
    }
    let waiting = storage.wait_for(ids.map(|id| id.parse().expect("a ULID"))).try_collect();
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it gets results");
    let mut results: Vec<TaskResult<Receipt>> = waited.expect("it understands them");

    results.sort_by_key(|result| result.task_id.to_string());
    let [done, failed]: [_; 2] = results.try_into().expect("one for each");
    let receipts = [
        darkroom.final_receipt(&ids[0].parse().expect("an id")).await,
        darkroom.final_receipt(&ids[1].parse().expect("an id")).await,
    ];
    assert_eq!(receipts.clone().map(|receipt| receipt.status), [Status::Done, Status::Failed]);
    assert_eq!(
        [&done, &failed].map(|result| result.status.clone()),
        [status::Status::Done, status::Status::Failed]
    );
    assert_eq!([done.attempt, failed.attempt], [1, 2]);
    assert_eq!([done.result, failed.result], receipts.map(Ok));
}

#[tokio::test]
async fn a_stock_producers_idempotency_key_keeps_the_second_job_out() {
    let mut darkroom = TestDarkroom::start().await;
    let mut storage = stock::<Upload>(&darkroom, Kind::Upload).await;

    for _ in 0..2 {
        // Whether the second is an error or nothing is apalis' own affair.
        drop(storage.push_task(TaskBuilder::new(missing()).idempotency_key("order-1").build()).await);
    }

    assert_eq!(darkroom.redis.hlen::<_, u32>("{darkroom}:upload:data").await.expect("redis answers"), 1);
}

#[tokio::test]
async fn a_hundred_thousand_jobs_that_are_due_at_once_hold_nobody_up() {
    let mut darkroom = TestDarkroom::start().await;
    let mut storage = stock::<serde_json::Value>(&darkroom, Kind::Ingest).await;
    let began = Instant::now();
    for _ in 0..MANY / BULK {
        storage.push_bulk(vec![serde_json::json!({}); BULK]).await.expect("redis takes them");
    }
    let pushed = began.elapsed();
    let before = cpu_ms(&mut darkroom).await;

    let mut uploads = darkroom.worker(&[("DARKROOM_QUEUES", "upload")]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    let receipt = darkroom.final_receipt(&job).await;
    let done_after = began.elapsed() - pushed;
    darkroom.until_empty("{darkroom}:ingest:scheduled").await;
    let promoted_after = began.elapsed() - pushed;
    let cpu_ms_per_call = (cpu_ms(&mut darkroom).await - before) / (MANY / BATCH) as f64;
    let ready: usize = darkroom.redis.llen("{darkroom}:ingest:active").await.expect("redis answers");
    let _ingests = darkroom.worker(&[("DARKROOM_QUEUES", "ingest")]);
    let refused = darkroom.any_of("{darkroom}:ingest:dead").await;

    println!("{cpu_ms_per_call:.2} ms of Redis for {BATCH} jobs");
    println!(
        "{MANY} pushed in {pushed:?}, promoted after {promoted_after:?}, an upload done after {done_after:?}"
    );
    assert_eq!((receipt.status, ready), (Status::Done, MANY));
    let refused = darkroom.final_receipt(&refused).await;
    assert_eq!(refused.error.map(|error| error.code), Some(ErrorCode::JobMalformed));
    assert!(uploads.is_running());
    let log = uploads.log();
    assert!(!log.contains("upkeep of the queues failed"), "{log}");
    // Some 1.5 ms on a machine that does nothing else; a script that walked through the backlog would take far longer.
    assert!(cpu_ms_per_call < 25.0, "promoting {BATCH} jobs took Redis {cpu_ms_per_call} ms");
}

#[tokio::test]
async fn what_the_readme_says_to_redis_py_is_a_job() {
    let Some(python) = brought("scripts/python") else {
        return println!("left out: pip could not fetch redis-py");
    };
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);

    for (readme, key) in [(CONTRACT, "staging/2026-11-23/3e1f0c9a"), (README, "staging/42/a")] {
        let program = block(readme, "```python")
            .replace("redis.Redis()", "redis.Redis.from_url(__import__('os').environ['DARKROOM_REDIS_URL'])")
            .replace(key, &staged_key(&darkroom).await);
        let printed = said(&darkroom, &python, &["-c", &format!("{program}\nprint(job)")]).await;
        let job = printed.lines().last().expect("it printed the job");
        let receipt = darkroom.final_receipt(&job.parse().expect("an id")).await;
        assert_eq!(receipt.status, Status::Done, "{receipt:?}");
    }
}

#[tokio::test]
async fn what_the_readme_says_to_redis_cli_is_a_job() {
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let program = block(CONTRACT, "```sh");
    let lines: Vec<_> =
        program.lines().filter(|line| !line.starts_with("redis-cli") && *line != "END").collect();

    let address = darkroom.services.redis.url().replace("redis://", "");
    let mut redis = std::net::TcpStream::connect(address).expect("redis listens");
    // Redis understands lines as redis-cli does.
    redis.write_all((lines.join("\r\n") + "\r\n").as_bytes()).expect("redis reads");
    let mut answers = BufReader::new(redis).lines().map(|line| line.expect("redis answers"));
    let answers: Vec<_> = answers.by_ref().take(6).collect();
    let receipt = darkroom.final_receipt(&"my-job-1".parse().expect("an id")).await;

    assert_eq!(answers, ["+OK", "+QUEUED", "+QUEUED", "*2", ":1", ":1"]);
    assert_eq!((receipt.status, receipt.kind), (Status::Done, Kind::Delete));
}

#[tokio::test]
async fn the_node_example_gets_its_receipt() {
    let Some(folder) = brought("scripts/node") else {
        return println!("left out: npm could not fetch ioredis");
    };
    let darkroom = TestDarkroom::start().await;
    let _worker = darkroom.worker(&[]);
    let key = staged_key(&darkroom).await;

    let printed = said(&darkroom, "node", &[&format!("{folder}/enqueue.js"), "42", &key]).await;
    let receipt: Receipt = serde_json::from_str(&printed).expect("it printed a receipt");

    assert_eq!(receipt.status, Status::Done, "{receipt:?}");
    assert_eq!(receipt.context, Some(serde_json::json!({ "from": "node" })));
}

/// CPU that Redis used up to now.
async fn cpu_ms(darkroom: &mut TestDarkroom) -> f64 {
    let info: String =
        redis::cmd("INFO").arg("cpu").query_async(&mut darkroom.redis).await.expect("redis answers");
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("redis tells it");
        line.trim().parse::<f64>().expect("it is a number of seconds") * 1000.0
    };
    of("used_cpu_user:") + of("used_cpu_sys:")
}

/// What a script brought, or nothing when it could not.
fn brought(script: &str) -> Option<String> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .stderr(Stdio::inherit())
        .output()
        .expect("the script is there");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("a path").trim().to_owned())
}

/// What a producer's program prints.
async fn said(darkroom: &TestDarkroom, program: &str, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program);
    command.args(args).envs(darkroom.services.environment()).stderr(Stdio::inherit());
    let output = command.output().await.expect("the program starts");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
}

/// The first block of that kind.
fn block(readme: &str, fence: &str) -> String {
    let (_, block) = readme.split_once(&format!("{fence}\n")).expect("the README has it");
    block.split("```").next().unwrap_or_default().to_owned()
}

async fn staged_key(darkroom: &TestDarkroom) -> String {
    match darkroom.staged(picture("plain.jpg")).await.source {
        Source::Staged { key, .. } => key.to_string(),
        _ => unreachable!("staged pictures are staged"),
    }
}

impl TestDarkroom {
    /// Returns when a sorted set is empty, within 120 s.
    async fn until_empty(&mut self, key: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.redis.zcard::<_, usize>(key).await.expect("redis answers") > 0 {
            assert!(Instant::now() < deadline, "{key} is not empty");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A member of a sorted set, within 30 s.
    async fn any_of(&mut self, key: &str) -> JobId {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let members: Vec<String> = self.redis.zrange(key, 0, 0).await.expect("redis answers");
            if let Some(member) = members.first() {
                return member.parse().expect("an id");
            }
            assert!(Instant::now() < deadline, "{key} is empty");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
