//! Profiles of three curves and a matrix, as telephones embed them, for the way that never has a whole picture.

use std::{cell::RefCell, sync::Arc};

use darkroom_jpeg::Color;
use moxcms::{ColorProfile, DataColorSpace};

use super::{description, profile};
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
    /// The profile that was last used: telephones embed the same one in all their photos.
    static LAST: RefCell<Option<(Vec<u8>, Conversion)>> = const { RefCell::new(None) };
}

/// What a photo needs, if curves and a matrix can give it.
pub(in crate::imaging) fn conversion(colors: &Colors, grey: bool) -> Option<Conversion> {
    match colors {
        Colors::Srgb => Some(Conversion::default()),
        Colors::Icc(icc) => LAST.with_borrow_mut(|last| match last {
            Some((known, conversion)) if known == icc => Some(conversion.clone()),
            _ => {
                let conversion = of_profile(icc, grey)?;
                *last = Some((icc.clone(), conversion.clone()));
                Some(conversion)
            }
        }),
        _ => None,
    }
}

fn of_profile(icc: &[u8], grey: bool) -> Option<Conversion> {
    let read = ColorProfile::new_from_slice(icc).ok()?;
    let wanted = if grey { DataColorSpace::Gray } else { DataColorSpace::Rgb };
    if read.color_space != wanted {
        return None;
    }
    let description = read.description.as_ref().and_then(description);
    if profile::changes_nothing(&read)? {
        return Some(Conversion { color: None, description });
    }
    let has_tables = read.lut_a_to_b_perceptual.is_some()
        || read.lut_a_to_b_colorimetric.is_some()
        || read.lut_a_to_b_saturation.is_some();
    if grey || has_tables || !profile::keeps_black(&read)? {
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
    profile::agrees(&read, |rgb| color.srgb(rgb))?
        .then(|| Conversion { color: Some(Arc::new(color)), description })
}
