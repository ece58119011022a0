//! What every command takes that asks Redis once and ends.

use clap::Args;

use crate::config;

/// Where to ask, and how to tell.
#[derive(Args, Debug)]
pub struct Common {
    /// Prints JSON, one object on each line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub redis: config::Redis,
}
