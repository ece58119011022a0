//! A whole darkroom of a test's own: Redis, an S3 server, and workers as real processes.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use clap::Parser;
use darkroom::{
    config,
    dev::{pictures, services::Services},
    queue::{connection, inspect::Inspector, operate::Operator},
    storage::{Storage, list::Prefix, put::ObjectAttributes},
};
use darkroom_jobs::{
    ImageId, JobId, Kind, ObjectKey, Producer, Receipt, Source, Status, Upload, redis_keys::Keys, wire,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::invariant;

/// Servers, and ways to ask them. When it is dropped, the queues are looked at: each job has to be in exactly one place.
pub struct TestDarkroom {
    pub services: Services,
    pub producer: Producer,
    pub storage: Storage,
    pub redis: redis::aio::MultiplexedConnection,
    folder: TempDir,
    /// Whether jobs were put where no script puts them.
    forged: std::sync::atomic::AtomicBool,
}

impl Drop for TestDarkroom {
    fn drop(&mut self) {
        if !std::thread::panicking() && !*self.forged.get_mut() {
            invariant::every_job_is_in_one_place(&self.services.redis.url(), "darkroom");
        }
    }
}

impl TestDarkroom {
    pub async fn start() -> Self {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            dev: config::Dev,
        }
        let folder = TempDir::new().expect("a folder can be made");
        let mut dev = Arguments::parse_from(["test"]).dev;
        dev.redis_server =
            std::env::var_os("DARKROOM_TEST_REDIS_SERVER").map(Into::into).or(dev.redis_server);
        let services = Services::start(&dev, folder.path()).await.expect("both servers start");
        let client = redis::Client::open(services.redis.url()).expect("a url");
        Self {
            producer: Producer::connect(&services.redis.url(), "darkroom").await.expect("redis answers"),
            storage: Storage::new(&services.settings().expect("the services' settings are right"))
                .await
                .expect("the services' settings are right"),
            redis: patient(&client).await,
            services,
            folder,
            forged: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Says that the test moves jobs by hand, so that they need not be in exactly one place in the end.
    pub fn forge(&self) {
        self.forged.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// A worker process with a lease of 2 s, and more settings.
    pub fn worker(&self, more: &[(&str, &str)]) -> Worker {
        self.worker_of(env!("CARGO_BIN_EXE_darkroom").as_ref(), more)
    }

    /// The same, of another build of darkroom.
    pub fn worker_of(&self, program: &std::path::Path, more: &[(&str, &str)]) -> Worker {
        self.worker_by(Command::new(program), more)
    }

    /// The same that the system gives so many KiB of addresses at most.
    pub fn worker_within(&self, most_kib: u64, more: &[(&str, &str)]) -> Worker {
        let mut limited = Command::new("sh");
        let script = format!("ulimit -v {most_kib} && exec \"$0\" \"$@\"");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_darkroom")]);
        self.worker_by(limited, more)
    }

    fn worker_by(&self, mut program: Command, more: &[(&str, &str)]) -> Worker {
        let log = self.folder.path().join(format!("worker-{}.log", JobId::generate()));
        let file = std::fs::File::create(&log).expect("a log can be made");
        let process = program
            .arg("worker")
            .envs(self.services.environment())
            .envs([
                ("DARKROOM_HTTP_ADDR", ""),
                ("DARKROOM_LEASE_MS", "2000"),
                ("DARKROOM_HEARTBEAT_MS", "400"),
                ("DARKROOM_REAP_MS", "500"),
                ("DARKROOM_RETRY_BASE_MS", "300"),
                ("DARKROOM_LOG_FORMAT", "json"),
            ])
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .expect("the worker starts");
        Worker { process, log }
    }

    /// Where logs and data are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Starts a Redis that was killed again, and connects anew to it.
    pub async fn restart_redis(&mut self) {
        self.services.redis.restart().await.expect("redis starts again");
        let client = redis::Client::open(self.services.redis.url()).expect("a url");
        self.redis = patient(&client).await;
    }

    /// From now on, until Redis is started again, what it acknowledges is on disk; by default it may be a second later, or two
    /// on a slow disk, and a Redis that is killed before has forgotten it.
    pub async fn always_on_disk(&self) {
        let mut command = redis::cmd("CONFIG");
        command.arg(&["SET", "appendfsync", "always"]);
        let () = command.query_async(&mut self.redis.clone()).await.expect("redis obeys");
    }

    /// A call of darkroom that finds these servers, in an environment with nothing else.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = super::command::bare(args);
        command.envs(self.services.environment());
        command
    }

    /// Stages a picture for a user and enqueues it.
    pub async fn upload(&self, original: Vec<u8>) -> (JobId, ObjectKey) {
        let upload = self.staged(original).await;
        let key = ObjectKey::user_photo(&upload.user_id, &upload.image_id);
        (self.producer.enqueue(upload).await.expect("redis takes jobs"), key)
    }

    pub async fn staged(&self, original: Vec<u8>) -> Upload {
        let image_id = ImageId::random();
        let key: darkroom_jobs::StagedKey = format!("staging/test/{image_id}").parse().expect("a staged key");
        self.storage
            .upload(&ObjectKey::staged(&key), original.into(), &ObjectAttributes::default())
            .await
            .expect("the bucket takes originals");
        let source = Source::Staged { key, bytes: None, etag: None, sha256: None };
        Upload { user_id: "u1".parse().expect("an id"), image_id, source }
    }

    /// The final receipt, within 30 s.
    pub async fn final_receipt(&self, job: &JobId) -> Receipt {
        let receipt = self.producer.wait(job, Duration::from_secs(30)).await;
        receipt.unwrap_or_else(|error| panic!("no final receipt of {job}: {error}"))
    }

    /// The receipt once it has this status, within 20 s.
    pub async fn receipt_when(&self, job: &JobId, status: Status) -> Receipt {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let receipt = self.producer.receipt(job).await.expect("redis answers");
            match receipt {
                Some(receipt) if receipt.status == status => return receipt,
                other => assert!(Instant::now() < deadline, "{job} did not become {status:?}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The receipt once the job was put off, within 20 s.
    pub async fn receipt_when_deferred(&self, job: &JobId) -> Receipt {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let receipt = self.producer.receipt(job).await.expect("redis answers");
            match receipt {
                Some(receipt) if receipt.next_attempt_at.is_some() => return receipt,
                other => assert!(Instant::now() < deadline, "{job} was not put off: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits, at most 10 s, until the bucket holds these objects and no others: what is staged goes after the receipt.
    pub async fn eventually_only(&self, keys: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut objects = self.objects().await;
            // What a look at the bucket puts there; that of a worker that was killed meanwhile stays.
            objects.retain(|key| !key.starts_with("_darkroom/") && !key.starts_with("staging/_darkroom/"));
            if objects == keys {
                return;
            }
            assert!(Instant::now() < deadline, "the bucket holds {objects:?}, not {keys:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a person does to jobs.
    pub fn operator(&self) -> Operator {
        let (connection, keys) = self.connection();
        Operator::new(self.producer.clone(), connection, keys)
    }

    /// A look at the queues.
    pub fn inspector(&self) -> Inspector {
        let (connection, keys) = self.connection();
        Inspector::new(self.producer.clone(), connection, keys)
    }

    /// A connection of our own making, and the keys.
    pub fn connection(&self) -> (wire::Connection, Keys) {
        let settings = self.services.settings::<config::Redis>().expect("the services' settings are right");
        let client = connection::client(&settings).expect("a url");
        (connection::managed(&client).expect("a url"), settings.namespace)
    }

    /// Pushes a payload as anybody could who has `redis-cli`.
    pub async fn push_by_hand(&mut self, kind: Kind, id: impl AsRef<[u8]>, payload: &[u8]) {
        self.push_by_hand_for(0, kind, id, payload).await;
    }

    /// The same for a time, unix s.
    pub async fn push_by_hand_for(&mut self, due: u64, kind: Kind, id: impl AsRef<[u8]>, payload: &[u8]) {
        let queue = format!("{{darkroom}}:{kind}");
        let () = redis::pipe()
            .atomic()
            .hset(format!("{queue}:data"), id.as_ref(), payload)
            .zadd(format!("{queue}:scheduled"), id.as_ref(), due)
            .query_async(&mut self.redis)
            .await
            .expect("redis answers");
    }

    /// Keys of all objects.
    pub async fn objects(&self) -> Vec<String> {
        let page = self.storage.list(&Prefix::everything(), None).await.expect("the bucket answers");
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

/// A worker process; dropping it kills it.
pub struct Worker {
    process: Child,
    log: std::path::PathBuf,
}

impl Worker {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id().expect("the worker runs")
    }

    pub fn signal(&self, name: &str) {
        let id = self.process.id().expect("the worker runs").to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// As the out-of-memory killer does.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("the worker runs");
    }

    /// The exit code, within 30 s.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await;
        ended.expect("the worker ends").expect("it can be waited for").code()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("it can be asked").is_none()
    }

    /// The most memory that the worker ever had, KiB.
    pub fn peak_kib(&self) -> u64 {
        let id = self.process.id().expect("the worker runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the worker runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub fn log_file(&self) -> &std::path::Path {
        &self.log
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is there")
    }
}

/// A connection whose answers may take long on a machine that does much else; the client's own limit is half a second.
async fn patient(client: &redis::Client) -> redis::aio::MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    client.get_multiplexed_async_connection_with_config(&config).await.expect("redis answers")
}

/// A picture that is rendered by code.
pub fn picture(name: &str) -> Vec<u8> {
    pictures::picture(name).unwrap_or_else(|| panic!("no picture is called {name}"))
}
