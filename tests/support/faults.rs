//! A server that misbehaves as told, and counts the requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub struct FaultyServer {
    pub endpoint_url: String,
    requests: Arc<AtomicUsize>,
}

impl FaultyServer {
    /// Gives each request the next answer, and the last one for ever. An empty answer: it never comes.
    pub async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint_url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let requests = Arc::new(AtomicUsize::new(0));
        let answers: Arc<[String]> = answers.iter().map(|answer| (*answer).to_owned()).collect();

        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&counter), Arc::clone(&answers)));
            }
        });
        Self { endpoint_url, requests }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request per connection: every answer ends with it.
async fn serve(mut socket: TcpStream, counter: Arc<AtomicUsize>, answers: Arc<[String]>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
        }
    }
    let turn = counter.fetch_add(1, Ordering::SeqCst);
    let answer = &answers[turn.min(answers.len() - 1)];
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    // The client may have had enough already.
    drop(socket.write_all(answer.as_bytes()).await);
    drop(socket.shutdown().await);
}
