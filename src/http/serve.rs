//! Connections: how many, for how long, and how they end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

/// Connections at once; others wait in the system's backlog. Files are needed for Redis and S3 too.
const CONNECTIONS: usize = 512;
/// Longest time for the head of a request, and between two requests.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when half of the connections are taken: whoever is idle makes room.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Life of a connection; a client that does not read its answer must not keep one for ever.
const MOST_TIME: Duration = Duration::from_secs(10 * 60);
/// How long requests may take to end when the service does.
const GRACE: Duration = Duration::from_secs(3);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 64 << 10;

/// Serves until `ending` turns true, then lets requests end.
pub async fn serve(listener: TcpListener, router: Router, ending: watch::Receiver<bool>) {
    let mut ended = ending.clone();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            (accepted, place) = next => match accepted {
                Ok((socket, _)) => {
                    let patience = if places.available_permits() > CONNECTIONS / 2 { PATIENCE } else { SHORT_PATIENCE };
                    connections.spawn(hold(socket, router.clone(), patience, ending.clone(), place));
                }
                Err(error) => pause_after(&error).await,
            },
            Some(request) = connections.join_next() => if let Err(died) = request {
                warn!(error = %died, "a request died");
            },
            () = turned_true(&mut ended) => break,
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, rest).await.is_err() {
        debug!(connections = connections.len(), "connections closed that did not end in time");
    }
}

/// Out of files, most likely: others will be closed.
async fn pause_after(error: &io::Error) {
    warn!(error = %error, "connection not accepted");
    sleep(Duration::from_millis(100)).await;
}

/// One connection with its requests.
async fn hold(
    socket: TcpStream,
    router: Router,
    patience: Duration,
    mut ending: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Small answers go out at once; a socket that refuses works all the same.
    let _ = socket.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);

    // How a client ends its connection is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = turned_true(&mut ending) => {}
        () = sleep(MOST_TIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

async fn turned_true(ending: &mut watch::Receiver<bool>) {
    // A sender that is gone has ended too.
    let _ = ending.wait_for(|ending| *ending).await;
}
