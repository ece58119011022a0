//! Whatever a file holds: a photo or an error, never a panic, and never a photo of what is not all there.

use darkroom_jpeg::{Error, Limits, Scratch, normalize};
use fastrand::Rng;

use super::{
    pixels::decoded,
    scenes::{KINDS, LIMITS, photo, plan},
};

/// Mutations of each kind of photo.
const ROUNDS: usize = 400;

#[test]
fn any_bytes_give_a_photo_or_an_error() {
    let mut random = Rng::with_seed(1);
    let mut scratch = Scratch::default();
    let mut made = 0;
    for kind in KINDS {
        let (jpeg, _) = photo(kind, (150, 117));
        for _ in 0..ROUNDS {
            let damaged = mutated(&jpeg, &mut random);
            let plan = plan(random.u32(1..200), random.u8(1..=8), random.bool());
            if let Ok(output) = normalize(&damaged, &plan, &LIMITS, &mut scratch) {
                let (_, width, height) = decoded(&output.jpeg, 3);
                assert_eq!((width, height), (output.width, output.height));
                made += 1;
            }
        }
    }
    assert!(made > 0, "some damage is where nobody looks");
}

fn mutated(jpeg: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = jpeg.to_vec();
    for _ in 0..random.usize(1..6) {
        // Headers are a small part: they get half of the damage.
        let end = if random.bool() { 700.min(bytes.len()) } else { bytes.len() };
        let at = random.usize(2..end);
        match random.u8(0..4) {
            0 => bytes[at] ^= 1 << random.u8(0..8),
            1 => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..(at + random.usize(1..64)).min(bytes.len()))),
            _ => bytes.insert(at, random.u8(..)),
        }
        if bytes.len() < 8 {
            break;
        }
    }
    bytes
}

#[test]
fn what_is_cut_off_is_not_taken() {
    for kind in KINDS {
        let (jpeg, _) = photo(kind, (200, 150));
        for tenth in 1..10 {
            let cut = &jpeg[..jpeg.len() * tenth / 10];
            let result = normalize(cut, &plan(100, 1, false), &LIMITS, &mut Scratch::default());
            assert!(result.is_err(), "{kind:?}, {tenth} tenths");
        }
    }
}

#[test]
fn a_missing_end_marker_is_nothing() {
    let (jpeg, _) = photo(KINDS[0], (200, 150));
    let whole = normalize(&jpeg, &plan(100, 1, false), &LIMITS, &mut Scratch::default());
    let cut = normalize(&jpeg[..jpeg.len() - 2], &plan(100, 1, false), &LIMITS, &mut Scratch::default());
    assert!(whole.is_ok() && whole == cut);
}

#[test]
fn a_restart_marker_out_of_order_is_damage() {
    let (mut jpeg, _) = photo(KINDS[2], (200, 150));
    let marker = jpeg.windows(2).position(|pair| pair == [0xff, 0xd1]).expect("the second restart");
    jpeg[marker + 1] = 0xd3;

    let result = normalize(&jpeg, &plan(100, 1, false), &LIMITS, &mut Scratch::default());

    assert_eq!(result, Err(Error::Corrupt("a restart marker")));
}

#[test]
fn bits_that_no_block_reads_are_damage() {
    for kind in KINDS {
        let (jpeg, _) = photo(kind, (200, 150));
        let (bits, end) = jpeg.split_at(jpeg.len() - 2);
        let longer = [bits, &[0x55; 3], end].concat();
        let result = normalize(&longer, &plan(100, 1, false), &LIMITS, &mut Scratch::default());
        assert!(matches!(result, Err(Error::Corrupt(_))), "{kind:?}");
    }
}

#[test]
fn limits_are_kept() {
    let (baseline, _) = photo(KINDS[0], (200, 150));
    let (progressive, _) = photo(KINDS[1], (200, 150));
    let made = |jpeg: &[u8], limits| normalize(jpeg, &plan(100, 1, false), &limits, &mut Scratch::default());
    let too_much = |limits| matches!(made(&baseline, limits), Err(Error::Limit(_)));

    assert!(too_much(Limits { max_pixels: 200 * 150 - 1, ..LIMITS }));
    assert!(too_much(Limits { max_side: 199, ..LIMITS }));
    assert!(made(&baseline, Limits { max_pixels: 200 * 150, max_side: 200, ..LIMITS }).is_ok());
    assert!(matches!(made(&progressive, Limits { max_scans: 3, ..LIMITS }), Err(Error::Limit(_))));
    assert!(too_much(Limits { max_work: 208 * 160 * 3 / 2 - 1, ..LIMITS }));
    assert!(made(&baseline, Limits { max_work: 208 * 160 * 3 / 2, ..LIMITS }).is_ok());
    assert!(matches!(made(&progressive, Limits { max_work: 10_000, ..LIMITS }), Err(Error::Limit(_))));
}
