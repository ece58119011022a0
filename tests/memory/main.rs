//! The estimates that the memory budget goes by, against an allocator that counts; and what hostile files leave behind.

#![expect(clippy::disallowed_methods, reason = "tests ask the environment for more files")]

#[path = "../support/processes.rs"]
mod processes;
mod rounds;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use darkroom::{
    dev::pictures::{KINDS, names, picture, sized},
    imaging::{Limits, Preset, header::Header, normalize},
};

/// Counts the bytes that are held, and the most that ever were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    let held = HELD.fetch_add(size, Relaxed) + size;
    MOST.fetch_max(held, Relaxed);
}

/// Held while something is measured, as all threads share the count.
static ALONE: Mutex<()> = Mutex::new(());

/// Most bytes that a picture held, and how many were expected. What is set aside for JPEGs is for the general way, which any may need.
fn measured(original: &[u8], preset: &Preset, jpeg_lane: bool) -> (u64, u64) {
    let limits = Limits { jpeg_lane, ..Limits::default() };
    darkroom::imaging::rest();
    let expected = Header::read(original, &limits).unwrap().peak_bytes(preset);
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    normalize(original, preset, &limits, &mut |_| {}).unwrap();
    ((MOST.load(Relaxed) - before) as u64, expected)
}

/// What is reserved for any picture; small ones need none of it, so that it must not make up for what is missing.
const BASE: u64 = 8 << 20;
const SMALL: u64 = 300_000;

/// How many times what it needs a picture may reserve: what is reserved for nothing makes others wait.
const WASTE: u64 = 2;

#[test]
fn a_picture_holds_less_than_its_estimate_and_not_far_less() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let presets = [
        ("as it is", Preset::USER_PHOTO),
        ("full color", Preset { quality: 95, ..Preset::USER_PHOTO }),
        ("progressive", Preset { progressive: true, ..Preset::USER_PHOTO }),
        ("half", Preset { max_side: 500, ..Preset::USER_PHOTO }),
        ("small", Preset { max_side: 150, ..Preset::USER_PHOTO }),
    ];
    let mut wrong = Vec::new();
    for kind in KINDS {
        let (width, height) = (1_000, 700);
        let original = sized(kind, width, height).unwrap();
        for (name, preset) in &presets {
            let (held, expected) = measured(&original, preset, false);
            let (by_lane, _) = measured(&original, preset, true);
            let expected = expected - BASE;
            let per_pixel = |bytes: u64| bytes as f64 / f64::from(width * height);
            let (has, may) = (per_pixel(held), per_pixel(expected));
            println!("{kind}, {name}: {has:.1} B/px, estimate {may:.1}");
            if held.max(by_lane) > expected + SMALL || expected > held * WASTE + SMALL {
                wrong.push(format!("{kind}, {name}: {has:.1} B/px, estimate {may:.1}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What files claim, and do not have, is not allocated: neither by those that are refused nor by the others.
#[test]
fn no_file_of_a_small_picture_holds_much() {
    const MUCH: usize = 16 << 20;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for name in names() {
        let original = picture(name).unwrap();
        let before = HELD.load(Relaxed);
        MOST.store(before, Relaxed);
        let refused = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {}).is_err();
        let held = MOST.load(Relaxed) - before;
        println!("{name}: {held} B, refused: {refused}");
        if held > MUCH {
            wrong.push((name, held));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
