//! `darkroom demo`: real photos through the real queue.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use crate::{config, dev::demo};

/// Pushes real photos through the real queue, and shows them.
///
/// Exits 0 when all went as expected.
#[derive(Args, Debug)]
pub struct Demo {
    /// Folder of one's own photos, instead of ours.
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Folder of the page.
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    #[command(flatten)]
    dev: config::Dev,
}

/// # Errors
///
/// When something that the demo needs does not start.
pub async fn run(args: Demo) -> anyhow::Result<ExitCode> {
    let Demo { photos, out, dev } = args;
    let us = std::env::current_exe().context("could not find this program")?;
    let target = us.parent().and_then(|profile| profile.parent()).context("this program is in no folder")?;
    let demo = demo::Demo { photos, fetched: target.join("photos"), out, dev };

    if demo::run(&demo).await? {
        println!("Every verdict was the expected one.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Not every verdict was the expected one (✗).");
    Ok(ExitCode::from(1))
}
