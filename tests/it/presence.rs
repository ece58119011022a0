//! Who works right now: told by each process, forgotten when it falls silent.

use std::time::{Duration, Instant};

use darkroom::{
    config::steps::Step,
    queue::{
        inspect::Seen,
        scripts::{LAYOUT_RAISE, WORKER_BEAT},
    },
};
use darkroom_jobs::Status;
use redis::AsyncCommands as _;

use crate::support::{
    command::Call as _,
    darkroom::{TestDarkroom, Worker, picture},
    scripts::Scripts,
};

impl TestDarkroom {
    /// The processes that work, once they are so many; within 20 s.
    async fn workers(&self, number: usize) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let workers = self.inspector().workers().await.expect("redis answers");
            if workers.len() == number {
                return workers;
            }
            assert!(Instant::now() < deadline, "{workers:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn ended(mut worker: Worker) {
    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, Some(0), "{}", worker.log());
}

#[tokio::test]
async fn a_process_tells_who_it_is_and_what_it_runs_until_it_ends() {
    let darkroom = TestDarkroom::start().await;
    let busy = darkroom.worker_stopping_at(Step::Fetched, &[("DARKROOM_QUEUES", "upload")]);
    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    busy.reached(Step::Fetched).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let told = loop {
        let told = darkroom.workers(1).await.remove(0).presence;
        if told.running_jobs == 1 {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:?}");
    };
    let idle = darkroom.worker(&[("DARKROOM_QUEUES", "delete")]);
    darkroom.workers(2).await;

    let printed = darkroom.command(&["queue", "workers", "--json"]).ended().await;
    let read = darkroom.command(&["queue", "workers"]).ended().await;
    darkroom.let_go_on();
    assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
    ended(busy).await;
    ended(idle).await;

    assert_eq!((told.version.as_str(), told.running[0].kind.as_str()), (env!("CARGO_PKG_VERSION"), "upload"));
    assert_eq!(told.running[0].job_id, job.as_str());
    assert_eq!(told.slots.keys().collect::<Vec<_>>(), ["upload"]);
    let objects = printed.objects::<serde_json::Value>();
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert!(objects.iter().any(|worker| worker["running"][0]["job_id"] == job.as_str()), "{objects:?}");
    assert!(read.stdout.contains(job.as_str()), "{}", read.stdout);
    assert!(darkroom.workers(0).await.is_empty());
}

#[tokio::test]
async fn a_process_that_was_killed_is_forgotten_by_the_others() {
    let mut scripts = Scripts::start().await;
    let workers = scripts.keys.workers();
    let beat = |process: &str, record: &str, silent_ms: &str| [process, record, silent_ms].map(str::to_owned);
    let mut call = async |args: [String; 3]| {
        scripts.call::<u32>(&WORKER_BEAT, std::slice::from_ref(&workers), &args).await
    };

    let told = call(beat("alive", r#"{"host":"a"}"#, "60000")).await.unwrap();
    for number in 0..25 {
        call(beat(&format!("dead-{number}"), r#"{"host":"b"}"#, "1")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut forgotten = Vec::new();
    while forgotten.iter().sum::<u32>() < 25 && forgotten.len() < 200 {
        forgotten.push(call(beat("alive", r#"{"host":"a"}"#, "60000")).await.unwrap());
    }
    let wrong = call(beat("odd", "no object", "60000")).await;
    let left: Vec<(String, String)> = scripts.redis.hgetall(&workers).await.unwrap();
    let gone = scripts
        .call::<u32>(&WORKER_BEAT, std::slice::from_ref(&workers), &beat("alive", "", "60000"))
        .await
        .unwrap();

    assert_eq!((told, gone), (0, 0));
    assert!(forgotten.iter().all(|number| *number <= 10), "{forgotten:?}");
    assert!(wrong.unwrap_err().to_string().contains("wrong arguments"));
    assert_eq!(left.len(), 1, "{left:?}");
    let record: serde_json::Value = serde_json::from_str(&left[0].1).unwrap();
    assert_eq!((left[0].0.as_str(), &record["host"]), ("alive", &"a".into()));
    assert_eq!(record["silent_at_ms"].as_u64().unwrap() - record["beat_at_ms"].as_u64().unwrap(), 60_000);
    assert!(!scripts.redis.exists::<_, bool>(&workers).await.unwrap());
}

#[tokio::test]
async fn what_is_no_record_or_comes_from_the_future_is_forgotten() {
    let mut scripts = Scripts::start().await;
    let workers = scripts.keys.workers();
    let ahead = scripts.now_ms().await as u64 + 60_000;
    let future = format!(r#"{{"beat_at_ms":{ahead},"silent_at_ms":{},"host":"c"}}"#, ahead + 60_000);
    let () = scripts.redis.hset_multiple(&workers, &[("odd", "x"), ("future", &future)]).await.unwrap();

    let args = ["us", r#"{"host":"a"}"#, "60000"].map(str::to_owned);
    let forgotten: u32 = scripts.call(&WORKER_BEAT, std::slice::from_ref(&workers), &args).await.unwrap();

    assert_eq!(forgotten, 2);
    assert_eq!(scripts.redis.hkeys::<_, Vec<String>>(&workers).await.unwrap(), ["us"]);
}

#[tokio::test]
async fn the_number_of_the_layout_is_raised_by_a_newer_release_and_never_lowered() {
    let mut scripts = Scripts::start().await;
    let layout = scripts.keys.layout();
    let mut raise = async |known: &str| {
        scripts.call::<u32>(&LAYOUT_RAISE, std::slice::from_ref(&layout), &[known.to_owned()]).await
    };

    let answers = [raise("1").await, raise("1").await, raise("2").await, raise("1").await];
    let wrong = raise("").await;

    assert_eq!(answers.map(Result::unwrap), [1, 1, 2, 2]);
    assert!(wrong.unwrap_err().to_string().contains("wrong arguments"));
    assert_eq!(scripts.redis.get::<_, u32>(&layout).await.unwrap(), 2);
}
