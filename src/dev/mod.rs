//! Servers for development and tests; the container image is built without them.
//!
//! A real Redis and an S3 server, for `darkroom dev`, the demo and the tests: nobody's pictures are trusted to them.

pub mod bench;
pub mod demo;
pub mod fuzz;
pub mod page;
pub mod pictures;
pub mod redis;
pub mod s3;
pub mod services;
