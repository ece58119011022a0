//! Everything that needs a real server, in one binary.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes, and ask the environment for more pictures"
)]

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod corpus;
mod cut_wires;
mod deaths;
mod embedded_s3;
mod idle;
mod layers;
mod lua_headers;
mod producers;
mod redis_outages;
mod scripts;
mod scripts_model;
mod scripts_tick;
mod settings;
mod sources;
mod storage;
mod storage_faults;
mod worker;
