//! Finds a target of darkroom by its name.

use darkroom::dev::fuzz::TARGETS;

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target has the name of its file");
    (target.run)(bytes);
}
