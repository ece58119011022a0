//! Servers for development and tests; the container image is built without them.

pub mod s3;
