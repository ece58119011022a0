//! Profiles of three curves and a matrix, as telephones embed them, for the way that never has a whole picture.

use std::{cell::RefCell, sync::Arc};

use darkroom_jpeg::Color;
use moxcms::{ColorProfile, DataColorSpace};

use super::recent;
use crate::imaging::header::colors::Colors;

/// What the colors of a photo need.
#[derive(Clone, Debug, Default)]
pub(in crate::imaging) struct Conversion {
    /// Nothing for what is sRGB, or so near that nobody sees it.
    pub color: Option<Arc<Color>>,
    /// Of the profile.
    pub description: Option<String>,
}

thread_local! {
    /// The profile that was last used, whether the photo was grey, and what it needed: telephones embed the same profile
    /// in all their photos.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

type Last = (Vec<u8>, bool, Option<Conversion>);

/// What a photo needs, if curves and a matrix can give it.
pub(in crate::imaging) fn conversion(colors: &Colors, grey: bool) -> Option<Conversion> {
    match colors {
        Colors::Srgb => Some(Conversion::default()),
        Colors::Icc(icc) => LAST.with_borrow_mut(|last| match last {
            Some((known, was_grey, conversion)) if known == icc && *was_grey == grey => conversion.clone(),
            _ => {
                let conversion = of_profile(colors, grey);
                *last = Some((icc.clone(), grey, conversion.clone()));
                conversion
            }
        }),
        _ => None,
    }
}

fn of_profile(colors: &Colors, grey: bool) -> Option<Conversion> {
    let known = recent::known(colors, grey)?;
    let (converter, read) = (&known.converter, &known.converter.profile);
    let wanted = if grey { DataColorSpace::Gray } else { DataColorSpace::Rgb };
    if read.color_space != wanted {
        return None;
    }
    let description = known.description.clone();
    if converter.changes_nothing()? {
        return Some(Conversion { color: None, description });
    }
    let has_tables = read.lut_a_to_b_perceptual.is_some()
        || read.lut_a_to_b_colorimetric.is_some()
        || read.lut_a_to_b_saturation.is_some();
    if grey || has_tables || !converter.keeps_black()? {
        return None;
    }
    let curves = [
        read.build_r_linearize_table::<u8, 256, 8>(false).ok()?,
        read.build_g_linearize_table::<u8, 256, 8>(false).ok()?,
        read.build_b_linearize_table::<u8, 256, 8>(false).ok()?,
    ];
    let matrix = read.transform_matrix(&ColorProfile::new_srgb()).v.map(|row| row.map(|value| value as f32));
    let color = Color::new(&curves.map(|curve| *curve), &matrix);
    // Whatever else a profile says, the pixels are to be those of the general way.
    converter.agrees(|rgb| color.srgb(rgb))?.then(|| Conversion { color: Some(Arc::new(color)), description })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grey_photo_is_not_given_what_one_of_colors_with_the_same_profile_needed() {
        let icc = ColorProfile::new_display_p3().encode().expect("it can be written");
        let colors = Colors::Icc(icc);

        let found = [false, true, false].map(|grey| conversion(&colors, grey).is_some());

        assert_eq!(found, [true, false, true]);
    }
}
