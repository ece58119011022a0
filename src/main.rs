//! The command `darkroom`.

use std::process::ExitCode;

use clap::Parser;
use darkroom::cli;

#[derive(Parser)]
#[command(version)]
enum Command {
    Worker(cli::worker::Worker),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Command::parse() {
        Command::Worker(args) => cli::worker::run(args).await,
    }
}
