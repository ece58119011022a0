//! A real Redis or Valkey server on loopback, which ends with this process.
#![expect(clippy::disallowed_methods, reason = "dev starts the servers that a bare machine lacks")]

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long a server may load its data.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of our own. Dropping it kills the process; what it acknowledged is on disk.
#[derive(Debug)]
pub struct EmbeddedRedis {
    server: Child,
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    _lock: File,
}

impl EmbeddedRedis {
    /// Starts `server`, or the one that is found, with its data under `folder`: append-only, and never evicting.
    ///
    /// # Errors
    ///
    /// When there is no server, when it does not start, or when another process has the folder.
    pub async fn start(server: Option<&Path>, folder: &Path) -> anyhow::Result<Self> {
        let program = find(server)?;
        fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let lock = lock(&folder)?;

        let port = free_port()?;
        let server = spawn(&program, &folder, port)?;
        let mut redis = Self { server, program, folder, port, _lock: lock };
        redis.answering(Instant::now() + PATIENCE).await?;
        Ok(redis)
    }

    /// Ends the server as a power cut ends a process. What it acknowledged is in the append-only file.
    ///
    /// # Errors
    ///
    /// When the system does not let the process be ended.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill().await.context("could not kill the Redis server")
    }

    /// Starts a server that was killed again: same port, same data. Another one that still has the port is waited for.
    ///
    /// # Errors
    ///
    /// When it does not answer within 30 s.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.server = spawn(&self.program, &self.folder, self.port)?;
            match self.answering(deadline).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                answered => return answered,
            }
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn answering(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let client = redis::Client::open(self.url())?;
        while Instant::now() < deadline {
            if let Some(status) = self.server.try_wait()? {
                bail!("the Redis server ended at once ({status}):\n{}", last_lines(&self.folder));
            }
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!(
            "the Redis server did not answer within {} s:\n{}",
            PATIENCE.as_secs(),
            last_lines(&self.folder)
        )
    }
}

/// The server that was named, else one on PATH, else the one that `scripts/setup` brought.
fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(server) = named {
        return Ok(server.to_owned());
    }
    let beside_us = std::env::current_exe().ok().and_then(|us| Some(us.parent()?.parent()?.join("tools")));
    ["redis-server", "valkey-server"]
        .into_iter()
        .find_map(on_path)
        .or_else(|| beside_us.map(|tools| tools.join("valkey-server")).filter(|server| server.is_file()))
        .context("no redis-server or valkey-server was found: install one, or run scripts/setup and set DARKROOM_REDIS_SERVER")
}

fn on_path(name: &str) -> Option<PathBuf> {
    let mut probe = std::process::Command::new(name);
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success()).then(|| name.into())
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = File::create(folder.join("lock"))?;
    file.try_lock().with_context(|| format!("another process uses {}", folder.display()))?;
    Ok(file)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn spawn(program: &Path, folder: &Path, port: u16) -> anyhow::Result<Child> {
    let mut command = dying_with_us(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"])
        .args(["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
        .args(["--logfile", "redis.log", "--enable-debug-command", "local"]) // tests put it to sleep
        .arg("--dir")
        .arg(folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C is ours: the server ends after the worker
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("could not start {}", program.display()))
}

/// On Linux the kernel ends the server however this process ends, which `kill_on_drop` cannot promise.
fn dying_with_us(program: &Path) -> Command {
    if cfg!(target_os = "linux") && on_path("setpriv").is_some() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        return command;
    }
    Command::new(program)
}

fn last_lines(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("redis.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
