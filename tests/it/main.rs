//! Everything that needs a real server, in one binary.

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod embedded_s3;
mod layers;
mod settings;
mod sources;
mod storage;
mod storage_faults;
