//! How much memory a picture will take, so that as many are in work as fit.
//!
//! The constants were measured with a counting allocator, which `tests/memory` holds against them for every kind of
//! picture that can be rendered. Stages follow each other, and the greediest of them counts.

use super::{
    super::{Preset, encode, fit},
    Format, Header,
    colors::{CodePoints, Colors, Transfer},
};

/// What any picture takes: decoder and encoder states, tables of colors, the thumbnail, bytes.
const BASE_BYTES: u64 = 8 << 20;

/// For fragments and what grows with the entropy of a picture, in hundredths.
const MARGIN: u64 = 110;

/// Bytes for each pixel while a JPEG is written: the pixels, what a photo's are coded as, and the file. Of noise it is more,
/// by less than what any picture takes.
const WRITING_GREY: u64 = 2;
const WRITING_QUARTER_COLOR: u64 = 5;
const WRITING_FULL_COLOR: u64 = 6;

/// The same for a progressive JPEG: planes, coefficients and the pixels.
const PROGRESSIVE_GREY: u64 = 4;
const PROGRESSIVE_QUARTER_COLOR: u64 = 11;
const PROGRESSIVE_FULL_COLOR: u64 = 18;

/// Code points of curves whose black is not black: ITU-T H.273, table 3.
const LOGARITHMIC: [u8; 2] = [9, 10];

/// What a decoded pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixel {
    /// Samples, alpha included: 1 to 4.
    pub channels: u32,
    /// Of a sample: 1 or 2, or 4 of a number with a fraction, of which 2 are kept.
    pub bytes: u32,
}

impl Pixel {
    pub(super) const RGB: Self = Self { channels: 3, bytes: 1 };
    pub(super) const RGBA: Self = Self { channels: 4, bytes: 1 };

    /// Bytes.
    pub(in crate::imaging) fn size(self) -> u64 {
        u64::from(self.channels * self.bytes)
    }

    /// Once decoded.
    fn kept(self) -> Self {
        // Numbers with fractions always come out with alpha.
        if self.bytes > 2 { Self { channels: 4, bytes: 2 } } else { self }
    }

    fn has_alpha(self) -> bool {
        self.channels.is_multiple_of(2)
    }
}

impl Header {
    /// Most memory that [`crate::imaging::normalize`] is expected to hold for this picture besides the original, bytes.
    pub fn peak_bytes(&self, preset: &Preset) -> u64 {
        let (width, height) = self.result(preset);
        let result = u64::from(width) * u64::from(height);
        let stages =
            [self.decoding(), self.shrinking(width, height), self.coloring(result), self.flattening(result)];
        let most = stages.into_iter().fold(result * self.writing(preset), u64::max);
        BASE_BYTES + most * MARGIN / 100
    }

    /// Sides of the result before it is turned.
    fn result(&self, preset: &Preset) -> (u32, u32) {
        fit::fitted((self.width, self.height), preset.max_side)
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn decoding(&self) -> u64 {
        let own = match self.format {
            // Other bytes than the samples have, in another order.
            Format::Png if self.pixel.bytes == 2 => self.pixel.size(),
            Format::Tiff => self.pixel.size(),
            Format::Jpeg
            | Format::WebP
            | Format::Gif
            | Format::Png
            | Format::Bmp
            | Format::Heic
            | Format::Avif => 0,
        };
        self.decoder_bytes + self.pixels() * (own + self.pixel.size())
    }

    fn shrinking(&self, width: u32, height: u32) -> u64 {
        if (width, height) == (self.width, self.height) {
            return 0;
        }
        let pixel = self.pixel.kept();
        // Grey with alpha is widened before; alpha is multiplied in a copy; 16 bits are copied to pixels.
        let size = if pixel.channels == 2 { 2 * pixel.size() } else { pixel.size() };
        let copies = 1 + u64::from(pixel.has_alpha()) + u64::from(pixel.bytes > 1);
        let halfway = u64::from(width) * u64::from(self.height);
        self.pixels() * size * copies + (halfway + u64::from(width) * u64::from(height)) * size
    }

    /// Where a profile's black is not black, conversion goes by 16 bits and a copy.
    fn coloring(&self, result: u64) -> u64 {
        let pixel = self.pixel.kept();
        let keeps_black = match &self.colors {
            Colors::CodePoints(CodePoints { transfer: Transfer::Standard(curve), .. }) => {
                !LOGARITHMIC.contains(curve)
            }
            Colors::Icc(_) => false,
            Colors::Srgb | Colors::Gamma(_) | Colors::CodePoints(_) => true,
        };
        // Their pixels may say of colors what their header does not.
        let may_say_more = matches!(self.format, Format::Heic | Format::Avif);
        let copies = match (&self.colors, pixel.bytes) {
            (Colors::Srgb, _) if !may_say_more => 1,
            _ if keeps_black => 2,
            (_, 1) => 5,
            _ => 3,
        };
        let size = if pixel.channels == 2 { 2 * pixel.size() } else { pixel.size() };
        result * size * copies
    }

    /// The result with alpha, and on white.
    fn flattening(&self, result: u64) -> u64 {
        if self.pixel.has_alpha() { result * (Pixel::RGBA.size() + Pixel::RGB.size()) } else { 0 }
    }

    fn writing(&self, preset: &Preset) -> u64 {
        let full = encode::has_full_color(encode::quality(preset, self.jpeg_quality));
        match (self.pixel.channels, full, preset.progressive) {
            (1, _, false) => WRITING_GREY,
            (1, _, true) => PROGRESSIVE_GREY,
            (_, false, false) => WRITING_QUARTER_COLOR,
            (_, false, true) => PROGRESSIVE_QUARTER_COLOR,
            (_, true, false) => WRITING_FULL_COLOR,
            (_, true, true) => PROGRESSIVE_FULL_COLOR,
        }
    }
}
