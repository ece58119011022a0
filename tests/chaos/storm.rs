//! Workers that are killed one after the other, or told to stop one after the other, while jobs keep coming.

use std::time::{Duration, Instant};

use crate::{
    scene::{AS_RELEASED, Scene},
    size::size,
    support::darkroom::Worker,
    timeline::{Moment, longest_start, recoveries, waits},
};

/// So slow that most jobs are in their PUT when their worker dies.
const LATENCY: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_of_which_one_is_killed_every_three_seconds_lose_no_job() {
    let (jobs, over) = size((300, Duration::from_secs(12)), (3_000, Duration::from_secs(120)));
    let pause = size(Duration::from_secs(1), Duration::from_secs(3));
    let settings = size(&[][..], &AS_RELEASED);
    let mut scene = Scene::start(LATENCY).await;
    let (mut workers, mut starts) = (Vec::<Worker>::new(), Vec::new());
    for _ in 0..4 {
        workers.push(scene.worker(settings));
        starts.extend(workers.last().map(Moment::of));
    }
    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, over);

    let mut hits = Vec::new();
    for turn in (0..workers.len()).cycle() {
        tokio::time::sleep(pause).await;
        if feed.is_finished() {
            break;
        }
        hits.push(Moment::of(&workers[turn]));
        workers[turn].kill().await;
        workers[turn] = scene.worker(settings);
        starts.push(Moment::of(&workers[turn]));
    }
    scene.fed(feed).await;
    let tally = scene.settled().await;

    let mut row = scene.row("1 SIGKILL storm, 4 workers", &tally).await;
    let waits = waits(scene.darkroom.folder(), &hits).into_iter();
    // From the third time on a job waits for minutes, on purpose; and how many are hit so often is luck.
    let waits = waits.filter(|wait| !tally.thrice.iter().any(|job| job.as_str() == wait.job));
    row.recoveries = waits.map(|wait| wait.took).collect();
    let start = longest_start(&starts);
    row.note = format!(
        "{} kills, {} leases ran out, {} jobs were hit three times; a worker starts in {:.1} s at most",
        hits.len(),
        tally.crashes,
        tally.thrice.len(),
        start.as_secs_f64()
    );
    row.hold();
    assert_eq!((tally.done(), row.burnt), (jobs, 0), "{:?}", tally.failures());
    // A lease, a search for those that ran out, and what a worker does beside: 36 s as released. A machine that others use
    // takes as many times as long for that as it takes to start a worker.
    let most = size(Duration::from_secs(8), Duration::from_secs(36)) + start * 4;
    let longest = row.recoveries.iter().max().copied().unwrap_or_default();
    assert!(longest <= most, "a job ran again after {longest:?}, promised were {most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_restarted_one_after_the_other_run_no_job_twice() {
    let (jobs, over) = size((200, Duration::from_secs(8)), (2_000, Duration::from_secs(90)));
    let settings = size(&[("DARKROOM_SHUTDOWN_MS", "1000")][..], &AS_RELEASED);
    // One job of each does not finish by itself: it is handed back.
    let stuck = [settings, &[("DARKROOM_TEST_STOP_AT", "fetched")]].concat();
    let mut scene = Scene::start(LATENCY).await;
    let mut workers: Vec<Worker> = (0..3).map(|_| scene.worker(&stuck)).collect();
    let feed = scene.feed(scene.darkroom.producer.clone(), jobs, over);
    for worker in &workers {
        worker.reached(darkroom::config::steps::Step::Fetched).await;
    }

    let (mut hits, mut exits) = (Vec::new(), Vec::new());
    let mut replacements = Vec::new();
    for worker in &mut workers {
        replacements.push(scene.worker(settings));
        hits.push(Moment::of(worker));
        let told = Instant::now();
        worker.signal("TERM");
        assert_eq!(worker.exit_code().await, Some(0), "{}", worker.log());
        exits.push(told.elapsed());
    }
    while !feed.is_finished() {
        let mut next = replacements.remove(0);
        replacements.push(scene.worker(settings));
        let told = Instant::now();
        next.signal("TERM");
        assert_eq!(next.exit_code().await, Some(0), "{}", next.log());
        exits.push(told.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    scene.fed(feed).await;
    let tally = scene.settled().await;

    let mut row = scene.row("2 rolling SIGTERM, 3 workers", &tally).await;
    let longest = exits.iter().max().copied().expect("workers were told to stop");
    row.recoveries = recoveries(scene.darkroom.folder(), &hits);
    row.note = format!("{} stops, the longest took {:.1} s", exits.len(), longest.as_secs_f64());
    row.hold();
    assert_eq!((tally.done(), row.duplicates, row.burnt, tally.crashes), (jobs, 0, 0, 0));
    assert!(longest <= Duration::from_secs(28), "a stop took {longest:?}");
}
