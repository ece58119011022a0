//! What suites share.

pub mod bucket;
pub mod ceph;
pub mod darkroom;
pub mod faults;
pub mod invariant;
pub mod scripts;
pub mod stopping;
pub mod served;
pub mod tls;
