//! The periodic look at the bucket in ten processes, of which one after the other is killed: one job for each slot.

use std::time::{Duration, Instant};

use darkroom_jobs::{JobId, Receipt, Status};

use crate::{report::Row, scene::Scene, size::size, support::darkroom::Worker, timeline::now_ms};

/// Length of a slot, ms. A process ticks four times in each, in whole seconds.
const SLOT_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_processes_that_tick_and_die_enqueue_one_job_for_each_slot() {
    let (ticking, pause) = size(
        (Duration::from_secs(16), Duration::from_millis(1_500)),
        (Duration::from_secs(90), Duration::from_millis(700)),
    );
    let scene = Scene::start(Duration::ZERO).await;
    let slot = SLOT_MS.to_string();
    let settings = [("DARKROOM_HEALTH_INTERVAL_MS", &*slot), ("DARKROOM_QUEUES", "bucket_health")];
    let mut workers: Vec<Worker> = (0..10).map(|_| scene.worker(&settings)).collect();

    let (since, mut kills) = (Instant::now(), 0);
    for turn in (0..workers.len()).cycle() {
        tokio::time::sleep(pause).await;
        if since.elapsed() > ticking {
            break;
        }
        workers[turn].kill().await;
        workers[turn] = scene.worker(&settings);
        kills += 1;
    }
    let ended_ms = now_ms();
    let receipts = settled(&scene).await;
    drop(workers);

    let mut looks: Vec<_> = receipts.iter().map(|receipt| (begun(receipt) / SLOT_MS, receipt)).collect();
    looks.sort_unstable_by_key(|(slot, _)| *slot);
    let slots: Vec<_> = looks.iter().map(|(slot, _)| *slot).collect();
    let first = *slots.first().expect("there was a look");
    let missing: Vec<_> = (first..ended_ms / SLOT_MS).filter(|slot| !slots.contains(slot)).collect();
    let done = receipts.iter().filter(|receipt| receipt.status == Status::Done).count();
    let row = Row {
        scenario: "11 ticks in 10 processes with kills",
        enqueued: receipts.len(),
        completed: done,
        duplicates: slots.windows(2).filter(|two| two[0] == two[1]).count(),
        lost: receipts.len() - done,
        burnt: 0,
        recoveries: Vec::new(),
        note: format!(
            "{kills} kills, {} slots, of which {} had the job of an earlier one in work",
            slots.len() + missing.len(),
            missing.len()
        ),
    };
    row.hold();
    assert!(slots.windows(2).all(|two| two[0] < two[1]), "a slot has two jobs: {slots:?}");
    for slot in &missing {
        // Nobody ticks while the job of an earlier slot waits for the lease of the dead to run out.
        let held = looks.iter().any(|(other, receipt)| other < slot && ended(receipt) > slot * SLOT_MS);
        assert!(held, "slot {slot} has no job, of {slots:?}");
    }
}

fn begun(receipt: &Receipt) -> u64 {
    receipt.enqueued_at.expect("the script noted it").unix_ms()
}

fn ended(receipt: &Receipt) -> u64 {
    receipt.finished_at.expect("it is settled").unix_ms()
}

/// Receipts of all looks at the bucket, once none waits or runs that was there when asked; within 60 s.
async fn settled(scene: &Scene) -> Vec<Receipt> {
    let mut redis = scene.redis().await;
    let ids: Vec<String> = redis::cmd("HKEYS")
        .arg("{darkroom}:bucket_health:data")
        .query_async(&mut redis)
        .await
        .expect("redis answers");
    let mut receipts = Vec::new();
    for id in ids {
        let id: JobId = id.parse().expect("an id");
        let receipt = scene.darkroom.producer.wait(&id, Duration::from_secs(60)).await;
        receipts.push(receipt.unwrap_or_else(|error| panic!("no final receipt of {id}: {error}")));
    }
    receipts
}
