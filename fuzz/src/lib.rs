//! Finds a target of darkroom by its name.

use darkroom::dev::fuzz::{TARGETS, Target};

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    (target(name).run)(bytes);
}

/// The inputs that it begins with.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    (target(name).seeds)().into_iter().map(|(_, bytes)| bytes).collect()
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target has the name of its file")
}
