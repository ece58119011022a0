//! What Redis knows: which jobs wait, who holds one, what became of it, what was deleted.
//!
//! Never decides what a failure means, never sees pixels, never calls a handler.

pub mod boot;
pub mod breaker;
pub mod clock;
pub mod connection;
pub mod consumer;
pub mod delivery;
pub mod health;
pub mod heartbeat;
pub mod inspect;
pub mod lease;
pub mod metrics;
pub mod operate;
pub mod pace;
pub mod periodic;
pub mod presence;
pub mod scripts;
pub mod scrub;
pub mod settle;
pub mod tombstone;
mod upkeep;
pub mod vitals;
