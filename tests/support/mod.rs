//! What suites share.

pub mod bucket;
pub mod darkroom;
pub mod faults;
pub mod service;
