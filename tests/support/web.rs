//! A web server that plays what strangers' servers do, with or without TLS, and remembers who came.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What is done on a connection once its request was read; at the end it is closed.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// A byte at a time, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// The same again and again.
    Endless(Vec<u8>),
    /// Not a byte more, until the other side leaves.
    Hang,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Visit {
    pub path: String,
    /// The head as it came.
    pub head: String,
    pub at: Instant,
    /// How many there were for this path, this one included.
    pub nth: usize,
}

impl Visit {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

type Play = dyn Fn(&Visit) -> Vec<Step> + Send + Sync;

/// The server; it ends with the test's runtime.
pub struct Web {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    play: Box<Play>,
    visits: Mutex<Vec<Visit>>,
    /// Connections that were accepted.
    connections: AtomicUsize,
    open: AtomicUsize,
    /// The most that were open at once.
    most_open: AtomicUsize,
    /// The same for each host that was asked for.
    hosts: Mutex<HashMap<String, (usize, usize)>>,
}

impl Web {
    /// Serves on a port of its own.
    pub async fn start(play: impl Fn(&Visit) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::serve(None, Box::new(play)).await
    }

    /// The same behind TLS.
    pub async fn secured(
        identity: Arc<ServerConfig>,
        play: impl Fn(&Visit) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(identity.into()), Box::new(play)).await
    }

    async fn serve(tls: Option<TlsAcceptor>, play: Box<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            play,
            visits: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            hosts: Mutex::default(),
        });
        let ours = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&ours), tls.clone());
                state.connections.fetch_add(1, SeqCst);
                let open = state.open.fetch_add(1, SeqCst) + 1;
                state.most_open.fetch_max(open, SeqCst);
                tokio::spawn(async move {
                    // A client may leave whenever it likes.
                    let _ = state.connection(socket, tls).await;
                    state.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { port, state }
    }

    pub fn visits(&self) -> Vec<Visit> {
        self.state.visits.lock().expect("nobody panics with it").clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    pub fn most_open(&self) -> usize {
        self.state.most_open.load(SeqCst)
    }

    /// The most connections that were open at once for one host.
    pub fn most_open_of_a_host(&self) -> usize {
        let hosts = self.state.hosts.lock().expect("nobody panics with it");
        hosts.values().map(|(_, most)| *most).max().unwrap_or_default()
    }

    /// An address of it under a name that the test's DNS knows.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }
}

impl State {
    async fn connection(&self, socket: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
        match tls {
            Some(tls) => self.answer(tls.accept(socket).await?).await,
            None => self.answer(socket).await,
        }
    }

    async fn answer(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read(&mut buffer).await? {
                0 => return Ok(()),
                bytes => head.extend_from_slice(&buffer[..bytes]),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let visit = {
            let mut visits = self.visits.lock().expect("nobody panics with it");
            let nth = visits.iter().filter(|visit| visit.path == path).count() + 1;
            let visit = Visit { path, head, at: Instant::now(), nth };
            visits.push(visit.clone());
            visit
        };
        let host = visit.header("host").unwrap_or_default().to_owned();
        self.count(&host, true);
        let played = async {
            for step in (self.play)(&visit) {
                step.take(&mut socket).await?;
            }
            socket.shutdown().await
        };
        let played = played.await;
        self.count(&host, false);
        played
    }

    fn count(&self, host: &str, begins: bool) {
        let mut hosts = self.hosts.lock().expect("nobody panics with it");
        let (open, most) = hosts.entry(host.to_owned()).or_default();
        *open = if begins { *open + 1 } else { *open - 1 };
        *most = (*open).max(*most);
    }
}

impl Step {
    async fn take(self, socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
        match self {
            Self::Send(bytes) => socket.write_all(&bytes).await,
            Self::Drip(bytes, pause) => {
                for byte in bytes {
                    socket.write_all(&[byte]).await?;
                    socket.flush().await?;
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            }
            Self::Endless(bytes) => loop {
                socket.write_all(&bytes).await?;
            },
            Self::Hang => {
                let mut rest = [0; 64];
                while socket.read(&mut rest).await? > 0 {}
                Ok(())
            }
        }
    }
}

/// An answer with these headers and a body of its announced length.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    let length = body.len().to_string();
    let mut bytes = head(status, &[headers, &[("content-length", &length)]].concat());
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes)]
}

/// The head of an answer alone.
pub fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes()
}

pub fn redirect(location: &str) -> Vec<Step> {
    answer("302 Found", &[("location", location)], b"")
}

/// Certificates that a test's own authority has signed, or not.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Nothing,
    Expired,
    SelfSigned,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names are right names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("ring makes keys");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("it can be signed") }
    }

    /// For `DARKROOM_FETCH_CA_BUNDLE`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn identity(&self, name: &str, flaw: Flaw) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
        // Else it has the authority's own, and seems to be signed by it.
        params.distinguished_name.push(DnType::CommonName, name);
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.expect("it can be signed").der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Arc::new(config.expect("key and certificate go together"))
    }
}

/// How often each path was asked for.
pub fn by_path(visits: &[Visit]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for visit in visits {
        *counts.entry(visit.path.clone()).or_default() += 1;
    }
    counts
}
