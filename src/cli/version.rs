//! `darkroom --version --verbose`: what this binary is made of.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::{
    handlers::keep::PIPELINE,
    imaging,
    sandbox::{
        self,
        held::{HeldBy, Landlock},
    },
};

/// Whether a call of clap that ended with `error` asked for the long version.
pub fn asked(error: &clap::Error, argv: &[OsString]) -> bool {
    let verbose = argv.iter().any(|word| word == "--verbose" || word == "-v");
    error.kind() == ErrorKind::DisplayVersion && verbose
}

/// Version, cargo features, codecs, vector instructions of this machine that are used, and the pipeline that objects name.
pub fn long() -> String {
    let decoders: Vec<_> = imaging::sniff::Format::ALL.iter().map(|format| format.media_type()).collect();
    [
        format!("darkroom {}", env!("CARGO_PKG_VERSION")),
        format!("features:  {}", or_none(&features())),
        format!("decodes:   {}", decoders.join(" ")),
        format!("heif:      {} (without assembler)", imaging::HEIF_DECODERS.join(" ")),
        format!("webp:      {} (lossy)", imaging::LOSSY_WEBP_DECODER),
        format!("encodes:   image/jpeg ({})", imaging::ENCODERS.join(", progressive by ")),
        format!("simd:      {} ({})", or_none(&simd()), std::env::consts::ARCH),
        format!("lane:      jpeg ({})", imaging::lane_kernels()),
        format!("decoders:  {}", wall()),
        format!("pipeline:  {PIPELINE}"),
    ]
    .join("\n")
}

/// What holds them on this machine.
fn wall() -> String {
    let Ok(HeldBy { seccomp, landlock }) = sandbox::held_by() else {
        return "could not be started".to_owned();
    };
    let seccomp = if seccomp { " seccomp" } else { "" };
    let landlock = match landlock {
        Landlock::Whole => " landlock",
        Landlock::Partial => ", in part by landlock",
        Landlock::Missing => "",
    };
    format!("processes held by limits{seccomp}{landlock}")
}

fn or_none(words: &[&str]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

fn features() -> Vec<&'static str> {
    let known = [("dev", cfg!(feature = "dev")), ("test-hooks", cfg!(feature = "test-hooks"))];
    known.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

/// What this machine has of what our decoders, scalers and encoder have code for.
#[cfg(target_arch = "x86_64")]
fn simd() -> Vec<&'static str> {
    let known = [
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// What this machine has of what our decoders, scalers and encoder have code for.
#[cfg(target_arch = "aarch64")]
fn simd() -> Vec<&'static str> {
    if std::arch::is_aarch64_feature_detected!("neon") { vec!["neon"] } else { Vec::new() }
}

/// Our decoders, scalers and encoder have no such code for other machines.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd() -> Vec<&'static str> {
    Vec::new()
}
