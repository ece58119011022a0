//! The periodic look at the bucket: apalis-cron ticks in every process, and a tick only enqueues.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use apalis::prelude::WorkerBuilder;
use apalis_cron::{CronScheduler, Schedule, Tick, timezone::Utc};
use tracing::{debug, warn};

use crate::queue::periodic::Periodic;

/// Pause before a schedule that ended is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Ticks at once, and then every so often, in whole seconds.
#[derive(Clone, Debug)]
struct Every {
    next: Duration,
    pause: Duration,
}

impl Every {
    /// Four ticks in a slot: our clock is not Redis', and one tick near the edge of a slot may fall on its wrong side.
    fn quarter_of(period: Duration) -> Self {
        Self { next: Duration::ZERO, pause: period / 4 }
    }
}

impl Schedule<Utc> for Every {
    fn next_tick(&mut self, _: &Utc) -> Option<Tick> {
        // Never `None`: apalis' worker would go on waiting, and nobody would start it again.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let due = since + std::mem::replace(&mut self.next, self.pause);
        // The scheduler fails on a tick in the past.
        Some(Tick::new(due.as_secs() + 1))
    }
}

/// Ticks until it is dropped.
pub async fn run(periodic: Periodic, period: Duration) {
    let tick = move || {
        let periodic = periodic.clone();
        async move { tick(&periodic).await }
    };
    keep_ticking(|| Every::quarter_of(period), tick).await;
}

/// The scheduler ends on a tick that it comes too late for (a suspended machine): it is started again, and the slot's
/// script makes one tick too many harmless.
async fn keep_ticking<S, F>(schedule: impl Fn() -> S, tick: impl Fn() -> F + Clone + Send + Sync + 'static)
where
    S: Schedule<Utc> + Send + Sync + Unpin + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let tick = tick.clone();
        let worker = WorkerBuilder::new("bucket_health_schedule")
            .backend(CronScheduler::new(schedule()))
            .build(move |_: Tick| {
                let ticked = tick();
                async move {
                    ticked.await;
                    Ok::<(), Infallible>(())
                }
            });
        match worker.run().await {
            Ok(()) => debug!("schedule ended, starting it anew"),
            Err(error) => warn!(%error, "schedule ended, starting it anew"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn tick(periodic: &Periodic) {
    match periodic.tick().await {
        Ok(true) => debug!("health check enqueued"),
        Ok(false) => {}
        Err(error) => warn!(%error, "health check not enqueued"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    };

    use super::*;

    /// Is too late at first, and from then on as it should be.
    #[derive(Clone, Default)]
    struct Late(Arc<AtomicU32>);

    impl Schedule<Utc> for Late {
        fn next_tick(&mut self, utc: &Utc) -> Option<Tick> {
            match self.0.fetch_add(1, SeqCst) {
                0 => Some(Tick::new(1)),
                _ => Every::quarter_of(Duration::from_secs(60)).next_tick(utc),
            }
        }
    }

    #[tokio::test]
    async fn a_schedule_that_came_too_late_for_a_tick_is_started_again() {
        let (ticked, mut ticks) = tokio::sync::mpsc::unbounded_channel();
        let late = Late::default();
        let ticking = keep_ticking(
            || late.clone(),
            move || {
                let ticked = ticked.clone();
                async move { ticked.send(()).expect("the test listens") }
            },
        );

        tokio::select! {
            () = ticking => unreachable!("it never ends"),
            tick = tokio::time::timeout(Duration::from_secs(20), ticks.recv()) => tick.expect("it ticks at last"),
        };
    }

    #[test]
    fn the_first_tick_is_at_once_the_next_a_quarter_of_a_slot_later_and_none_is_in_the_past() {
        let mut every = Every::quarter_of(Duration::from_secs(60));
        let now =
            || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970").as_secs();

        let begun = now();
        let ticks = [every.next_tick(&Utc), every.next_tick(&Utc)];
        let ended = now();

        let [first, second] = ticks.map(|tick| tick.expect("there is always one more").get_timestamp());
        assert!((begun + 1..=ended + 1).contains(&first), "{first}");
        assert!((begun + 16..=ended + 16).contains(&second), "{second}");
    }
}
