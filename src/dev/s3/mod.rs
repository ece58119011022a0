//! An S3 server inside the process: real HTTP and real signatures, objects in files under one folder.
//!
//! Never for production: one process, no versions, no multipart uploads.

mod operations;
mod store;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    Body, HttpError,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use operations::Operations;
use store::Store;

const ACCESS_KEY: &str = "darkroom";
const SECRET_KEY: &str = "darkroom-secret";

/// A running server; dropping it closes every connection. Objects stay in its folder.
#[derive(Debug)]
pub struct EmbeddedS3 {
    /// For `S3_ENDPOINT_URL`.
    pub endpoint_url: String,
    /// For `S3_ACCESS_KEY_ID`.
    pub access_key: String,
    /// For `S3_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    store: Arc<Store>,
    paused: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl EmbeddedS3 {
    /// Starts a server with its data in `root`; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or the address cannot be had.
    pub async fn start(root: &Path, addr: SocketAddr) -> io::Result<Self> {
        let store = Arc::new(Store::open(root).await?);
        let mut service = S3ServiceBuilder::new(Operations::new(Arc::clone(&store)));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let paused = Arc::new(AtomicBool::new(false));
        let service = Pausable { s3: service.build(), paused: Arc::clone(&paused) };

        let listener = TcpListener::bind(addr).await?;
        let endpoint_url = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(accept(listener, service));
        let (access_key, secret_key) = (ACCESS_KEY.to_owned(), SECRET_KEY.to_owned());
        Ok(Self { endpoint_url, access_key, secret_key, store, paused, accepting })
    }

    /// Makes a bucket, unless there is one of this name.
    ///
    /// # Errors
    ///
    /// When its folder cannot be made.
    pub async fn create_bucket(&self, name: &str) -> io::Result<()> {
        self.store.create_bucket(name).await.map(drop)
    }

    /// From now on every request is answered 503.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.paused.store(false, Ordering::SeqCst);
    }
}

impl Drop for EmbeddedS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: Pausable) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let service = service.clone();
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new());
                connections.spawn(async move {
                    // A client that goes away is its own affair.
                    drop(server.serve_connection(TokioIo::new(socket), service).await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[derive(Clone)]
struct Pausable {
    s3: S3Service,
    paused: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Pausable {
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, HttpError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if !self.paused.load(Ordering::SeqCst) {
            return Service::call(&self.s3, request);
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Box::pin(std::future::ready(Ok(answer)))
    }
}
