//! What a benchmark needs to know of its surroundings.

use std::path::PathBuf;

use clap::Args;

use super::Secret;

/// Where a benchmark's Redis is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Redis")]
pub struct Bench {
    /// redis:// or rediss:// URL; unset means a server of the benchmark's own.
    #[arg(long, env = "DARKROOM_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// Redis or Valkey server (7.0 or newer) to start; unset means the one on PATH, or the one that scripts/setup brought.
    #[arg(long, env = "DARKROOM_REDIS_SERVER")]
    pub redis_server: Option<PathBuf>,
}
