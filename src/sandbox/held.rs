//! What holds a decoder on this machine besides its limits, and what of it is missing.

use serde::{Deserialize, Serialize};

/// What holds a decoder besides its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// A filter of system calls.
    pub seccomp: bool,
    /// No file, no port, no other process.
    pub landlock: Landlock,
}

/// How much of Landlock there is. A kernel gives what it knows of what is asked for, and says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// Nothing of it holds.
    #[default]
    Missing,
    /// Some of it: before Linux 6.12 no signals, before 6.7 no ports, before 6.2 not all ways to change a file. It
    /// counts as missing, for whoever relies on it.
    Partial,
    /// All of it.
    Whole,
}

/// A part of the wall that a machine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Its name.
    pub part: &'static str,
    /// What that means, and what would mend it.
    pub message: &'static str,
}

impl HeldBy {
    /// Whether all parts are there and whole.
    pub fn is_whole(self) -> bool {
        self.lacks().is_empty()
    }

    /// Parts that are missing or not whole.
    pub fn lacks(self) -> Vec<Lack> {
        let landlock = match self.landlock {
            Landlock::Whole => None,
            Landlock::Partial => Some(
                "holds in part alone: this kernel is older than Linux 6.12, and without seccomp a decoder could send signals or reach ports",
            ),
            Landlock::Missing => Some(
                "is missing: decoders are held by limits and seccomp alone; it needs Linux 5.13, and `landlock` in /sys/kernel/security/lsm",
            ),
        };
        let seccomp = (!self.seccomp).then_some(
            "is missing: a decoder may ask the kernel for anything that its limits and Landlock do not forbid; the kernel needs CONFIG_SECCOMP_FILTER",
        );
        let lack = |part, message: Option<&'static str>| message.map(|message| Lack { part, message });
        [lack("landlock", landlock), lack("seccomp", seccomp)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_holds_in_part_is_not_whole() {
        let parts = |landlock, seccomp| {
            let lacks = HeldBy { seccomp, landlock }.lacks();
            lacks.into_iter().map(|lack| lack.part).collect::<Vec<_>>()
        };

        assert_eq!(parts(Landlock::Whole, true), [""; 0]);
        assert_eq!(parts(Landlock::Partial, true), ["landlock"]);
        assert_eq!(parts(Landlock::Missing, false), ["landlock", "seccomp"]);
        assert_eq!(parts(Landlock::Whole, false), ["seccomp"]);
    }
}
