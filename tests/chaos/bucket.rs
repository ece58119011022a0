//! A bucket's door that counts how often each picture is put through it, and can be slow.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The proxy; it ends with the test's runtime.
pub struct CountingBucket {
    pub endpoint_url: String,
    puts: Puts,
}

/// PUTs that reached the bucket, by path.
type Puts = Arc<Mutex<HashMap<String, usize>>>;

impl CountingBucket {
    /// Before the server at `endpoint_url`. A PUT of a picture takes `latency` longer, half of it before it is applied.
    pub async fn before(endpoint_url: &str, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let ours = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (target, puts) = (endpoint_url.replace("http://", ""), Puts::default());
        let counted = Arc::clone(&puts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), Arc::clone(&counted), latency));
            }
        });
        Self { endpoint_url: ours, puts }
    }

    /// PUTs of a picture beyond its first one.
    pub fn duplicates(&self) -> usize {
        self.puts.lock().expect("nobody panics with it").values().map(|puts| puts - 1).sum()
    }
}

async fn serve(client: TcpStream, target: String, puts: Puts, latency: Duration) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let Ok((sender, connection)) = client::conn::http1::handshake(TokioIo::new(server)).await else { return };
    tokio::spawn(connection);
    let sender = Arc::new(tokio::sync::Mutex::new(sender));
    let service = service_fn(move |request: Request<Incoming>| {
        let (sender, puts) = (Arc::clone(&sender), Arc::clone(&puts));
        async move { pass_on(request, &sender, &puts, latency).await }
    });
    // A worker that dies in the middle of a request is what these tests are about.
    drop(server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await);
}

type Sender = tokio::sync::Mutex<client::conn::http1::SendRequest<Full<Bytes>>>;

async fn pass_on(
    request: Request<Incoming>,
    sender: &Sender,
    puts: &Puts,
    latency: Duration,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path().to_owned();
    let is_picture = path.contains("/user_photos/") || path.contains("/products/");
    let pause = if is_picture && head.method == Method::PUT { latency / 2 } else { Duration::ZERO };

    tokio::time::sleep(pause).await;
    if is_picture && head.method == Method::PUT {
        *puts.lock().expect("nobody panics with it").entry(path).or_default() += 1;
    }
    let answer = sender.lock().await.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    tokio::time::sleep(pause).await;
    Ok(Response::from_parts(head, Full::new(body)))
}
