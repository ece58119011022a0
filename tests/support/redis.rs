//! A Redis of a test's own.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A real server on loopback with append-only persistence; ends with its owner.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl RedisServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for redis");
        let port = free_port();
        let mut server = Self { child: spawn(port, &folder), port, folder };
        server.wait_until_ready();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a valid url");
        client.get_connection().expect("the test's redis answers")
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis runs");
        self.child.wait().expect("redis ends");
    }

    /// Starts it again on the same port with the same data.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let client = redis::Client::open(self.url()).expect("a valid url");
        while Instant::now() < deadline {
            let answer = client.get_connection().and_then(|mut redis| redis::cmd("PING").query::<String>(&mut redis));
            if answer.is_ok() {
                return;
            }
            assert!(self.child.try_wait().expect("redis can be asked").is_none(), "redis did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis did not answer in 20 s");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
    let mut command = Command::new(binary());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(folder.path());
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.spawn().expect("redis-server or valkey-server starts; `make test` brings one")
}

/// What `make test` found or brought, else one on PATH.
fn binary() -> PathBuf {
    let found = std::env::var_os("DARKROOM_REDIS_SERVER").or_else(|| std::env::var_os("DARKROOM_TEST_REDIS_SERVER"));
    if let Some(path) = found {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let candidates = ["redis-server", "valkey-server"].map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().flatten().find(|path| path.is_file()).expect("no Redis on PATH; run `make test`")
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
