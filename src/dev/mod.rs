//! What developing and trying needs, and a container does not.

pub mod pictures;
