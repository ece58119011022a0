use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Job, Kind};

/// Asks whether the bucket can be reached. Has one attempt: a failed probe is a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BucketHealth {}

impl Job for BucketHealth {
    const KIND: Kind = Kind::BucketHealth;
    const MAX_ATTEMPTS: u32 = 1;
    const TIMEOUT: Duration = Duration::from_secs(10);
}
