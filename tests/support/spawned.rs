//! Servers for `make conformance`, one of each for a test run: moto and Garage. Started when a test first asks, ended with
//! the process however that ends.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// How long a server may take until it listens; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Spawned {
    pub endpoint_url: String,
    pub access_key: &'static str,
    pub secret_key: &'static str,
    /// Ends the server when its standard input, which is ours, closes.
    _guardian: Child,
}

/// The moto of the Python that `DARKROOM_TEST_MOTO` names. It takes every signature.
pub fn moto() -> &'static Spawned {
    static MOTO: OnceLock<Spawned> = OnceLock::new();
    MOTO.get_or_init(|| {
        let port = free_port();
        let mut command = guarded(&brought("DARKROOM_TEST_MOTO"));
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        start(command, port, "DARKROOM", "darkroom-secret", &folder("moto"))
    })
}

/// The Garage that `DARKROOM_TEST_GARAGE` names.
pub fn garage() -> &'static Spawned {
    const ACCESS_KEY: &str = "GK000000000000000000000001";
    const SECRET_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
    static GARAGE: OnceLock<Spawned> = OnceLock::new();
    GARAGE.get_or_init(|| {
        let (port, folder) = (free_port(), folder("garage"));
        let config = folder.join("garage.toml");
        fs::write(&config, garage_config(&folder, port, free_port())).expect("it can be written");
        let mut command = guarded(&brought("DARKROOM_TEST_GARAGE"));
        command.arg("-c").arg(&config).args(["server", "--single-node", "--default-access-key"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY).env("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY);
        start(command, port, ACCESS_KEY, SECRET_KEY, &folder)
    })
}

fn garage_config(folder: &Path, port: u16, rpc: u16) -> String {
    format!(
        r#"metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "0000000000000000000000000000000000000000000000000000000000000002"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{port}"
"#,
        folder = folder.display()
    )
}

fn brought(variable: &str) -> PathBuf {
    let program = env::var_os(variable).map(PathBuf::from);
    program.unwrap_or_else(|| panic!("{variable} names no program: `make conformance` brings it"))
}

fn guarded(program: &Path) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/guard"));
    command.arg(program);
    command
}

/// An empty folder below the target folder, on a disk that is large enough.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("what an earlier run left can be removed");
    }
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

fn start(
    mut command: Command,
    port: u16,
    access_key: &'static str,
    secret_key: &'static str,
    folder: &Path,
) -> Spawned {
    let log = folder.join("log");
    let guardian = command
        .stdin(Stdio::piped())
        .stderr(fs::File::create(&log).expect("a log can be made"))
        .process_group(0) // a Ctrl-C is for the tests: the guardian ends after them
        .spawn()
        .expect("scripts/guard is there");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "no server listens; its log is {}", log.display());
        thread::sleep(Duration::from_millis(50));
    }
    Spawned { endpoint_url: format!("http://127.0.0.1:{port}"), access_key, secret_key, _guardian: guardian }
}
