//! darkroom, a background worker that other services trust with their pictures. `ARCHITECTURE.md` is the map.

pub mod cli;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod digest;
pub mod handlers;
pub mod http;
pub mod imaging;
pub mod queue;
pub mod sandbox;
pub mod sources;
#[cfg(feature = "test-hooks")]
pub mod stops;
pub mod storage;
pub mod telemetry;
pub mod worker;
