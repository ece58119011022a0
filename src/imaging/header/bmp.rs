//! BMP: its two headers.

use super::{super::error::Error, Found, Pixel, reader::little};

pub(super) fn read(bytes: &[u8]) -> Result<Found, Error> {
    let numbers = little(bytes);
    let early = || Error::truncated("a bmp without a header");
    let (width, height) = match numbers.u32(14).ok_or_else(early)? {
        12 => (i32::from(numbers.u16(18).ok_or_else(early)?), i32::from(numbers.u16(20).ok_or_else(early)?)),
        _ => (
            numbers.u32(18).ok_or_else(early)?.cast_signed(),
            numbers.u32(22).ok_or_else(early)?.cast_signed(),
        ),
    };
    match (u32::try_from(width), height.checked_abs()) {
        (Ok(width), Some(height)) => {
            let mut found = Found::of_size(width, height.unsigned_abs());
            if numbers.u16(28) == Some(32) || numbers.u16(28) == Some(16) {
                found.pixel = Pixel::RGBA; // masks may name an alpha
            }
            Ok(found)
        }
        _ => Err(Error::corrupt("impossible sides of a bmp")),
    }
}
