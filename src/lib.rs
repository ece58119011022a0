//! darkroom, a background worker that other services trust with their pictures. `ARCHITECTURE.md` is the map.
pub mod cli;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod imaging;
pub mod sandbox;
