//! A server that misbehaves as told, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a request meets.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer, and the connection ends.
    Answer(String),
    /// This answer, and the connection stays for the next request.
    AnswerAndKeep(String),
    /// This answer after a pause.
    AnswerAfter(Duration, String),
    /// The beginning of an answer, and then not a byte more.
    Begin(String),
    /// Read whole, and never answered.
    Never,
    /// Its body is not read, nor is it answered.
    StopReading,
    /// The connection is closed without a word.
    Close,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `PUT /pictures/a.jpg?x HTTP/1.1`
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

pub struct FaultyServer {
    pub endpoint_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FaultyServer {
    /// Gives each request the next answer, and the last one for ever. An empty answer: it never comes.
    pub async fn answering(answers: &[&str]) -> Self {
        let fault = |answer: &&str| match *answer {
            "" => Fault::Never,
            text => Fault::Answer(text.to_owned()),
        };
        Self::playing(answers.iter().map(fault).collect()).await
    }

    /// Plays each request the next fault, and the last one for ever.
    pub async fn playing(faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint_url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (faults, notes) = (Arc::<[Fault]>::from(faults), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&notes), Arc::clone(&faults)));
            }
        });
        Self { endpoint_url, seen }
    }

    pub fn requests(&self) -> usize {
        self.seen().len()
    }

    /// The requests, oldest first; one whose body is not read has none.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Vec<Seen>>>, faults: Arc<[Fault]>) {
    while let Some((mut request, rest)) = head(&mut socket).await {
        let turn = {
            let mut seen = seen.lock().expect("nobody panics with it");
            seen.push(request.clone());
            seen.len() - 1
        };
        let fault = faults[turn.min(faults.len() - 1)].clone();
        if !matches!(fault, Fault::StopReading) {
            if body(&mut socket, &mut request, rest).await.is_none() {
                return;
            }
            seen.lock().expect("nobody panics with it")[turn] = request;
        }
        let (answer, keeps) = match fault {
            Fault::Never | Fault::StopReading => return std::future::pending().await,
            Fault::Close => return,
            Fault::AnswerAfter(pause, answer) => {
                tokio::time::sleep(pause).await;
                (answer, false)
            }
            Fault::Answer(answer) => (answer, false),
            Fault::AnswerAndKeep(answer) => (answer, true),
            Fault::Begin(answer) => {
                drop(socket.write_all(answer.as_bytes()).await);
                return std::future::pending().await;
            }
        };
        // The client may have had enough already.
        drop(socket.write_all(answer.as_bytes()).await);
        if !keeps {
            return drop(socket.shutdown().await);
        }
    }
}

/// The head of a request, and what came of its body with it.
async fn head(socket: &mut TcpStream) -> Option<(Seen, Vec<u8>)> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
        }
    };
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut lines = text.lines().map(str::to_owned);
    let line = lines.next().unwrap_or_default();
    let header = |line: String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some((
        Seen { line, headers: lines.filter_map(header).collect(), body: Vec::new() },
        read.split_off(end + 4),
    ))
}

async fn body(socket: &mut TcpStream, request: &mut Seen, begun: Vec<u8>) -> Option<()> {
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let (mut body, mut buffer) = (begun, vec![0; 1 << 16]);
    while body.len() < length {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(bytes) => body.extend_from_slice(&buffer[..bytes]),
        }
    }
    request.body = body;
    Some(())
}
