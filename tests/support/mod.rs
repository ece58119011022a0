//! What suites share.

pub mod bucket;
pub mod faults;
