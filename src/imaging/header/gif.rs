//! GIF: the screen, and its frames without their pixels.

use super::{
    super::{Limits, error::Error},
    Found, Pixel,
    reader::{Numbers, little},
};

const EXTENSION: u8 = 0x21;
const FRAME: u8 = 0x2c;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Found, Error> {
    let numbers = little(bytes);
    let early = || Error::truncated("a gif without a screen");
    let side = |at| numbers.u16(at).map(u32::from).ok_or_else(early);
    let mut found = Found::of_size(side(6)?, side(8)?);
    if found.width == 0 || found.height == 0 {
        return Err(Error::corrupt("a gif without a screen"));
    }
    limits.check_size(found.width, found.height)?;
    found.pixel = Pixel::RGBA;
    found.frames = 0;
    found.complete = false;
    let mut at = 13 + color_table(*bytes.get(10).ok_or_else(early)?);
    while let Some(block) = bytes.get(at) {
        at = match *block {
            EXTENSION => skip_blocks(bytes, at + 2),
            FRAME => {
                let Some(flags) = bytes.get(at + 9) else { break };
                if found.frames == 0 {
                    found.decoder_bytes = check_frame(numbers, at, limits, &found)? * 4;
                }
                found.frames += 1;
                skip_blocks(bytes, at + 11 + color_table(*flags))
            }
            _ => break,
        };
    }
    if found.frames == 0 {
        return Err(Error::truncated("a gif without a frame"));
    }
    found.complete = bytes.get(at) == Some(&0x3b);
    found.animated = found.frames > 1;
    Ok(found)
}

/// How many times the screen's area a frame may have.
const MAX_FRAME_AREA: u64 = 16;

/// Pixels of a frame, which is bounded as the screen is; some of it must be on the screen, and most of it not far outside.
fn check_frame(numbers: Numbers<'_>, at: usize, limits: &Limits, screen: &Found) -> Result<u64, Error> {
    let side = |offset| numbers.u16(at + offset).map_or(0, u32::from);
    limits.check_size(side(5), side(7))?;
    if side(1) >= screen.width || side(3) >= screen.height {
        return Err(Error::corrupt("the first frame is outside the screen"));
    }
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let pixels = area(side(5), side(7));
    if pixels > area(screen.width, screen.height) * MAX_FRAME_AREA {
        return Err(Error::corrupt("the first frame is far larger than the screen"));
    }
    Ok(pixels)
}

fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn skip_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(length) = bytes.get(at) {
        at += 1 + usize::from(*length);
        if *length == 0 {
            return at;
        }
    }
    bytes.len()
}
