//! What a photo holds at most, by an allocator that counts.

#[path = "../photos/scenes.rs"]
#[expect(dead_code, reason = "most of it is for the other tests")]
mod scenes;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use darkroom_jpeg::{Error, Output, Plan, Scratch, normalize};
use mozjpeg_rs::Subsampling;
use scenes::{Kind, LIMITS, noise, photo, plan};

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

/// The most that was held for one photo, bytes, its result included; without the original.
fn peak(jpeg: &[u8], plan: &Plan, scratch: &mut Scratch) -> (Result<Output, Error>, usize) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let made = normalize(jpeg, plan, &LIMITS, scratch);
    (made, MOST.load(Relaxed) - before)
}

/// One test, because all threads share the count.
#[test]
fn memory_stays_within_its_bounds() {
    any_baseline_photo_of_50_megapixels();
    any_progressive_photo();
    what_is_kept_for_the_next();
}

/// Besides the result, twice when it is turned: its bits wait then until they are written, in another order.
fn any_baseline_photo_of_50_megapixels() {
    const MOST: usize = 14 << 20;
    let large = (8160, 6128);
    for (subsampling, sides, max_side, orientation, noisy) in [
        (Subsampling::S420, large, 2048, 6, true),
        (Subsampling::S420, large, 4096, 1, true),
        (Subsampling::S420, large, 4096, 6, false),
        (Subsampling::S444, large, 4096, 7, false),
        (Subsampling::S420, large, 4096, 3, true),
        (Subsampling::S440, large, 4096, 1, false),
        (Subsampling::S444, large, 2048, 1, false),
        (Subsampling::S444, large, 300, 1, false),
        (Subsampling::Gray, large, 2048, 1, true),
        // Noise that is not made smaller has most bits.
        (Subsampling::S420, (4096, 4096), 4096, 1, true),
        (Subsampling::S420, (4096, 4096), 4096, 3, true),
        (Subsampling::S444, (4096, 4096), 4096, 6, true),
    ] {
        let jpeg = tall(subsampling, sides, noisy);
        let plan = plan(max_side, orientation, false);

        let (made, held) = peak(&jpeg, &plan, &mut Scratch::default());

        let name = format!("{subsampling:?} {sides:?} to {max_side}, turned {orientation}, noise {noisy}");
        let made = made.unwrap_or_else(|error| panic!("{name}: {error}"));
        let result = made.jpeg.len() * if orientation > 1 { 2 } else { 1 };
        println!(
            "{name}: {held} B, of them {} of the result, {} others",
            made.jpeg.len(),
            held.saturating_sub(result)
        );
        assert!(held <= MOST + result, "{name}: {held} B");
    }
}

