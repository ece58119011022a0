//! Cyan, magenta, yellow and black → sRGB.

use std::{fmt, sync::Arc};

use moxcms::{ColorProfile, Layout, Transform16BitExecutor};

use super::{black_point::Compensation, profile, recent};
use crate::imaging::{
    header::colors::Colors,
    raster::{Samples, to_8_bit},
};

/// Samples of a pixel of inks, of which 255 is all that the paper takes.
const INKS: usize = 4;
const RGB: usize = 3;

/// Pixels that are converted at once.
const BATCH: usize = 4_096;

/// Converts inks by the picture's profile, or as coated paper looks where it has none that is about inks.
pub(in crate::imaging) fn to_srgb(inks: Vec<u8>, colors: &Colors) -> Vec<u8> {
    let known = recent::known(colors, false);
    let converter = known.as_ref().and_then(|known| known.inks());
    in_place(inks, |inks, rgb| match converter {
        Some(converter) => converter.convert(inks, rgb),
        None => on_coated_paper(inks, rgb),
    })
}

/// Overwrites pixels by others that are smaller.
fn in_place(mut samples: Vec<u8>, convert: impl Fn(&[u8], &mut [u8])) -> Vec<u8> {
    let pixels = samples.len() / INKS;
    let mut converted = vec![0; BATCH.min(pixels) * RGB];
    for start in (0..pixels).step_by(BATCH) {
        let count = BATCH.min(pixels - start);
        convert(&samples[start * INKS..][..count * INKS], &mut converted[..count * RGB]);
        samples[start * RGB..][..count * RGB].copy_from_slice(&converted[..count * RGB]);
    }
    samples.truncate(pixels * RGB);
    samples
}

/// Conversion by a profile of inks.
pub(super) struct Inks {
    transform: Arc<Transform16BitExecutor>,
    black: Compensation,
}

impl Inks {
    /// Takes tens of milliseconds; nothing when the profile has no such table.
    pub fn new(read: &ColorProfile) -> Option<Self> {
        let (srgb, options) = (ColorProfile::new_srgb(), profile::relative_colorimetric(read));
        let transform = read.create_transform_16bit(Layout::Rgba, &srgb, Layout::Rgb, options).ok()?;
        let mut black = vec![0; RGB];
        transform.transform(&[u16::MAX; INKS], &mut black).ok()?;
        Some(Self { transform, black: Compensation::new(&Samples::U16(black), RGB) })
    }

    fn convert(&self, inks: &[u8], rgb: &mut [u8]) {
        let deep: Vec<u16> = inks.iter().map(|ink| u16::from(*ink) * 257).collect();
        let mut converted = vec![0; rgb.len()];
        self.transform.transform(&deep, &mut converted).expect("as many pixels as inks");
        self.black.apply(&mut converted, RGB);
        rgb.iter_mut().zip(converted).for_each(|(rgb, sample)| *rgb = to_8_bit(sample));
    }
}

impl fmt::Debug for Inks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inks").finish_non_exhaustive()
    }
}

/// A fit of second degree to U.S. Web Coated (SWOP) v2, that of pdf.js (Apache-2.0, `colorspace.js`). Rows are red, green
/// and blue; columns cc cm cy ck c mm my mk m yy yk y kk k.
const FIT: [[f32; 14]; 3] = [
    [
        -4.387, 54.486, 18.823, 212.257, -285.233, 1.715, -5.610, -17.874, -5.497, -2.522, -21.249, 17.512,
        -21.861, -189.482,
    ],
    [
        8.841, 60.118, 6.871, 31.159, -79.297, -15.310, 17.575, 131.353, -190.945, 4.444, 9.863, -24.867,
        -20.737, -187.805,
    ],
    [
        0.884, 8.079, 30.900, -0.239, -14.184, 10.496, 63.024, 50.607, -112.239, 0.033, 115.604, -193.582,
        -22.338, -180.126,
    ],
];

fn on_coated_paper(inks: &[u8], rgb: &mut [u8]) {
    for (inks, rgb) in inks.chunks_exact(INKS).zip(rgb.chunks_exact_mut(RGB)) {
        let [c, m, y, k] = [inks[0], inks[1], inks[2], inks[3]].map(|ink| f32::from(ink) / 255.0);
        let terms = [c * c, c * m, c * y, c * k, c, m * m, m * y, m * k, m, y * y, y * k, y, k * k, k];
        for (sample, fit) in rgb.iter_mut().zip(&FIT) {
            let level = 255.0 + terms.iter().zip(fit).map(|(term, factor)| term * factor).sum::<f32>();
            // The cast rounds towards zero, and keeps to the range.
            *sample = (level + 0.5) as u8;
        }
    }
}
