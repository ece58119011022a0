//! Nothing is lost: real processes, real signals, and a network that breaks. `docs/chaos.md` says what is proved, and
//! each scenario prints its row of the table there.
//!
//! Quick as a part of `make test`; `make chaos` runs everything at full size.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes, and ask the environment how large a run is wanted"
)]

#[expect(dead_code, reason = "a suite does not need all that suites share")]
#[path = "../support/mod.rs"]
mod support;

mod address;
mod bucket;
mod report;
mod scene;
mod size;
mod timeline;
mod wire;

mod away;
mod backlog;
mod broken_list;
mod deaths;
mod frozen;
mod full;
mod garbage;
mod lost_answers;
mod lost_answers_beside;
mod lost_answers_erasure;
mod model;
mod poison;
mod processor;
mod redis_outages;
mod rolling;
mod starved;
mod storm;
mod ticks;
