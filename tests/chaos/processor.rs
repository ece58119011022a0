//! What a script takes of a processor behind a backlog: the time that the system has given to Redis' thread, before and after
//! each call. Others make that longer too, by caches and by a processor that is shared itself: how much is told by work that
//! is always the same, which is done in between.

use std::{fmt, time::Duration};

use redis::AsyncCommands as _;

use crate::{
    backlog::{Place, forge},
    report,
    size::size,
    support::scripts::{DONE, Scripts, Settling, TICK, Tick},
};

/// What 999 of 1,000 calls may take. A quick run has fewer calls, of which it looks at the longest.
const MOST: Duration = Duration::from_millis(5);
const SLACK_OF_FEW: u32 = 4;

/// Takes some 1 ms: as long as the others.
const YARDSTICK: &str = "local sum = 0; for i = 1, 50000 do sum = sum + i end; return sum";

/// Jobs that a worker moves, claims and settles with one call.
const BATCH: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_script_takes_long_of_a_processor_with_a_million_waiting_due_or_expired() {
    let (waiting, due, expired) = size((50_000, 5_000, 2_000), (1_000_000, 100_000, 20_000));
    let rounds = size(60, 1_000);
    let mut scripts = Scripts::start().await;
    for (count, place) in [(waiting, Place::Active), (due, Place::Scheduled), (expired, Place::Leases)] {
        forge(&mut scripts.redis, count, place).await;
    }
    let thread = Thread::of(&mut scripts).await;
    let [mut ticks, mut claims, mut renewals, mut settlements, mut yardstick] =
        ["tick", "claim", "renewal", "settlement", "yardstick"].map(Calls::new);

    let (mut promoted, mut returned) = (0, 0);
    while promoted < due as u64 || returned < expired as u64 {
        let says = Tick { batch: BATCH as u64, ..TICK };
        let (_, _, moved, back) = ticks.measure(&thread, scripts.tick(says)).await;
        (promoted, returned) = (promoted + moved, returned + back);
        assert!(ticks.took.len() < 5_000, "{promoted} were promoted, {returned} returned");
        yardstick.measure(&thread, always_the_same(&mut scripts)).await;
    }
    let event = format!(r#"{{"data":"{}"}}"#, "x".repeat(1_000));
    for round in 0..rounds {
        let tokens: Vec<_> = (0..BATCH).map(|at| format!("token-{round}-{at}")).collect();
        let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
        let rows = claims.measure(&thread, scripts.claim(&tokens)).await;
        let held: Vec<_> = rows.iter().zip(&tokens).map(|(row, token)| (&*row.id, *token)).collect();
        let lost = renewals.measure(&thread, scripts.extend(&held)).await;
        assert!(lost.expect("redis answers").is_empty());
        let says = Settling { event: &event, ..DONE };
        let ended: Vec<_> = held.iter().map(|(job, token)| (*job, *token, &says)).collect();
        let answers = settlements.measure(&thread, scripts.settle_all(&ended)).await;
        assert!(answers.expect("redis answers").iter().all(|answer| *answer == 1));
        yardstick.measure(&thread, always_the_same(&mut scripts)).await;
    }

    let all = [ticks, claims, renewals, settlements];
    let told = all.each_ref().map(Calls::to_string).join(", ");
    report::print(&format!(
        "6 processor, {waiting} + {due} + {expired}: {told}; {yardstick}, at least {:.1?}",
        yardstick.at(0, 1)
    ));
    let left: usize = scripts.redis.llen(scripts.queue.active()).await.expect("redis answers");
    assert_eq!(left, waiting + due + expired - rounds * BATCH);
    let slower = yardstick.p999().as_secs_f64() / yardstick.at(0, 1).as_secs_f64();
    let most = size(MOST * SLACK_OF_FEW, MOST).mul_f64(slower);
    for calls in &all {
        assert!(calls.p999() <= most, "{calls}: more than {most:?}");
    }
}

async fn always_the_same(scripts: &mut Scripts) {
    let mut eval = redis::cmd("EVAL");
    let () = eval.arg(YARDSTICK).arg(0).query_async(&mut scripts.redis).await.expect("redis answers");
}

/// The one thread of a Redis that runs scripts.
struct Thread {
    folder: String,
}

impl Thread {
    async fn of(scripts: &mut Scripts) -> Self {
        let info: String =
            redis::cmd("INFO").arg("server").query_async(&mut scripts.redis).await.expect("redis answers");
        let process = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("redis tells it");
        Self { folder: format!("/proc/{0}/task/{0}", process.trim()) }
    }

    /// What it was given up to now, once it waits for something to do: while it runs the system has not counted all of it.
    async fn used(&self) -> Duration {
        loop {
            let stat = self.read("stat");
            let (_, rest) = stat.rsplit_once(") ").expect("it has a name");
            if rest.starts_with('S') {
                let schedstat = self.read("schedstat");
                let ns = schedstat.split_whitespace().next().and_then(|text| text.parse().ok());
                return Duration::from_nanos(ns.expect("the system counts"));
            }
            tokio::task::yield_now().await;
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(format!("{}/{name}", self.folder)).expect("redis runs")
    }
}

/// What calls of one script took.
struct Calls {
    of: &'static str,
    took: Vec<Duration>,
}

impl Calls {
    fn new(of: &'static str) -> Self {
        Self { of, took: Vec::new() }
    }

    /// With its neighbours in the same call: parsing, the append-only file, the answer.
    async fn measure<T>(&mut self, thread: &Thread, call: impl Future<Output = T>) -> T {
        let before = thread.used().await;
        let answer = call.await;
        self.took.push(thread.used().await - before);
        answer
    }

    /// What 999 of 1,000 stayed below.
    fn p999(&self) -> Duration {
        self.at(999, 1_000)
    }

    fn at(&self, share: usize, of: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took[(took.len() * share / of).min(took.len() - 1)]
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (middle, p999, count) = (self.at(1, 2), self.p999(), self.took.len());
        write!(f, "{count} calls of a {} take {middle:.1?}, 999 of 1,000 below {p999:.1?}", self.of)
    }
}
