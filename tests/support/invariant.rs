//! What is true of the queues at every moment: a job is in exactly one place.

use std::collections::{BTreeMap, BTreeSet};

use darkroom_jobs::{Kind, redis_keys::Keys};
use redis::{Client, Connection};

const PLACES: [&str; 5] = ["active", "scheduled", "leases", "done", "dead"];

/// Panics when a job is in two places, in one twice, or in none although its payload is there. Only a cancelled job may
/// linger in `active`. A server that is away has nothing to check.
pub fn every_job_is_in_one_place(url: &str, namespace: &str) {
    let client = Client::open(url).expect("it is a url");
    let Ok(mut redis) = client.get_connection() else { return };
    let keys = Keys::new(namespace).expect("it is a namespace");
    for kind in Kind::ALL {
        let wrong = out_of_place(&mut redis, &keys, kind);
        assert!(wrong.is_empty(), "jobs of {kind} that are not in exactly one place: {wrong:?}");
    }
}

fn out_of_place(redis: &mut Connection, keys: &Keys, kind: Kind) -> BTreeMap<String, Vec<&'static str>> {
    let queue = keys.queue(kind);
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("LRANGE").arg(queue.active()).arg(0).arg(-1);
    for set in [queue.scheduled(), queue.leases(), queue.done(), queue.dead()] {
        pipeline.cmd("ZRANGE").arg(set).arg(0).arg(-1);
    }
    pipeline.cmd("HKEYS").arg(queue.data());
    let mut lists: Vec<Vec<Vec<u8>>> = pipeline.query(redis).expect("redis answers");

    let data = lists.pop().expect("it was asked for");
    let mut found: BTreeMap<Vec<u8>, Vec<&str>> = data.into_iter().map(|id| (id, Vec::new())).collect();
    for (place, ids) in PLACES.into_iter().zip(lists) {
        for id in ids {
            found.entry(id).or_default().push(place);
        }
    }
    found.retain(|id, places| places.len() != 1 && !is_husk(redis, &queue.meta_prefix(), id, places));
    found.into_iter().map(|(id, places)| (String::from_utf8_lossy(&id).into_owned(), places)).collect()
}

fn is_husk(redis: &mut Connection, meta_prefix: &str, id: &[u8], places: &[&str]) -> bool {
    let meta = [meta_prefix.as_bytes(), id].concat();
    let result: Option<String> =
        redis::cmd("HGET").arg(meta).arg("result").query(redis).expect("redis answers");
    places.iter().copied().collect::<BTreeSet<_>>() == BTreeSet::from(["active", "done"])
        && result.is_some_and(|receipt| receipt.contains(r#""status":"cancelled""#))
}
