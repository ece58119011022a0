//! What ends a process that runs until it is told to stop.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves on the first SIGTERM or SIGINT; its value resolves on the next.
///
/// # Errors
///
/// When the process cannot listen for signals.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = impl Future<Output = ()> + Send> + Send> {
    let mut term = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    #[expect(clippy::async_yields_async, reason = "the second signal is awaited later, while jobs finish")]
    let first = async move {
        either(&mut term, &mut int).await;
        async move { either(&mut term, &mut int).await }
    };
    Ok(first)
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
