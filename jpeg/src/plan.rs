//! What is to become of a photo.

use std::sync::Arc;

use crate::{color::Color, orient::Orientation};

/// What is to become of a photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Longest side of the result, px, 1 to 65,500; a smaller photo stays as it is.
    pub max_side: u32,
    /// 1 to 100, as libjpeg counts.
    pub quality: u8,
    /// As many samples of chroma as of luma (4:4:4), else half of them in both directions (4:2:0).
    pub full_chroma: bool,
    /// How the photo must be turned.
    pub orientation: Orientation,
    /// What the colors need to be sRGB; a grey photo needs nothing that this could give.
    pub color: Option<Arc<Color>>,
    /// Segments for the head of the result, marker and length included: a color profile.
    pub segments: Vec<u8>,
}

impl Plan {
    /// The sides of the result before it is turned.
    pub fn fit(&self, width: usize, height: usize) -> (usize, usize) {
        let longest = width.max(height);
        let most = (self.max_side as usize).min(longest);
        let side = |side: usize| ((side * most + longest / 2) / longest).max(1);
        (side(width), side(height))
    }
}
