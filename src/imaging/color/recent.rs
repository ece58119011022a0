//! What one picture's colors leave to the next: telephones and print shops embed the same profile in all their pictures.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use moxcms::{ColorProfile, DataColorSpace};

use super::{
    description,
    inks::Inks,
    profile::{self, Converter},
};
use crate::imaging::header::colors::{CodePoints, Colors, Transfer};

/// How many are kept. A conversion of 16 bits takes up to 2 MB, and a profile may have two, one for alpha.
const MOST: usize = 4;
/// Of profiles that are kept, bytes; what is read from one may take several times as much.
const MOST_BYTES: usize = 4 << 20;

/// A profile, and what has been made of it.
#[derive(Debug)]
pub(super) struct Known {
    pub converter: Converter,
    /// Of an ICC profile.
    pub description: Option<String>,
    inks: OnceCell<Option<Inks>>,
}

struct Entry {
    colors: Colors,
    grey: bool,
    known: Rc<Known>,
}

thread_local! {
    /// The last one first.
    static RECENT: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// What a file says of its colors, as a profile; nothing when it is sRGB, none, or not of this kind.
pub(super) fn known(colors: &Colors, grey: bool) -> Option<Rc<Known>> {
    // What ICC profiles are about they say themselves.
    let grey = grey && !matches!(colors, Colors::Icc(_));
    RECENT.with_borrow_mut(|recent| {
        let at = recent.iter().position(|entry| entry.grey == grey && entry.colors == *colors);
        let entry = match at {
            Some(at) => recent.remove(at),
            None => Entry { colors: colors.clone(), grey, known: Rc::new(read(colors, grey)?) },
        };
        let known = Rc::clone(&entry.known);
        recent.insert(0, entry);
        bound(recent);
        Some(known)
    })
}

/// Gives up what is kept.
pub(in crate::imaging) fn rest() {
    RECENT.take();
}

impl Known {
    /// The conversion of inks, if the profile is about them.
    pub fn inks(&self) -> Option<&Inks> {
        let profile = &self.converter.profile;
        let make = || if profile.color_space == DataColorSpace::Cmyk { Inks::new(profile) } else { None };
        self.inks.get_or_init(make).as_ref()
    }
}

fn read(colors: &Colors, grey: bool) -> Option<Known> {
    let (profile, description) = match colors {
        Colors::Icc(icc) => {
            let profile = ColorProfile::new_from_slice(icc).ok()?;
            let description = profile.description.as_ref().and_then(description);
            (profile, description)
        }
        Colors::Gamma(gamma) => (profile::of_gamma(gamma, grey), None),
        Colors::CodePoints(CodePoints { primaries, transfer: Transfer::Standard(transfer) }) => {
            (profile::of_code_points(*primaries, *transfer, grey)?, None)
        }
        Colors::Srgb | Colors::CodePoints(_) => return None,
    };
    Some(Known { converter: Converter::new(profile), description, inks: OnceCell::new() })
}

/// The last one stays, however large it is.
fn bound(recent: &mut Vec<Entry>) {
    let bytes = |entry: &Entry| if let Colors::Icc(icc) = &entry.colors { icc.len() } else { 0 };
    while recent.len() > MOST || (recent.len() > 1 && recent.iter().map(bytes).sum::<usize>() > MOST_BYTES) {
        recent.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(len: usize) -> Colors {
        let mut icc = ColorProfile::new_display_p3().encode().expect("it can be written");
        icc.resize(icc.len().max(len), 0);
        Colors::Icc(icc)
    }

    #[test]
    fn a_profile_that_comes_again_is_not_read_again() {
        rest();
        let first = known(&profile(0), false).expect("a profile");
        let other = known(&profile(1 << 10), false).expect("a profile");

        let again = known(&profile(0), true).expect("a profile");

        assert!(Rc::ptr_eq(&first, &again) && !Rc::ptr_eq(&first, &other));
    }

    #[test]
    fn a_few_are_kept_and_no_more_and_none_when_no_picture_follows() {
        for (len, kept) in [(1 << 10, MOST), ((2 << 20) - 16, 2), (4 << 20, 1)] {
            rest();
            let all: Vec<_> = (0..MOST + 2)
                .map(|nth| Rc::downgrade(&known(&profile(len + nth), false).expect("a profile")))
                .collect();

            let alive =
                |all: &[std::rc::Weak<Known>]| all.iter().filter(|known| known.strong_count() > 0).count();
            assert_eq!((alive(&all), alive(&all[all.len() - kept..])), (kept, kept), "{len}");
            rest();
            assert_eq!(alive(&all), 0);
        }
    }

    #[test]
    fn grey_and_color_of_the_same_gamma_are_not_the_same() {
        rest();
        let gamma =
            Colors::Gamma(crate::imaging::header::colors::Gamma { exponent: 1.0, chromaticities: None });

        let spaces =
            [true, false].map(|grey| known(&gamma, grey).map(|known| known.converter.profile.color_space));

        assert_eq!(spaces, [Some(DataColorSpace::Gray), Some(DataColorSpace::Rgb)]);
    }
}
