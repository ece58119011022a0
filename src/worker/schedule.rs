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
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let due = since + std::mem::replace(&mut self.next, self.pause);
        // The scheduler fails on a tick in the past.
        Some(Tick::new(due.as_secs() + 1))
    }
}

/// Ticks until it is dropped. The scheduler ends on a tick that it comes too late for (a suspended machine): it is
/// started again, and the slot's script makes one tick too many harmless.
pub async fn run(periodic: Periodic, period: Duration) {
    loop {
        let periodic = periodic.clone();
        let worker = WorkerBuilder::new("bucket_health_schedule")
            .backend(CronScheduler::new(Every::quarter_of(period)))
            .build(move |_: Tick| {
                let periodic = periodic.clone();
                async move {
                    tick(&periodic).await;
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
    use super::*;

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
