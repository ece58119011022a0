//! What is true of the queues at every moment: a job is in exactly one place, nothing is kept of one that is in none, and
//! no key grows without a bound.

use std::collections::{BTreeMap, BTreeSet};

use darkroom_jobs::{
    Kind,
    redis_keys::{Keys, QueueKeys},
};
use redis::{Client, Connection, FromRedisValue, Pipeline};

const PLACES: [&str; 5] = ["active", "scheduled", "leases", "done", "dead"];

/// Events that the stream keeps, and what `MAXLEN ~` may leave beyond.
pub const MOST_EVENTS: usize = 10_000 + 1_000;

/// Ids that one round trip asks about.
const BATCH: usize = 5_000;

/// Panics when a job is in two places, in one twice, or in none although its payload is there; when metadata is kept of
/// no job, a settled job has no receipt or a payload that nobody needs, a running one no token; and when a key is there
/// that nothing bounds. Only a cancelled job may linger in `active`. A server that is away has nothing to check.
pub fn every_job_is_in_one_place(url: &str, namespace: &str) {
    let client = Client::open(url).expect("it is a url");
    let Ok(mut redis) = client.get_connection() else { return };
    let keys = Keys::new(namespace).expect("it is a namespace");
    // Before the places are looked at: what is written meanwhile is of no job that this look should find.
    let present = all_keys(&mut redis, namespace);
    for kind in Kind::ALL {
        let queue = keys.queue(kind);
        let places = places(&mut redis, &queue);
        let wrong = out_of_place(&mut redis, &queue, &places);
        assert!(wrong.is_empty(), "jobs of {kind} that are not in exactly one place: {wrong:?}");
        let orphans = orphans(&mut redis, &queue, &places, &present);
        assert!(orphans.is_empty(), "metadata of {kind} that belongs to no job: {orphans:?}");
        incomplete(&mut redis, &queue, kind, &places);
    }
    let unbounded = unbounded(&mut redis, &keys, &present);
    assert!(unbounded.is_empty(), "keys without a bound: {unbounded:?}");
}

/// Where each job is, and those whose payload is there without them.
type Places = BTreeMap<Vec<u8>, Vec<&'static str>>;

fn all_keys(redis: &mut Connection, namespace: &str) -> BTreeSet<Vec<u8>> {
    let (mut found, mut cursor) = (BTreeSet::new(), 0_u64);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg(&["MATCH", &format!("{{{namespace}}}:*"), "COUNT", "5000"]);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(redis).expect("redis answers");
        found.extend(keys);
        if next == 0 {
            return found;
        }
        cursor = next;
    }
}

fn places(redis: &mut Connection, queue: &QueueKeys) -> Places {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("LRANGE").arg(queue.active()).arg(0).arg(-1);
    for set in [queue.scheduled(), queue.leases(), queue.done(), queue.dead()] {
        pipeline.cmd("ZRANGE").arg(set).arg(0).arg(-1);
    }
    pipeline.cmd("HKEYS").arg(queue.data());
    let mut lists: Vec<Vec<Vec<u8>>> = pipeline.query(redis).expect("redis answers");

    let data = lists.pop().expect("it was asked for");
    let mut found: Places = data.into_iter().map(|id| (id, Vec::new())).collect();
    for (place, ids) in PLACES.into_iter().zip(lists) {
        for id in ids {
            found.entry(id).or_default().push(place);
        }
    }
    found
}

fn out_of_place(
    redis: &mut Connection,
    queue: &QueueKeys,
    places: &Places,
) -> BTreeMap<String, Vec<&'static str>> {
    let wrong = places
        .iter()
        .filter(|(id, places)| places.len() != 1 && !is_husk(redis, &queue.meta_prefix(), id, places));
    wrong.map(|(id, places)| (text(id), places.clone())).collect()
}

