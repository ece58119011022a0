//! What suites share.

pub mod bucket;
pub mod ceph;
pub mod clock;
pub mod command;
pub mod darkroom;
pub mod deleting;
pub mod dns;
pub mod faults;
pub mod fetching;
pub mod former;
pub mod invariant;
pub mod odd_bucket;
pub mod operate;
pub mod processes;
pub mod scripts;
pub mod served;
pub mod service;
pub mod slow;
pub mod spawned;
pub mod stopping;
pub mod tls;
pub mod web;
