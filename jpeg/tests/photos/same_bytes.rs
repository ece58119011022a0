//! The result depends on nothing but the arguments: neither on the processor, nor on what was made before.

use std::sync::Arc;

use darkroom_jpeg::{Color, Error, Kernels, Plan, Scratch, normalize};
use mozjpeg_rs::Subsampling;

use super::scenes::{KINDS, Kind, LIMITS, SIDES, edges, photo, plan};

/// Results of these shares of the original's longest side: as it is, near, past the vectors of pairs, at half size, tiny.
const SHARES: [f32; 5] = [1.0, 0.83, 0.43, 0.3, 0.06];

#[test]
fn every_processor_and_used_memory_give_the_same_file() {
    let mut used = Scratch::default();
    let color = Arc::new(wide());
    for (kind, sides) in KINDS.into_iter().flat_map(|kind| SIDES.map(|sides| (kind, sides))) {
        let (jpeg, _) = photo(kind, sides);
        for (at, share) in SHARES.into_iter().enumerate() {
            let longest = sides.0.max(sides.1);
            // More than 32 times smaller goes the general way.
            let max_side = ((longest as f32 * share) as u32).max(longest / 32 + 1).min(longest);
            let plan = Plan {
                color: (at % 2 == 0).then(|| color.clone()),
                ..plan(max_side, (at + sides.0 as usize) as u8 % 8 + 1, sides.1 % 2 == 0)
            };
            let name = format!("{kind:?} {sides:?} to {max_side}, {:?}", plan.orientation);

            let fresh = normalize(&jpeg, &plan, &LIMITS, &mut Scratch::default());
            let again = normalize(&jpeg, &plan, &LIMITS, &mut used);
            let portable = normalize(&jpeg, &plan, &LIMITS, &mut Scratch::new(Kernels::Portable));

            let fresh = fresh.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(again.as_ref() == Ok(&fresh), "{name}: used memory");
            assert!(portable.as_ref() == Ok(&fresh), "{name}: portable");
        }
    }
}

/// Both have the same coefficients, and more than half of them do not fit into 8 bits.
#[test]
fn a_progressive_photo_of_hard_edges_is_made_as_its_baseline_twin() {
    for kind in KINDS.into_iter().filter(|kind| kind.progressive) {
        let (jpeg, twin) = (edges(kind, (203, 91)), edges(Kind { progressive: false, ..kind }, (203, 91)));
        for max_side in [203, 60] {
            let plan = plan(max_side, 1, true);
            let made = |jpeg: &[u8], kernels| normalize(jpeg, &plan, &LIMITS, &mut Scratch::new(kernels));

            let wanted = made(&twin, Kernels::detect());
            let fast = made(&jpeg, Kernels::detect());
            let portable = made(&jpeg, Kernels::Portable);

            assert!(wanted.is_ok() && fast == portable, "{kind:?}");
            if kind.subsampling == Subsampling::S444 {
                assert_eq!(fast, Err(Error::Unsupported("so many great coefficients")));
            } else {
                assert!(fast == wanted, "{kind:?}, {:?}", fast.err());
            }
        }
    }
}

/// Colors with more red and green than sRGB has, so that some are clamped.
fn wide() -> Color {
    let curve = std::array::from_fn(|value| (value as f32 / 255.0).powf(2.2));
    Color::new(&[curve; 3], &[[1.3, -0.3, 0.0], [-0.1, 1.1, 0.0], [0.0, -0.1, 1.1]])
}
