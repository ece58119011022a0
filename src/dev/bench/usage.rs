//! What was used up to now: by Redis, as it counts itself, and by this process.

use std::{fs, time::Instant};

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;

/// Length of the kernel's tick in µs; it is 100 Hz towards programs on every Linux.
const TICK_US: f64 = 10_000.0;

/// What was used up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The moment.
    pub at: Instant,
    /// CPU of the Redis server, in µs.
    pub redis_cpu_us: f64,
    /// Commands that it ran.
    pub commands: f64,
    /// Memory that it uses.
    pub memory_bytes: f64,
    /// CPU of this process, in µs, counted in steps of 10 ms.
    pub our_cpu_us: f64,
}

impl Usage {
    /// # Errors
    ///
    /// When Redis does not answer, or on a system without `/proc`.
    pub async fn of(redis: &mut MultiplexedConnection) -> anyhow::Result<Self> {
        let info: String = redis::cmd("INFO").query_async(redis).await?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().parse::<f64>().ok())
                .with_context(|| format!("redis tells no {name}"))
        };
        Ok(Self {
            at: Instant::now(),
            redis_cpu_us: (number("used_cpu_user")? + number("used_cpu_sys")?) * 1e6,
            commands: number("total_commands_processed")?,
            memory_bytes: number("used_memory")?,
            our_cpu_us: our_cpu_us()?,
        })
    }
}

fn our_cpu_us() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("CPU can be measured on Linux alone")?;
    ticks(&stat).map(|ticks| ticks * TICK_US).context("/proc/self/stat has another form than is known")
}

/// `utime` and `stime`: the 12th and 13th field after the name, which may hold spaces and brackets.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 40 2 0 0 20 0 1 0";

        assert_eq!(ticks(stat), Some(42.0));
    }
}
