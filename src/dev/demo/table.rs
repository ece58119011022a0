//! The table that the demo prints, a row for each job as it finishes.

use std::time::Duration;

use darkroom_jobs::{Receipt, Status};

use super::Shown;

/// Prints the names of the columns.
pub fn head() {
    println!(
        "\n  {:<26} {:<7} {:<34} {:>19} {:>7}  verdict\n  {}",
        "picture",
        "kind",
        "in → out",
        "size",
        "ms",
        "─".repeat(118)
    );
}

/// Prints one finished job; a cross when its verdict is not the expected one.
pub fn row(shown: &Shown) {
    let mark = if shown.as_expected { " " } else { "✗" };
    let receipt = &shown.receipt;
    println!(
        "{mark} {:<26} {:<7} {:<34} {:>19} {:>7}  {}",
        short(&shown.name, 26),
        receipt.kind.as_str(),
        format(receipt),
        sizes(shown),
        millis(shown.took),
        verdict(receipt)
    );
}

/// The last words of a job: its status, the reason, and how often it was tried.
pub fn verdict(receipt: &Receipt) -> String {
    let tried =
        if receipt.attempts > 1 { format!(" after {} attempts", receipt.attempts) } else { String::new() };
    match (&receipt.error, receipt.status) {
        (Some(error), Status::Failed) => format!("failed {}", error.code),
        (_, status) => format!("{}{tried}", status.as_str()),
    }
}

/// `123 KB`, as people say it.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Type and size in pixels of the original, and of the result.
pub fn format(receipt: &Receipt) -> String {
    let before = receipt.source.as_ref().map(|source| {
        let kind = source.detected_type.as_deref().map_or("?", |kind| kind.trim_start_matches("image/"));
        match (source.width, source.height) {
            (Some(width), Some(height)) => format!("{kind} {width}×{height}"),
            _ => kind.to_owned(),
        }
    });
    let after = receipt.object.as_ref().map(|object| format!("jpeg {}×{}", object.width, object.height));
    match (before, after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(before), None) => format!("{before} → –"),
        _ => "–".to_owned(),
    }
}

fn sizes(shown: &Shown) -> String {
    match (&shown.original, &shown.receipt.object) {
        (Some(original), Some(object)) => format!("{} → {}", size(original.len() as u64), size(object.size)),
        (Some(original), None) => size(original.len() as u64),
        _ => "–".to_owned(),
    }
}

fn millis(took: Duration) -> u128 {
    took.as_millis()
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}
