//! Everything that needs a real server, in one binary.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes, and ask the environment for more pictures"
)]

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod deploy;
mod embedded_s3;
mod http_jobs;
mod http_service;
mod http_uploads;
mod layers;
mod operate;
mod probe;
mod settings;
mod sources;
mod storage;
mod storage_faults;
mod worker;
