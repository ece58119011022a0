//! What a worker remembers of jobs that have ended: each limit is its own setting.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use darkroom_jobs::{ImageId, Kind};
use redis::AsyncCommands as _;

use crate::support::darkroom::TestDarkroom;

const QUEUE: &str = "{darkroom}:upload";
/// Jobs that end without being dead, and as many that do not.
const EACH: usize = 3;
/// Bytes that a dead job keeps at least: its payload, and a receipt that shows it.
const DEAD_BYTES: usize = 8 << 10;

#[tokio::test]
async fn each_limit_of_what_is_remembered_is_its_own_setting() {
    let bytes_of_two = (2 * DEAD_BYTES + (DEAD_BYTES >> 1)).to_string();
    for (setting, value, left) in [
        ("DARKROOM_DONE_MAX", "1", [1, EACH]),
        ("DARKROOM_DEAD_MAX", "2", [EACH, 2]),
        ("DARKROOM_DEAD_MAX_BYTES", &bytes_of_two, [EACH, 2]),
        ("DARKROOM_DONE_RETENTION_MS", "1000", [0, EACH]),
        ("DARKROOM_DEAD_RETENTION_MS", "1000", [EACH, 0]),
    ] {
        let mut darkroom = TestDarkroom::start().await;
        let ids = darkroom.push_what_ends().await;

        let _worker = darkroom.worker(&[(setting, value), ("DARKROOM_QUEUES", "upload")]);
        darkroom.until_all_have_ended().await;
        let remembered = darkroom.remembered_once_there_are(left, setting).await;

        for id in ids {
            let data: bool = darkroom.redis.hexists(format!("{QUEUE}:data"), &id).await.expect("it answers");
            let meta: bool = darkroom.redis.exists(format!("{QUEUE}:meta:{id}")).await.expect("it answers");
            assert_eq!([data, meta], [remembered.contains(&id); 2], "{setting}: {id}");
        }
    }
}

impl TestDarkroom {
    /// Of each sort as many as are counted: jobs that come too late, and what is no job.
    async fn push_what_ends(&mut self) -> Vec<String> {
        let late = format!(
            r#"{{"user_id":"u1","image_id":"{}","source":{{"type":"inline","base64":"AA=="}},"expires_at":"{}"}}"#,
            ImageId::random(),
            "2020-01-01T00:00:00Z"
        );
        let no_job = "x".repeat(DEAD_BYTES / 2);
        let mut ids = Vec::new();
        for (sort, payload) in [("late", late), ("no-job", no_job)] {
            for n in 0..EACH {
                let id = format!("{sort}-{n}");
                self.push_by_hand(Kind::Upload, &id, payload.as_bytes()).await;
                ids.push(id);
            }
        }
        ids
    }

    /// Returns when all have ended, remembered or not, within 30 s.
    async fn until_all_have_ended(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ended: HashMap<String, usize> =
                self.redis.hgetall(format!("{QUEUE}:stats")).await.expect("redis answers");
            if ended.get("expired") == Some(&EACH) && ended.get("failed") == Some(&EACH) {
                return;
            }
            assert!(Instant::now() < deadline, "not all have ended: {ended:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The jobs that are left once there are so many done and so many dead, within 20 s.
    async fn remembered_once_there_are(&mut self, left: [usize; 2], setting: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let [done, dead]: [Vec<String>; 2] = redis::pipe()
                .atomic()
                .zrange(format!("{QUEUE}:done"), 0, -1)
                .zrange(format!("{QUEUE}:dead"), 0, -1)
                .query_async(&mut self.redis)
                .await
                .expect("redis answers");
            if [done.len(), dead.len()] == left {
                return [done, dead].concat();
            }
            assert!(Instant::now() < deadline, "{setting}: {done:?} are done and {dead:?} dead");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
