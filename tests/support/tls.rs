//! A server whose certificate nobody has signed but itself, and which answers everything with an empty 200.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub struct SelfSigned {
    pub endpoint_url: String,
}

impl SelfSigned {
    /// Serves until the process ends.
    pub fn start() -> Self {
        let certificate = CertificateDer::from_pem_file(Self::bundle()).expect("the fixture is PEM");
        let key = PrivateKeyDer::from_pem_file(fixture("loopback.key.pem")).expect("the fixture is PEM");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("key and certificate go together");
        let (listener, config) =
            (TcpListener::bind("127.0.0.1:0").expect("a port is free"), Arc::new(config));
        let endpoint_url = format!("https://{}", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                // A client that does not trust us ends the connection: that is what is tested.
                let _ = answer(socket, &config);
            }
        });
        Self { endpoint_url }
    }

    /// For `S3_CA_BUNDLE`.
    pub fn bundle() -> PathBuf {
        fixture("loopback.pem")
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn answer(mut socket: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => read.extend_from_slice(&buffer[..bytes]),
        }
    }
    stream.write_all(ANSWER)?;
    stream.conn.send_close_notify();
    stream.flush()
}
