//! Workers that stop at a step of a job: there they are killed, cut off, or let go on.

use std::time::{Duration, Instant};

use darkroom::config::steps::Step;

use super::darkroom::{TestDarkroom, Worker};

const STOP_AT: &str = "DARKROOM_TEST_STOP_AT";

impl TestDarkroom {
    /// A worker whose first job that comes to this step stays there until [`TestDarkroom::let_go_on`], or for ever.
    pub fn worker_stopping_at(&self, step: Step, more: &[(&str, &str)]) -> Worker {
        let stop = format!("{},until={}", step.as_str(), self.release().display());
        self.worker(&[&[(STOP_AT, &*stop)], more].concat())
    }

    /// A worker whose first job that comes to this step panics there.
    pub fn worker_panicking_at(&self, step: Step, more: &[(&str, &str)]) -> Worker {
        let stop = format!("{},panic", step.as_str());
        self.worker(&[&[(STOP_AT, &*stop)], more].concat())
    }

    /// Lets every job go on that is held at a step.
    pub fn let_go_on(&self) {
        std::fs::write(self.release(), "").expect("the folder is there");
    }

    fn release(&self) -> std::path::PathBuf {
        self.folder().join("let-go-on")
    }
}

impl Worker {
    /// Returns when a job has stopped at this step, within 20 s.
    pub async fn reached(&self, step: Step) {
        let word = format!("\"step\":\"{}\"", step.as_str());
        self.logged(&["stopped at a step, as a test asked", &word]).await;
    }

    /// Returns when a line of the log has all these words, within 20 s.
    pub async fn logged(&self, words: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            if log.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
            assert!(Instant::now() < deadline, "no line has {words:?} in\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
