//! Random calls of the scripts agree, answer by answer, with a small specification in memory. A failure is shrunk to the
//! few calls that it takes.
//!
//! `DARKROOM_TEST_STEPS` is how many calls are made, `DARKROOM_TEST_SEED` which: a failure prints it.

mod calls;
mod spec;

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine as _, StateMachineTest};
use redis::AsyncCommands as _;
use tokio::runtime::Runtime;

use crate::{
    size::size,
    support::scripts::{DONE, Scripts, Settling, TICK},
};
use calls::{Answer, Call, Calls, State};
use spec::{Outcome, Queue};

/// Longer than any walk: in the specification time passes when it is told to.
const NEVER_MS: u64 = 24 * 60 * 60 * 1000;

/// Most calls of one walk, which begins with an empty queue.
const WALK: usize = 400;

/// Calls that were made.
static MADE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The server of the walks that went well.
    static IDLE: RefCell<Option<Redis>> = const { RefCell::new(None) };
}

/// The scripts on a real server.
struct Redis {
    runtime: Runtime,
    scripts: Scripts,
}

impl Redis {
    /// A queue that nobody has used.
    fn fresh() -> Self {
        let mut redis = IDLE.take().unwrap_or_else(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            let mut scripts = runtime.block_on(Scripts::start());
            scripts.lease_ms = NEVER_MS;
            Self { runtime, scripts }
        });
        redis.runtime.block_on(async {
            let () = redis::cmd("FLUSHALL").query_async(&mut redis.scripts.redis).await.expect("redis obeys");
            // The first tick of a queue only notes the time.
            redis.scripts.tick(TICK).await;
        });
        redis
    }
}

struct Walk;

impl StateMachineTest for Walk {
    type SystemUnderTest = Redis;
    type Reference = Calls;

    fn init_test(_: &State) -> Redis {
        Redis::fresh()
    }

    fn apply(mut redis: Redis, after: &State, call: Call) -> Redis {
        MADE.fetch_add(1, Ordering::Relaxed);
        let Redis { runtime, scripts } = &mut redis;
        runtime.block_on(async {
            let answer = make(scripts, &call).await;
            assert_eq!(answer, after.answer, "{call:?}");
            compare(scripts, &after.queue).await;
        });
        redis
    }

    fn check_invariants(_: &Redis, state: &State) {
        let queue = &state.queue;
        for id in queue.jobs.keys().chain(&queue.active) {
            let places = queue.places(id);
            let ready = queue.active.iter().filter(|ready| *ready == id).count();
            let husks = queue.husks.get(id).copied().unwrap_or_default();
            let waits = queue.jobs.contains_key(id) && places == 0;
            assert!(
                places <= 1 && ready == husks + usize::from(waits),
                "{id} is in {places} places, and {ready} times ready, of which husks {husks}"
            );
        }
    }

    fn teardown(redis: Redis, _: State) {
        IDLE.set(Some(redis));
    }
}

