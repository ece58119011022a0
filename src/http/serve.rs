//! Connections: how many, for how long, and how they end.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tracing::{debug, warn};

/// Connections at once; others wait in the system's backlog. Files are needed for Redis and S3 too.
pub const CONNECTIONS: usize = 512;
/// Requests at once that are not of probes: whatever callers do, `/livez`, `/readyz` and `/metrics` have connections left.
pub const REQUESTS: usize = CONNECTIONS - 32;
/// Long polls at once.
pub const WAITS: usize = CONNECTIONS / 2;
/// Bodies that are being received at once: with all long polls they leave requests to others.
pub const BODIES: usize = CONNECTIONS / 8 * 3;
/// Longest time for the head of a request, between two requests, and in which a client reads nothing of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when half of the connections are taken: whoever is idle makes room.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Life of a connection; a client that drips must not keep one for ever.
const MOST_TIME: Duration = Duration::from_secs(10 * 60);
/// How long requests may take to end when the service does.
const GRACE: Duration = Duration::from_secs(3);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 64 << 10;

/// Serves so many connections at once until `ending` turns true, then lets requests end.
pub async fn serve(listener: TcpListener, router: Router, most: usize, ending: watch::Receiver<bool>) {
    let mut ended = ending.clone();
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            (accepted, place) = next => match accepted {
                Ok((socket, _)) => {
                    let patience = if places.available_permits() > most / 2 { PATIENCE } else { SHORT_PATIENCE };
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
    let socket = TokioIo::new(Impatient { socket, patience, unread: None });
    let connection = builder.serve_connection(socket, TowerToHyperService::new(router));
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

/// A socket whose writes fail when the other side reads nothing for as long as our patience lasts.
struct Impatient<S> {
    socket: S,
    patience: Duration,
    /// Runs while a write waits.
    unread: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.unread = None;
            return written;
        }
        let patience = self.patience;
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(patience)));
        unread.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends a request, many times.
    async fn ask(addr: std::net::SocketAddr, path: &str, times: usize) -> TcpStream {
        let mut client = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        client.write_all(request.repeat(times).as_bytes()).await.unwrap();
        client
    }

    #[tokio::test]
    async fn clients_that_never_read_their_answers_make_room_for_others() {
        let router = Router::new()
            .route("/large", get(async || vec![0; 16 << 20]))
            .route("/livez", get(async || "ok"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (_end, ending) = watch::channel(false);
        let _serving = tokio::spawn(serve(listener, router, 4, ending));
        let mut greedy = Vec::new();
        for _ in 0..8 {
            greedy.push(ask(addr, "/large", 3).await);
        }

        let mut client = ask(addr, "/livez", 1).await;
        let mut answer = [0; 12];
        let read = timeout(Duration::from_secs(5), client.read_exact(&mut answer)).await;

        read.expect("there is room in time").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_write_fails_only_when_nothing_is_read_for_as_long_as_patience_lasts() {
        let (socket, mut client) = tokio::io::duplex(1);
        let mut socket = Impatient { socket, patience: SHORT_PATIENCE, unread: None };
        let reading = async {
            for _ in 0..5 {
                sleep(SHORT_PATIENCE / 3).await;
                client.read_u8().await.unwrap();
            }
        };

        let (written, ()) = tokio::join!(socket.write_all(&[0; 6]), reading);
        let stuck = timeout(SHORT_PATIENCE * 10, socket.write_all(&[0])).await.unwrap();

        assert!(written.is_ok(), "{written:?}");
        assert_eq!(stuck.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