/// A photo that repeats its first row of MCUs, which is faster than to write it.
fn tall(subsampling: Subsampling, (width, height): (u32, u32), noisy: bool) -> Vec<u8> {
    let mcu = |twice: &[Subsampling]| if twice.contains(&subsampling) { 16 } else { 8 };
    let columns = width.div_ceil(mcu(&[Subsampling::S420, Subsampling::S422]));
    let row = mcu(&[Subsampling::S420, Subsampling::S440]);
    let kind = Kind { subsampling, progressive: false, restarts: columns as u16 };
    let mut jpeg = if noisy { noise(kind, (width, row)) } else { photo(kind, (width, row)).0 };
    let at =
        |jpeg: &[u8], marker: u8| jpeg.windows(2).position(|two| two == [0xff, marker]).expect("a segment");
    let frame = at(&jpeg, 0xc0);
    jpeg[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
    let scan = at(&jpeg, 0xda);
    let bits = scan + 2 + usize::from(jpeg[scan + 3]);
    let row_bits = jpeg.split_off(bits);
    let row_bits = &row_bits[..row_bits.len() - 2];
    for number in 0..height.div_ceil(row) {
        if number > 0 {
            jpeg.extend([0xff, 0xd0 | ((number - 1) % 8) as u8]);
        }
        jpeg.extend_from_slice(row_bits);
    }
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

/// In any sampling, and whatever its coefficients are: what would need more is left to another decoder.
fn any_progressive_photo() {
    const PIXELS: usize = 6000 * 4000;
    // Great coefficients in each block, the most that fit and one more.
    for (sampling, great, fits) in [
        (Some((2, 2)), 0, true),
        (Some((2, 2)), 18, true),
        (Some((2, 2)), 19, false),
        (Some((2, 1)), 9, true),
        (Some((2, 1)), 10, false),
        (Some((1, 2)), 9, true),
        (Some((1, 1)), 0, true),
        (Some((1, 1)), 1, true),
        (Some((1, 1)), 2, false),
        (None, 18, true),
        (None, 19, false),
    ] {
        let jpeg = progressive((6000, 4000), sampling, great);

        let (made, held) = peak(&jpeg, &plan(2048, 1, false), &mut Scratch::default());

        let name = format!("progressive {sampling:?}, {great} great");
        println!("{name}: {held} B, {:.2} B/px", held as f64 / PIXELS as f64);
        match made {
            Ok(_) => assert!(fits, "{name}"),
            Err(error) => assert!(!fits && matches!(error, Error::Unsupported(_)), "{name}: {error}"),
        }
        assert!(held <= PIXELS * 33 / 10 + (12 << 20), "{name}: {held} B");
    }
}

fn what_is_kept_for_the_next() {
    let mut scratch = Scratch::default();
    let before = HELD.load(Relaxed);
    for (width, height) in [(2000, 1500), (9000, 8000), (2000, 1500)] {
        let made = normalize(&flat(width, height), &plan(2048, 1, false), &LIMITS, &mut scratch);
        drop(made.expect("a photo"));
        let kept = HELD.load(Relaxed) - before;
        println!("kept after {width} x {height}: {kept} B");
        assert!(kept <= 64 << 20, "{kept} B");
    }
    let (again, held) = peak(&flat(2000, 1500), &plan(2048, 1, false), &mut scratch);
    again.expect("a photo");
    assert!(held <= 3 << 20, "a photo like the one before it takes {held} B more");
}

/// A progressive photo of one grey: all that its scans say is 0, a bit for each block.
fn flat(width: usize, height: usize) -> Vec<u8> {
    progressive((width, height), Some((2, 2)), 0)
}

/// A progressive photo with so many great coefficients in each block, and nothing else. `sampling`: blocks of luma in an MCU; grey without one.
fn progressive((width, height): (usize, usize), sampling: Option<(usize, usize)>, great: u8) -> Vec<u8> {
    let mut jpeg = vec![0xff, 0xd8];
    let mut segment = |marker: u8, payload: &[u8]| {
        jpeg.extend([0xff, marker]);
        jpeg.extend((payload.len() as u16 + 2).to_be_bytes());
        jpeg.extend(payload);
    };
    let (h, v) = sampling.unwrap_or((1, 1));
    let components = if sampling.is_some() { 3 } else { 1 };
    let ([h1, h0], [w1, w0]) = ((height as u16).to_be_bytes(), (width as u16).to_be_bytes());
    segment(0xdb, &[&[0_u8][..], &[1; 64]].concat());
    let frame = [8, h1, h0, w1, w0, components, 1, (h << 4 | v) as u8, 0, 2, 0x11, 0, 3, 0x11, 0];
    segment(0xc2, &frame[..6 + 3 * usize::from(components)]);
    // One code of one bit in each table: no difference, the end of a block, and a value of ten bits.
    for (class, symbol) in [(0x00, 0), (0x10, 0), (0x11, 10)] {
        segment(0xc4, &[&[class][..], &[1], &[0; 15], &[symbol]].concat());
    }
    let dc = [&[components][..], &[1, 0, 2, 0, 3, 0][..2 * usize::from(components)], &[0, 0, 0]].concat();
    segment(0xda, &dc);
    let mcus = width.div_ceil(8 * h) * height.div_ceil(8 * v);
    let blocks = mcus * if components == 3 { h * v + 2 } else { 1 };
    jpeg.extend(vec![0; blocks.div_ceil(8)]);
    for (component, by) in (1..=components).zip([(1, 1), (h, v), (h, v)]) {
        let blocks = width.div_ceil(8 * by.0) * height.div_ceil(8 * by.1);
        if great > 0 {
            jpeg.extend([0xff, 0xda, 0, 8, 1, component, 1, 1, great, 0]);
            jpeg.extend(great_values(blocks * usize::from(great)));
        }
        jpeg.extend([0xff, 0xda, 0, 8, 1, component, 0, great + 1, 63, 0]);
        jpeg.extend(vec![0; blocks.div_ceil(8)]);
    }
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

/// So many times the code 0 with the value 512 in ten bits.
fn great_values(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; (11 * count).div_ceil(8)];
    for bit in (0..count).map(|at| 11 * at + 1) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    bytes
}