fn is_husk(redis: &mut Connection, meta_prefix: &str, id: &[u8], places: &[&str]) -> bool {
    let meta = [meta_prefix.as_bytes(), id].concat();
    let result: Option<String> =
        redis::cmd("HGET").arg(meta).arg("result").query(redis).expect("redis answers");
    places.iter().copied().collect::<BTreeSet<_>>() == BTreeSet::from(["active", "done"])
        && result.is_some_and(|receipt| receipt.contains(r#""status":"cancelled""#))
}

/// Metadata of jobs that are nowhere. What was forgotten since the keys were listed is none.
fn orphans(
    redis: &mut Connection,
    queue: &QueueKeys,
    places: &Places,
    present: &BTreeSet<Vec<u8>>,
) -> Vec<String> {
    let prefix = queue.meta_prefix().into_bytes();
    let metas = present.iter().filter(|key| key.starts_with(&prefix));
    let alone = metas.filter(|key| !places.contains_key(&key[prefix.len()..]));
    let still = |key: &&Vec<u8>| redis::cmd("EXISTS").arg(*key).query::<bool>(redis).expect("redis answers");
    alone.filter(still).map(|key| text(key)).collect()
}

/// A settled job has a receipt, a done one an empty payload, a leased one a token. What moved meanwhile is left alone.
fn incomplete(redis: &mut Connection, queue: &QueueKeys, kind: Kind, places: &Places) {
    for (place, set) in [("leases", queue.leases()), ("done", queue.done()), ("dead", queue.dead())] {
        let ids: Vec<_> = places.iter().filter(|(_, at)| at.contains(&place)).map(|(id, _)| id).collect();
        for some in ids.chunks(BATCH) {
            let answers: Vec<(Option<f64>, bool, bool, bool, usize)> = asked(redis, some, |pipeline, id| {
                let meta = [queue.meta_prefix().as_bytes(), id].concat();
                pipeline.cmd("ZSCORE").arg(&set).arg(id);
                pipeline.cmd("HEXISTS").arg(&meta).arg("result").cmd("HSTRLEN").arg(&meta).arg("dr_token");
                pipeline.cmd("HEXISTS").arg(&meta).arg("dr_leased_at");
                pipeline.cmd("HSTRLEN").arg(queue.data()).arg(id);
            });
            for (id, (score, has_result, has_token, was_claimed, payload)) in some.iter().zip(answers) {
                let right = match place {
                    // What was never claimed was put there by a test.
                    "leases" => has_token == was_claimed && !has_result,
                    "done" => has_result && !has_token && payload == 0,
                    _ => has_result && !has_token,
                };
                let told = format!("result {has_result}, token {has_token}, payload of {payload} bytes");
                assert!(right || score.is_none(), "{} of {kind} is in {place}: {told}", text(id));
            }
        }
    }
}

/// Keys that have no bound that we know: no time to live, no owner, no limit.
fn unbounded(redis: &mut Connection, keys: &Keys, present: &BTreeSet<Vec<u8>>) -> Vec<String> {
    let mut known = BTreeSet::from([keys.events(), keys.health(), keys.workers(), keys.layout()]);
    let mut expire = vec![keys.tombstone(""), keys.pace("")];
    let mut metas = Vec::new();
    for queue in Kind::ALL.map(|kind| keys.queue(kind)) {
        known.extend([queue.data(), queue.scheduled(), queue.active(), queue.leases(), queue.done()]);
        known.extend([queue.dead(), queue.paused(), queue.reaped(), queue.slot(), queue.stats()]);
        expire.push(queue.idempotency(""));
        metas.push(queue.meta_prefix());
    }
    let begins =
        |key: &[u8], prefixes: &[String]| prefixes.iter().any(|some| key.starts_with(some.as_bytes()));
    let events: usize = redis::cmd("XLEN").arg(keys.events()).query(redis).expect("redis answers");
    assert!(events <= MOST_EVENTS, "the stream has {events} events");
    let others = present.iter().filter(|key| !known.contains(&text(key)) && !begins(key, &metas));
    // -2: it is gone by now.
    let lasts = |key: &&Vec<u8>| {
        let left: i64 = redis::cmd("PTTL").arg(*key).query(redis).expect("redis answers");
        !begins(key, &expire) || left == -1
    };
    others.filter(lasts).map(|key| text(key)).collect()
}

/// Several commands for each id, all at one moment; their answers as one tuple for each.
fn asked<T: FromRedisValue>(
    redis: &mut Connection,
    ids: &[&Vec<u8>],
    ask: impl Fn(&mut Pipeline, &[u8]),
) -> Vec<T> {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for id in ids {
        ask(&mut pipeline, id);
    }
    let answers: Vec<redis::Value> = pipeline.query(redis).expect("redis answers");
    let each = answers.len() / ids.len();
    let tuples = answers.chunks(each).map(|some| redis::Value::Array(some.to_vec()));
    tuples.map(|tuple| redis::from_redis_value(tuple).expect("it is answered")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
