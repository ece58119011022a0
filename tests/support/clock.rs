//! A clock that is wrong by a fixed time.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    pub const fn ahead(ahead: Duration) -> Self {
        Self { ahead, behind: Duration::ZERO }
    }

    pub const fn behind(behind: Duration) -> Self {
        Self { ahead: Duration::ZERO, behind }
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead - self.behind
    }
}
