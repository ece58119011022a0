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
    /// Calls of scripts.
    pub scripts: f64,
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
            scripts: script_calls(redis).await?,
            memory_bytes: number("used_memory")?,
            our_cpu_us: our_cpu_us()?,
        })
    }
}

/// Time that 99.9 % of the scripts stayed below since the server began to count, in µs.
///
/// # Errors
///
/// When Redis does not answer, or has run no script.
pub async fn script_p999_us(redis: &mut MultiplexedConnection) -> anyhow::Result<f64> {
    let info: String = redis::cmd("INFO").arg("latencystats").query_async(redis).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("latency_percentiles_usec_evalsha:"));
    let figure = line.and_then(|line| line.split(',').find_map(|part| part.strip_prefix("p99.9=")));
    figure.and_then(|figure| figure.trim().parse().ok()).context("redis tells no latency of scripts")
}

async fn script_calls(redis: &mut MultiplexedConnection) -> anyhow::Result<f64> {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(redis).await?;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    Ok(calls.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0.0))
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
