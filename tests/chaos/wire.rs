//! A wire to Redis that plays faults on answers: lost, torn in the middle, late, closed on one side, or never there again.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::Script;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What becomes of an answer. The script was applied in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It is lost with the connection.
    Cut,
    /// Half of it arrives, then the connection is reset.
    Torn,
    /// It is lost, and our side of the connection is closed; what the client still sends is taken.
    HalfClosed,
    /// It arrives late.
    Late(Duration),
    /// It is lost, and so is every later one of this connection, which stands.
    Silent,
}

/// The proxy; it ends with the test's runtime.
pub struct Wire {
    pub url: String,
    plan: Arc<Plan>,
}

/// What its connections share.
struct Plan {
    choose: Box<Choice>,
    played: Mutex<Vec<Fault>>,
    /// How often all that stood fell silent.
    silences: AtomicUsize,
}

/// Says for a request what becomes of the next answer.
type Choice = dyn Fn(&[u8]) -> Option<Fault> + Send + Sync;

impl Wire {
    /// How many kinds of faults [`Wire::at_random`] plays.
    pub const KINDS: usize = 4;

    /// Leads to the server at `url`, without a fault until it [falls silent](Self::fall_silent).
    pub async fn clear(url: &str) -> Self {
        Self::leading_to(url, Box::new(|_| None)).await
    }

    /// From now on no answer arrives over the connections that stand now; those that are made later are clear.
    pub fn fall_silent(&self) {
        self.plan.silences.fetch_add(1, Ordering::SeqCst);
    }

    /// Leads to the server at `url`; plays the fault at the first call of the script, once.
    pub async fn at_first_call(script: &Script, fault: Fault, url: &str) -> Self {
        let (hash, left) = (script.get_hash().to_owned(), Mutex::new(Some(fault)));
        let choose = move |request: &[u8]| {
            let is_call = request.windows(hash.len()).any(|bytes| bytes == hash.as_bytes());
            if is_call { left.lock().expect("nobody panics with it").take() } else { None }
        };
        Self::leading_to(url, Box::new(choose)).await
    }

    /// Leads to the server at `url`; plays a fault at one call of a script in so many, one kind after the other.
    pub async fn at_random(one_in: u32, url: &str) -> Self {
        let turn = AtomicUsize::new(0);
        let choose = move |request: &[u8]| {
            let is_call = request.windows(7).any(|bytes| bytes == b"EVALSHA");
            (is_call && fastrand::u32(..one_in) == 0).then(|| match turn.fetch_add(1, Ordering::SeqCst) % 4 {
                0 => Fault::Cut,
                1 => Fault::Torn,
                2 => Fault::HalfClosed,
                _ => Fault::Late(Duration::from_millis(fastrand::u64(50..500))),
            })
        };
        Self::leading_to(url, Box::new(choose)).await
    }

    /// How many faults were played: a test that met none proves nothing.
    pub fn played(&self) -> usize {
        self.plan.played.lock().expect("nobody panics with it").len()
    }

    /// How many kinds of faults were played.
    pub fn kinds_played(&self) -> usize {
        let played = self.plan.played.lock().expect("nobody panics with it");
        played.iter().map(std::mem::discriminant).collect::<HashSet<_>>().len()
    }

    async fn leading_to(url: &str, choose: Box<Choice>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let ours = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let plan = Plan { choose, played: Mutex::default(), silences: AtomicUsize::new(0) };
        let (target, plan) = (url.replace("redis://", ""), Arc::new(plan));
        let wire = Self { url: ours, plan: Arc::clone(&plan) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // While the server is away, clients are hung up on.
                if let Ok(server) = TcpStream::connect(&target).await {
                    tokio::spawn(lead(client, server, Arc::clone(&plan)));
                }
            }
        });
        wire
    }
}

/// What becomes of the next answer of one connection.
type Next = Mutex<Option<Fault>>;

async fn lead(client: TcpStream, server: TcpStream, plan: Arc<Plan>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let next = Next::default();
    tokio::select! {
        () = requests(from_client, to_server, &plan, &next) => {}
        () = answers(from_server, to_client, &plan, &next) => {}
    }
}

/// The hash is never split in practice: a call is written at once and is far smaller than the buffer.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Plan, next: &Next) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(fault) = (plan.choose)(&buffer[..read]) {
            next.lock().expect("nobody panics with it").get_or_insert(fault);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Plan, next: &Next) {
    let mut buffer = vec![0; 1 << 20];
    let silences = plan.silences.load(Ordering::SeqCst);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut fault = next.lock().expect("nobody panics with it").take();
        if plan.silences.load(Ordering::SeqCst) > silences {
            fault = Some(Fault::Silent);
        }
        plan.played.lock().expect("nobody panics with it").extend(fault);
        let mut answer = &buffer[..read];
        match fault {
            None => {}
            Some(Fault::Late(pause)) => tokio::time::sleep(pause).await,
            Some(Fault::Cut) => return,
            Some(Fault::Torn) => answer = &buffer[..read / 2],
            Some(Fault::HalfClosed) => {
                drop(to.shutdown().await);
                return std::future::pending().await;
            }
            Some(Fault::Silent) => {
                while let Ok(1..) = from.read(&mut buffer).await {}
                return std::future::pending().await;
            }
        }
        if to.write_all(answer).await.is_err() {
            return;
        }
        if fault == Some(Fault::Torn) {
            // Closing it is a reset from now on.
            drop(to.as_ref().set_zero_linger());
            return;
        }
    }
}
