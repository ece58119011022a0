//! A Redis of one's own for each test, on a free loopback port.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use darkroom_jobs::Producer;

/// A server that ends with the test.
pub struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    /// Starts the server and waits until it listens.
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(server())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("a redis-server or valkey-server: DARKROOM_TEST_REDIS_SERVER, PATH or target/tools");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, port }
    }

    /// A producer in the namespace `test`.
    pub async fn producer(&self) -> Producer {
        Producer::connect(&self.url(), "test").await.unwrap()
    }

    /// A connection to look with.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().expect("the server is a child of ours");
        self.process.wait().expect("the server is a child of ours");
    }
}

fn server() -> PathBuf {
    if let Some(path) = std::env::var_os("DARKROOM_TEST_REDIS_SERVER") {
        return path.into();
    }
    let on_path = |name: &&&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let named = ["redis-server", "valkey-server"].iter().find(on_path).map(PathBuf::from);
    named.unwrap_or_else(|| target.join("tools/valkey-server"))
}
