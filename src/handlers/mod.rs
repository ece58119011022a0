//! What a job does, and what its failure means: one file per job type.
//!
//! Never sees leases, retries, settling, metrics or time-outs: the worker wraps every handler in those, once.

pub mod bucket_health;
pub mod context;
pub mod delete;
pub mod erase;
pub mod error;
pub mod ingest;
pub mod keep;
mod purge;
pub mod report;
mod scope;
pub mod step;
pub mod upload;
