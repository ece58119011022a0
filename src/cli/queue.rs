//! `darkroom queue`: how the queues are doing; pause and resume.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use darkroom_jobs::Kind;
use serde_json::json;

use super::{common::Common, connect, out};
use crate::queue::inspect::QueueStats;

mod page;
mod watch;
mod workers;

/// Shows how the queues are doing; pauses and resumes them.
#[derive(Args, Debug)]
pub struct Queue {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Counts the jobs of each queue, by where they are.
    Stats {
        /// This queue alone.
        kind: Option<Kind>,
        #[command(flatten)]
        common: Common,
    },
    /// A live page: queues, running jobs, the last failures. `q` ends it.
    Watch {
        /// Prints one page as text, and ends; so does an output that is no terminal.
        #[arg(long)]
        once: bool,
        /// Milliseconds between two looks.
        #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
        interval: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Lists the processes that work, and what each runs right now.
    Workers {
        #[command(flatten)]
        common: Common,
    },
    /// Lets no worker claim from a queue; jobs are still taken, and running ones go on.
    Pause {
        /// The queue.
        kind: Kind,
        #[command(flatten)]
        common: Common,
    },
    /// Lets workers claim from a queue again.
    Resume {
        /// The queue.
        kind: Kind,
        #[command(flatten)]
        common: Common,
    },
}

/// Runs the command.
///
/// # Errors
///
/// When Redis cannot be reached, or the terminal cannot be used.
pub async fn run(args: Queue) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Stats { kind, common } => stats(&common, kind).await?,
        What::Watch { once, interval, common } => {
            let interval = Duration::from_millis(interval);
            watch::run(&connect::inspector(&common.redis).await?, interval, once, common.json).await?;
        }
        What::Workers { common } => {
            workers::run(&connect::inspector(&common.redis).await?, common.json).await?
        }
        What::Pause { kind, common } => {
            let changed = connect::operator(&common.redis).await?.pause(kind).await.context(connect::AWAY)?;
            tell(&common, kind, true, if changed { "paused" } else { "was paused already" })?;
        }
        What::Resume { kind, common } => {
            let changed =
                connect::operator(&common.redis).await?.resume(kind).await.context(connect::AWAY)?;
            tell(&common, kind, false, if changed { "resumed" } else { "was not paused" })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(common: &Common, kind: Kind, paused: bool, what: &str) -> anyhow::Result<()> {
    if common.json {
        return out::line(json!({ "kind": kind, "paused": paused }));
    }
    out::line(format_args!("{kind} {what}"))
}

async fn stats(common: &Common, kind: Option<Kind>) -> anyhow::Result<()> {
    let inspector = connect::inspector(&common.redis).await?;
    // All of it before any is printed: half a table would be taken for the whole.
    let mut all = Vec::new();
    for kind in kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]) {
        all.push(inspector.stats(kind).await.context(connect::AWAY)?);
    }
    if common.json {
        return all.iter().try_for_each(|stats| out::line(serde_json::to_string(stats)?));
    }
    out::line(HEAD)?;
    all.iter().try_for_each(|stats| out::line(row(stats)))
}

/// Names of the columns of [`row`].
const HEAD: &str = "queue             ready  scheduled  running     done     dead  oldest ready";

fn row(stats: &QueueStats) -> String {
    let counts = &stats.counts;
    format!(
        "{:<13}  {:>8}  {:>9}  {:>7}  {:>7}  {:>7}  {:>12}{}",
        counts.kind.as_str(),
        counts.active,
        counts.scheduled,
        counts.leased,
        counts.done,
        counts.dead,
        stats.oldest_ready_ms.map_or_else(|| "–".to_owned(), age),
        if stats.paused { "  paused" } else { "" },
    )
}

/// `640 ms`, `12.3 s`, `4 min`, `3 h`, `2 d`.
fn age(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1e3),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_unit_that_people_would_take() {
        let told = [640, 12_340, 240_000, 10_800_000, 259_200_000].map(age);

        assert_eq!(told, ["640 ms", "12.3 s", "4 min", "3 h", "3 d"]);
    }
}
