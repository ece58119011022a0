//! `darkroom health`: what a container's health check calls, since its image has no curl.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::config;

/// How long the worker may take for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much of the answer is read, in search of its first line.
const HEAD_BYTES: u64 = 1024;

/// Asks the worker of this machine whether it lives; exits 0 when it does.
#[derive(Args, Debug)]
pub struct Health {
    /// Asks whether it is ready for work instead: whether it reaches Redis, and is not about to stop.
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    http: config::Http,
}

/// Runs the command; 1 when the worker says no.
///
/// # Errors
///
/// When there is no answer.
pub async fn run(args: Health) -> anyhow::Result<ExitCode> {
    let address =
        args.http.http_addr.0.context("DARKROOM_HTTP_ADDR is empty: the worker has no HTTP service")?;
    let address = on_this_machine(address);
    let path = if args.ready { "/readyz" } else { "/livez" };

    let answer = timeout(PATIENCE, ask(address, path)).await;

    let status =
        answer.with_context(|| format!("{address} did not answer in {} s", PATIENCE.as_secs()))??;
    println!("{path} answered {status}");
    Ok(if status == "200" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a worker is reached that listens on every address.
fn on_this_machine(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The status of the answer; its body does not matter.
async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream =
        TcpStream::connect(address).await.with_context(|| format!("could not connect to {address}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("could not ask")?;

    let mut head = String::new();
    BufReader::new(stream.take(HEAD_BYTES))
        .read_line(&mut head)
        .await
        .context("could not read the answer")?;
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    Ok(status.context("the answer is not HTTP")?.to_owned())
}
