//! A wire to Redis that breaks once, after a script was called and before its answer arrives.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use redis::Script;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The proxy; it ends with the test's runtime.
pub struct CutWire {
    pub url: String,
    broken: Arc<AtomicBool>,
}

/// What one connection needs to know.
#[derive(Clone)]
struct Plan {
    hash: Arc<str>,
    /// Whether the wire was broken already: it breaks once.
    broken: Arc<AtomicBool>,
}

impl CutWire {
    /// Leads to the server at `url`.
    pub async fn breaking_after(script: &Script, url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let ours = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let plan = Plan { hash: script.get_hash().into(), broken: Arc::default() };
        let (target, broken) = (url.replace("redis://", ""), Arc::clone(&plan.broken));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&target).await {
                    tokio::spawn(lead(client, server, plan.clone()));
                }
            }
        });
        Self { url: ours, broken }
    }

    /// Whether it broke: a test that never called the script proves nothing.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

async fn lead(client: TcpStream, server: TcpStream, plan: Plan) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let called = Arc::new(AtomicBool::new(false));
    tokio::select! {
        () = requests(from_client, to_server, &plan, &called) => {}
        () = answers(from_server, to_client, &called) => {}
    }
}

/// The hash is never split in practice: a call is written at once and is far smaller than the buffer.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Plan, called: &AtomicBool) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let is_call = buffer[..read].windows(plan.hash.len()).any(|bytes| bytes == plan.hash.as_bytes());
        if is_call && !plan.broken.swap(true, Ordering::SeqCst) {
            called.store(true, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Ends, and with it the connection, at the first answer after the call.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, called: &AtomicBool) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if called.load(Ordering::SeqCst) || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
