//! Everything that needs a real server, in one binary.

#[path = "../support/mod.rs"]
mod support;

mod embedded_s3;
mod sources;
mod storage;
mod storage_faults;
