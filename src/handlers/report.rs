//! What a handler did.

use darkroom_jobs::{Deletion, Object};

/// What a handler did.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A picture is in the bucket.
    Stored(Object),
    /// An image is gone.
    Deleted(Deletion),
    /// Everything of an owner is gone.
    Erased(Deletion),
    /// The bucket was looked at; what that found is in Redis.
    Probed,
}
