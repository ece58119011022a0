//! A merchant's list whose run is killed between Redis and the result: the same call again gives each row one job.

use std::collections::BTreeMap;

use darkroom_jobs::{Ingest, Kind, Payload};
use redis::{AsyncCommands as _, Script};

use crate::{
    support::{command::Call as _, darkroom::TestDarkroom},
    wire::{Fault, Wire},
};

/// More than are pushed together.
const ROWS: usize = 600;

/// The products of the jobs that are there, each with the ids of its jobs.
async fn jobs(darkroom: &mut TestDarkroom) -> BTreeMap<String, Vec<String>> {
    let data: BTreeMap<String, String> =
        darkroom.redis.hgetall("{darkroom}:ingest:data").await.expect("redis answers");
    let mut jobs = BTreeMap::<_, Vec<_>>::new();
    for (id, payload) in data {
        let payload = Payload::<Ingest>::decode(payload.as_bytes()).expect("it is a job");
        jobs.entry(payload.job.product_id.to_string()).or_default().push(id);
    }
    jobs
}

#[tokio::test]
async fn a_list_that_was_killed_before_its_result_was_written_is_run_again_and_no_row_has_two_jobs() {
    let mut darkroom = TestDarkroom::start().await;
    let enqueue = Script::new(include_str!("../../jobs/src/enqueue.lua"));
    enqueue.prepare_invoke().load_async(&mut darkroom.redis).await.map(drop).expect("redis loads it");
    let wire = Wire::at_first_call(&enqueue, Fault::Silent, &darkroom.services.redis.url()).await;
    let list = darkroom.folder().join("list.csv");
    let rows = (0..ROWS).map(|n| format!("p{n},http://shop.com/{n}.jpg\n"));
    std::fs::write(&list, "product_id,url\n".to_owned() + &rows.collect::<String>()).expect("it is there");
    let list = list.to_str().expect("it is UTF-8");
    let call = ["enqueue", "ingest", "--csv", list, "--idempotency-key", "merchant-7"];

    let mut first = darkroom.command(&call).env("DARKROOM_REDIS_URL", &wire.url).spawn().expect("it starts");
    while wire.played() == 0 {
        assert!(first.try_wait().expect("it can be asked").is_none(), "it ended before its answer was lost");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    first.kill().await.expect("it runs");
    let pushed = jobs(&mut darkroom).await;
    let again = darkroom.command(&call).ended().await;

    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let all = jobs(&mut darkroom).await;
    assert!(!pushed.is_empty() && pushed.len() < ROWS, "{} were pushed before", pushed.len());
    assert_eq!(all.len(), ROWS);
    assert!(all.values().all(|ids| ids.len() == 1), "a row has two jobs");
    assert!(pushed.iter().all(|(product, ids)| all[product] == *ids), "a job was made anew");
    let mut result = csv::Reader::from_path(format!("{list}.result.csv")).expect("the result is there");
    let told: Vec<_> = result.records().map(|row| row.expect("it is a row")).collect();
    assert_eq!(told.len(), ROWS);
    for row in told {
        let product = row[3].split('/').nth(1).expect("products/PRODUCT/IMAGE.jpg");
        assert_eq!((&row[1], &row[2]), ("queued", &*all[product][0]));
    }
    let waiting = darkroom.inspector().stats(Kind::Ingest).await.expect("redis answers");
    assert_eq!(waiting.counts.active, ROWS as u64);
}
