//! Everything that needs a real server, in one binary.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes, and ask the environment for more pictures"
)]

#[expect(dead_code, reason = "a suite does not need all that suites share")]
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod boot;
mod bucket_health;
mod ceph;
mod command_line;
mod command_line_enqueue;
mod command_line_fetch;
mod command_line_jobs;
mod conformance;
mod conformance_credentials;
mod conformance_objects;
mod conformance_table;
mod conformance_versions;
mod corpus;
mod delete_late_puts;
mod delete_races;
mod delete_races_scene;
mod delete_races_workers;
mod deploy;
mod embedded_s3;
mod erase;
mod erase_ceph;
mod erase_comebacks;
mod erase_cost;
mod erase_locked;
mod erase_scripts;
mod erase_scrub;
mod error_codes;
mod fetch_attacks;
mod fetch_jobs;
mod fetch_measured;
mod fetch_servers;
mod fetch_vet;
mod fuzz;
mod golden;
mod http_clients;
mod http_health;
mod http_jobs;
mod http_limits;
mod http_refusals;
mod http_service;
mod http_uploads;
mod http_watched;
mod idle;
mod inspect;
mod layers;
mod leases;
mod lua_headers;
mod memory_wait;
mod operate;
mod presence;
mod presign;
mod priorities;
mod probe;
mod producers;
mod promises;
mod retention;
mod scripts;
mod scripts_bounds;
mod scripts_former;
mod scripts_health;
mod scripts_operate;
mod scripts_pace;
mod scripts_settle;
mod scripts_tick;
mod second_opinion;
mod settings;
mod sources;
mod storage;
mod storage_faults;
mod storage_requests;
mod wall;
mod wall_costs;
mod wall_reach;
mod wall_worker;
mod worker;
mod worker_payloads;
