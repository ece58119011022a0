//! Two releases on one queue: a rolling deploy, the way back, and forward again, with a build of an earlier commit (`make rolling`).

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    scene::{AS_RELEASED, LoadJob, Scene, load},
    size::size,
    support::{command::Call as _, darkroom::Worker},
};

/// Workers at any time, but for one more while a new one takes over.
const WORKERS: usize = 3;

/// What a worker logs of every job.
const SETTLED: &str = "\"job settled\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a build of an earlier commit: `make rolling`"]
async fn a_rolling_deploy_and_the_way_back_run_no_job_twice_and_lose_none() {
    let former = env::var_os("DARKROOM_TEST_FORMER").map(PathBuf::from);
    let former = former.expect("DARKROOM_TEST_FORMER names a build of an earlier commit");
    let ours = Path::new(env!("CARGO_BIN_EXE_darkroom"));
    let (jobs, over) = size((400, Duration::from_secs(30)), (3_000, Duration::from_secs(90)));
    let mut scene = Scene::start(Duration::from_millis(150)).await;
    let mut running: Vec<Worker> = (0..WORKERS).map(|_| scene.worker_of(&former, &AS_RELEASED)).collect();

    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, over);
    let (mut exits, mut settled) = (Vec::new(), [0, 0]);
    // Forward, back, and forward again, as long as jobs come.
    for turn in (0..).take_while(|_| !feed.is_finished()) {
        let stopping = usize::from(turn / WORKERS % 2 == 1);
        let (producing, next) = if stopping == 0 { (&*former, ours) } else { (ours, &*former) };
        let by_hand = enqueued_by(producing, &scene, 20).await;
        scene.jobs.extend(by_hand);
        running.push(scene.worker_of(next, &AS_RELEASED));
        let mut old = running.remove(0);
        let told = Instant::now();
        old.signal("TERM");
        assert_eq!(old.exit_code().await, Some(0), "{}", old.log());
        exits.push(told.elapsed());
        settled[stopping] += old.log().matches(SETTLED).count();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    scene.fed(feed).await;
    let tally = scene.settled().await;

    let mut row = scene.row("2 rolling deploy of two builds, and back", &tally).await;
    let longest = exits.iter().max().copied().expect("workers were told to stop");
    row.note = format!(
        "{} stops, the longest took {:.1} s; jobs settled before their stop: {} by the former build, {} by this one",
        exits.len(),
        longest.as_secs_f64(),
        settled[0],
        settled[1]
    );
    let all = (tally.done(), row.duplicates, row.burnt, tally.crashes);
    let expected = (scene.jobs.len(), 0, 0, 0);
    row.hold();
    assert_eq!(all, expected, "done, duplicates, attempts burnt, crashes: {:?}", tally.failures());
    assert!(exits.len() > 2 * WORKERS, "the load ended before the second deploy");
    assert!(settled.iter().all(|&count| count > 0), "both builds worked: {settled:?}");
    assert!(longest <= Duration::from_secs(28), "a stop took {longest:?}");
}

/// Uploads and ingests that the command line of a build enqueues.
async fn enqueued_by(program: &Path, scene: &Scene, count: usize) -> Vec<LoadJob> {
    let mut jobs = load(count);
    let line = |job: &LoadJob| {
        let mut payload: Value = serde_json::from_str(&job.payload).expect("it is JSON");
        payload["kind"] = json!(job.kind);
        payload.to_string() + "\n"
    };
    let lines: String = jobs.iter().map(line).collect();
    let mut command = tokio::process::Command::new(program);
    command.env_clear().envs(scene.darkroom.services.environment());
    let ended = command.args(["enqueue", "--from-jsonl", "-", "--json"]).input(lines.into_bytes()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let taken = ended.objects::<Value>();
    assert_eq!(taken.len(), count, "{}", ended.stdout);
    for (job, taken) in jobs.iter_mut().zip(&taken) {
        job.id = taken["job_id"].as_str().expect("it has an id").parse().expect("an id");
    }
    jobs
}
