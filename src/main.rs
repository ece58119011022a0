//! The command line.

use std::process::ExitCode;

use clap::Parser;
use darkroom::cli::normalize::{self, Normalize};

/// A background worker for pictures.
#[derive(Parser)]
#[command(version)]
enum Darkroom {
    /// Makes clean JPEGs of files.
    Normalize(Normalize),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Darkroom::parse() {
        Darkroom::Normalize(args) => normalize::run(args).await,
    }
}
