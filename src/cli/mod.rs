//! The command line: one file per subcommand.

pub mod enqueue;
pub mod jobs;
pub mod normalize;
pub mod worker;