/// What the script answers.
async fn make(scripts: &mut Scripts, call: &Call) -> Answer {
    match call {
        Call::Enqueue { id, payload, key, later } => {
            let (payload, key) = (payload.to_string(), key.map(String::from));
            let (answer, id) = scripts.enqueue(id, &payload, key.as_deref(), *later).await;
            Answer::Enqueued(answer, id)
        }
        Call::Push { id, due } => {
            let () = scripts.redis.hset(scripts.queue.data(), id, "0").await.expect("redis answers");
            if *due {
                scripts.score(scripts.queue.scheduled(), id, 1.0).await;
            } else {
                let () = scripts.redis.rpush(scripts.queue.active(), id).await.expect("redis answers");
            }
            Answer::None
        }
        Call::Claim { tokens } => {
            let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
            let rows = scripts.claim(&tokens).await.into_iter();
            Answer::Claimed(rows.map(|row| (row.id, row.deliveries, row.attempts, row.crashes)).collect())
        }
        Call::Settle { id, token, outcome, attempts, next } => {
            let says = settling(*outcome, *attempts, next.as_deref());
            Answer::Code(scripts.settle(id, token, &says).await.expect("redis answers"))
        }
        Call::GiveBack { id, token } => Answer::Code(scripts.give_back(id, token).await),
        Call::Extend { held } => {
            let held: Vec<_> = held.iter().map(|(id, token)| (&**id, &**token)).collect();
            Answer::Lost(scripts.extend(&held).await.expect("redis answers"))
        }
        Call::Cancel { id, deliveries } => Answer::Code(scripts.cancel(id, &deliveries.to_string()).await),
        Call::Discard { id, key } => {
            let key = key.map(String::from).unwrap_or_default();
            Answer::Code(scripts.discard(id, &key).await)
        }
        Call::Retry { ids } => {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            Answer::Count(scripts.retry(&ids).await.expect("redis answers"))
        }
        Call::Pause(true) => Answer::Code(scripts.pause().await),
        Call::Pause(false) => Answer::Code(scripts.resume().await),
        Call::LeaseRunsOut { id } | Call::TimeComes { id } => {
            let is_lease = matches!(call, Call::LeaseRunsOut { .. });
            let set = if is_lease { scripts.queue.leases() } else { scripts.queue.scheduled() };
            scripts.score(set, id, 1.0).await;
            Answer::None
        }
        Call::Tick => {
            let (_, again, promoted, returned) = scripts.tick(TICK).await;
            assert!(!again, "a batch of {} was full", TICK.batch);
            Answer::Moved(promoted, returned)
        }
        Call::Forget => {
            // Leases are looked at no more than once an hour: nothing but what is settled is touched.
            let says = crate::support::scripts::Tick { reap_ms: 3_600_000, done_max: 0, dead_max: 0, ..TICK };
            let (_, _, promoted, returned) = scripts.tick(says).await;
            Answer::Moved(promoted, returned)
        }
    }
}

fn settling(outcome: Outcome, attempts: u32, next: Option<&str>) -> Settling<'_> {
    let outcome = match outcome {
        Outcome::Done => "done",
        Outcome::Dead => "dead",
        Outcome::Again => "again",
    };
    Settling { outcome, attempts, after_ms: NEVER_MS, next: next.unwrap_or(""), ..DONE }
}

async fn compare(scripts: &mut Scripts, queue: &Queue) {
    assert_eq!(VecDeque::from(scripts.active().await), queue.active);
    let keys = scripts.queue.clone();
    for (key, expected) in [
        (keys.scheduled(), queue.scheduled.keys().cloned().collect()),
        (keys.leases(), queue.leases.keys().cloned().collect()),
        (keys.done(), queue.done.clone()),
        (keys.dead(), queue.dead.clone()),
    ] {
        let found: BTreeSet<_> = scripts.zset(key.clone()).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, expected, "{key}");
    }
    let found: BTreeSet<String> = scripts.redis.hkeys(keys.data()).await.expect("redis answers");
    assert_eq!(found, queue.jobs.keys().cloned().collect(), "payloads");
}

#[test]
fn any_order_of_calls_agrees_with_the_specification() {
    let asked =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let steps = asked("DARKROOM_TEST_STEPS").unwrap_or(size(4_000, 100_000));
    // The quick form is the same every time: what is rare is for the full one to find.
    let seed = asked("DARKROOM_TEST_SEED").unwrap_or_else(|| size(0, fastrand::u64(..)));
    println!("DARKROOM_TEST_SEED={seed}");
    let config = Config {
        cases: u32::try_from(steps / WALK as u64 + 1).expect("it is a number of walks"),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        max_shrink_time: 120_000, // ms
        ..Config::default()
    };

    let walks = Calls::sequential_strategy(WALK..WALK + 1);
    let ended = TestRunner::new(config.clone()).run(&walks, |(state, calls, seen)| {
        Walk::test_sequential(config.clone(), state, calls, seen);
        Ok(())
    });

    if let Err(failure) = ended {
        panic!("{failure}\nDARKROOM_TEST_SEED={seed}");
    }
    let made = MADE.load(Ordering::Relaxed);
    assert!(made >= steps, "only {made} calls were made");
    crate::report::print(&format!("| 12 model of the scripts | {made} calls, seed {seed} | | | 0 | | | | |"));
}
