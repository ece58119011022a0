//! The binary, called as a person would.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt as _, process::Command};

/// A call of darkroom in an empty environment.
pub fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    command.env_clear().args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
}

impl Ended {
    /// The objects of `--json`.
    pub fn objects<T: serde::de::DeserializeOwned>(&self) -> Vec<T> {
        let object =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(object).collect()
    }
}

pub trait Call {
    /// Runs it to its end, within a minute.
    async fn ended(&mut self) -> Ended;
    /// The same, with something on standard input.
    async fn input(&mut self, bytes: Vec<u8>) -> Ended;
}

impl Call for Command {
    async fn ended(&mut self) -> Ended {
        let output = tokio::time::timeout(Duration::from_secs(60), self.output()).await;
        ended(output.expect("it ends").expect("it starts"))
    }

    async fn input(&mut self, bytes: Vec<u8>) -> Ended {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(&bytes).await.expect("it reads");
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        ended(output.expect("it ends").expect("it can be waited for"))
    }
}

fn ended(output: std::process::Output) -> Ended {
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}
