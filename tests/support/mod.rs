//! What suites share.

pub mod bucket;
pub mod ceph;
pub mod command;
pub mod darkroom;
pub mod faults;
pub mod invariant;
pub mod operate;
pub mod scripts;
pub mod served;
pub mod service;
pub mod stopping;
pub mod tls;
