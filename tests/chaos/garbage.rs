//! What another language's producer gets wrong, among jobs that are right: each is told why, and nobody stops.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use darkroom_jobs::{JobId, Receipt, Status};

use crate::{report, report::Row, scene, scene::Scene, size::size};

/// Nothing but Python's own library: it speaks to Redis as any other client.
const PRODUCER: &str = include_str!("garbage.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_job_is_dead_with_a_reason_and_what_is_one_among_it_is_done() {
    let rounds: usize = size(3, 40);
    let scene = Scene::start(Duration::ZERO).await;
    let mut workers = [scene.worker(&[]), scene.worker(&[])];
    let good = scene::load(1).remove(0).payload;

    let Some(expected) = pushed(&scene, rounds, &good).await else {
        return report::print("10 garbage from a producer in Python was left out: there is no python3");
    };
    let mut receipts = Vec::new();
    for id in expected.keys() {
        let id: JobId = id.parse().expect("an id");
        let receipt = scene.darkroom.producer.wait(&id, Duration::from_secs(120)).await;
        receipts.push(receipt.unwrap_or_else(|error| panic!("no final receipt of {id}: {error}")));
    }

    let done = receipts.iter().filter(|receipt| receipt.status == Status::Done).count();
    let row = Row {
        scenario: "10 garbage from a producer in Python",
        enqueued: expected.len(),
        completed: done,
        duplicates: scene.bucket.duplicates(),
        lost: expected.len() - receipts.len(),
        burnt: 0,
        recoveries: Vec::new(),
        note: format!("{} are dead, each with its reason", receipts.len() - done),
    };
    row.hold();
    for (receipt, (id, expected)) in receipts.iter().zip(&expected) {
        assert_eq!(told(receipt), *expected, "{id}: {receipt:?}");
        let error = receipt.error.as_ref();
        assert!(error.is_none_or(|error| !error.hint.is_empty() && error.message.len() < 1_000), "{id}");
    }
    for worker in &mut workers {
        assert!(worker.is_running(), "{}", worker.log());
    }
}

fn told(receipt: &Receipt) -> String {
    match &receipt.error {
        Some(error) => error.code.as_str().to_owned(),
        None => receipt.status.as_str().to_owned(),
    }
}

/// What should become of each job that the program pushed; `None` without Python.
async fn pushed(scene: &Scene, rounds: usize, good: &str) -> Option<BTreeMap<String, String>> {
    let address = scene.darkroom.services.redis.url().replace("redis://", "");
    let mut python = tokio::process::Command::new("python3");
    python.args(["-c", PRODUCER, &address, &rounds.to_string(), good]).stderr(Stdio::inherit());
    let output = match python.output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.expect("python starts"),
    };
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}
