//! What suites share.

pub mod address;
pub mod bucket;
pub mod ceph;
pub mod command;
pub mod cut_wire;
pub mod darkroom;
pub mod faults;
pub mod invariant;
pub mod processes;
pub mod scripts;
pub mod served;
pub mod service;
pub mod stopping;
pub mod tls;
