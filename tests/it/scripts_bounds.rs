//! What no script takes: a call without arguments, and more work than one call may do. And the stream that all write to.

use std::{collections::BTreeMap, sync::LazyLock};

use darkroom::queue::scripts::{
    HEALTH_WRITE, JOBS_CLAIM, JOBS_OF_OWNER, JOBS_SCRUB, JOBS_STAMP, QUEUES_TICK,
};
use redis::{AsyncCommands as _, RedisResult, Script, Value};

use crate::{
    lua_headers,
    support::{
        invariant::MOST_EVENTS,
        scripts::{DONE, Scripts, texts},
    },
};

static ENQUEUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../jobs/src/enqueue.lua")));

/// A script that does so much in one call, and no more.
struct Bounded {
    name: &'static str,
    script: &'static Script,
    keys: Vec<String>,
    most: usize,
    /// The arguments that ask for so much.
    args: fn(usize) -> Vec<String>,
}

impl Bounded {
    async fn call(&self, scripts: &mut Scripts, much: usize) -> RedisResult<Value> {
        scripts.call(self.script, &self.keys, &(self.args)(much)).await
    }
}

/// Says whether a call was refused in words of ours.
fn is_refusal(name: &str, answer: &RedisResult<Value>) -> bool {
    let Err(error) = answer else { return false };
    let words = error.to_string();
    let of_bug = words.contains(name) && words.contains("wrong arguments");
    of_bug || words.contains(&format!("{name} takes at most 100 jobs"))
}

fn bounded(scripts: &Scripts) -> [Bounded; 6] {
    let q = &scripts.queue;
    let sets = [q.active(), q.leases(), q.data(), q.done(), q.dead(), q.paused()];
    let claim = [&sets[..], &[q.meta_prefix(), q.scheduled()]].concat();
    let sets = [q.scheduled(), q.active(), q.leases(), q.reaped(), q.data(), q.done(), q.dead(), q.stats()];
    let tick = [&sets[..], &[q.meta_prefix()]].concat();
    let scan = vec![q.data(), q.meta_prefix()];
    let scrub = vec![q.data(), q.stats(), q.meta_prefix()];
    let enqueue = vec![q.data(), q.meta_prefix(), q.active(), q.scheduled(), scripts.keys.wake()];
    let row = |name, script, keys, most, args| Bounded { name, script, keys, most, args };
    [
        row("jobs_claim", &*JOBS_CLAIM, claim, 100, |tokens| {
            texts(&[&["30000", "2097152", "4096"][..], &vec!["token"; tokens]].concat())
        }),
        row("queues_tick", &*QUEUES_TICK, tick, 500, |batch| {
            let kept = ["604800", "1000000", "604800", "1000000", "1000000000", "8", "259200000"];
            let times = ["30000", "0", "600000", "2592000"];
            texts(&[&[&*batch.to_string()][..], &times, &kept].concat())
        }),
        row("jobs_stamp", &*JOBS_STAMP, scan.clone(), 500, |count| texts(&["0", &count.to_string()])),
        row("jobs_of_owner", &*JOBS_OF_OWNER, scan, 500, |count| {
            texts(&["0", &count.to_string(), "user_id", "1", "user_photos/1/"])
        }),
        row("jobs_scrub", &*JOBS_SCRUB, scrub, 100, |jobs| {
            texts(&["a", "payload", "{}", "", "", "", ""].repeat(jobs))
        }),
        row("enqueue", &*ENQUEUE, enqueue, 100, |jobs| {
            let rows = (0..jobs).flat_map(|job| texts(&[&format!("new-{job}"), "payload", "18", "", ""]));
            texts(&["upload", "60000", "1000"]).into_iter().chain(rows).collect()
        }),
    ]
}

/// All that Redis has, as it would write it to a disk.
async fn everything(scripts: &mut Scripts) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in scripts.redis.keys::<_, Vec<String>>("*").await.expect("redis answers") {
        let dump = redis::cmd("DUMP").arg(&key).query_async(&mut scripts.redis).await;
        found.insert(key, dump.expect("redis answers"));
    }
    found
}

#[tokio::test]
async fn every_script_refuses_a_call_without_arguments_as_the_bug_that_it_is() {
    let mut scripts = Scripts::start().await;
    let with_arguments = lua_headers::scripts().into_iter().filter(|script| script.head.contains("-- ARGV"));

    let mut taken = Vec::new();
    for script in with_arguments {
        let text = Script::new(&format!("{}\n{}", script.head, script.body));
        let answer = scripts.call(&text, &[], &[]).await;
        if !is_refusal(&script.name, &answer) {
            taken.push((script.name, answer));
        }
    }

    assert!(taken.is_empty(), "{taken:?}");
    assert_eq!(redis::cmd("DBSIZE").query_async::<u32>(&mut scripts.redis).await.expect("it answers"), 0);
}

#[tokio::test]
async fn a_call_that_asks_for_more_than_one_may_do_is_refused_whole_and_one_that_asks_for_the_most_is_not() {
    let mut scripts = Scripts::start().await;
    for job in ["a", "b"] {
        scripts.ready(job, "payload").await;
    }
    scripts.score(scripts.queue.scheduled(), "due", 1.0).await;
    let before = everything(&mut scripts).await;
    let all = bounded(&scripts);

    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for script in &all {
        let answer = script.call(&mut scripts, script.most + 1).await;
        if !is_refusal(script.name, &answer) {
            taken.push(script.name);
        }
    }
    let after = everything(&mut scripts).await;
    for script in &all {
        let answer = script.call(&mut scripts, script.most).await;
        refused.extend(answer.err().map(|error| (script.name, error)));
    }

    assert_eq!(taken, [""; 0], "these were called with too much");
    assert!(before == after, "something was changed");
    assert!(refused.is_empty(), "called with the most: {refused:?}");
}

/// Puts more events there than are kept, as nobody does who cuts the stream.
async fn crowd(scripts: &mut Scripts) {
    let events = scripts.keys.events();
    let mut pipeline = redis::pipe();
    pipeline.del(&events).ignore();
    for _ in 0..MOST_EVENTS + 1_000 {
        pipeline.xadd(&events, "*", &[("event", "{}")]).ignore();
    }
    let () = pipeline.query_async(&mut scripts.redis).await.expect("redis answers");
}

async fn events(scripts: &mut Scripts) -> usize {
    scripts.redis.xlen(scripts.keys.events()).await.expect("redis answers")
}

#[tokio::test]
async fn whoever_announces_something_cuts_the_stream_of_events() {
    let mut scripts = Scripts::start().await;
    let token = scripts.leased("settled").await;
    scripts.ready("cancelled", "payload").await;
    let health = [scripts.keys.health(), scripts.keys.events()];

    crowd(&mut scripts).await;
    let crowded = events(&mut scripts).await;
    let settled = scripts.settle("settled", &token, &DONE).await.expect("redis answers");
    let after_settling = events(&mut scripts).await;
    crowd(&mut scripts).await;
    let cancelled = scripts.cancel("cancelled", "0").await;
    let after_cancelling = events(&mut scripts).await;
    crowd(&mut scripts).await;
    let report = texts(&["down", "{}", "{}"]);
    let before: String = scripts.call(&HEALTH_WRITE, &health, &report).await.expect("redis answers");
    let after_reporting = events(&mut scripts).await;

    assert_eq!((crowded, settled, cancelled, before.as_str()), (MOST_EVENTS + 1_000, 1, 1, "ok"));
    let left = [after_settling, after_cancelling, after_reporting];
    assert!(left.iter().all(|left| (10_000..=MOST_EVENTS).contains(left)), "{left:?}");
}
