//! What suites share.

pub mod bucket;
pub mod command;
pub mod darkroom;
pub mod faults;
