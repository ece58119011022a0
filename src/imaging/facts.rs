//! What is told of a picture.

use base64::{Engine, engine::general_purpose::STANDARD};
use darkroom_resize::lanczos3_u8;

use super::{fit, header::Header, raster::Raster8};

/// What was known of an original, and what it looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Media type of the bytes.
    pub detected_type: &'static str,
    /// Width as stored, before orientation, px.
    pub width: u32,
    /// Height as stored, before orientation, px.
    pub height: u32,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    /// Description of the embedded color profile, at most 64 printable characters.
    pub icc: Option<String>,
    /// Pictures in the file.
    pub frames: u32,
    /// Whether the original told where it was taken.
    pub had_gps: bool,
    /// ThumbHash, base64.
    pub thumbhash: String,
    /// `#rrggbb`
    pub dominant: String,
}

/// ThumbHash takes at most this many px a side.
const THUMB_SIDE: u32 = 100;

impl Facts {
    /// `picture` may be a smaller form of the result, from 100 px on.
    pub(super) fn new(header: &Header, icc: Option<String>, picture: &Raster8) -> Self {
        let thumb = thumbnail(picture);
        let hash = thumbhash::rgba_to_thumb_hash(thumb.width as usize, thumb.height as usize, &thumb.samples);
        Self {
            detected_type: header.format.media_type(),
            width: header.width,
            height: header.height,
            orientation: header.orientation.get(),
            icc,
            frames: header.frames,
            had_gps: header.had_gps,
            thumbhash: STANDARD.encode(hash),
            dominant: dominant(&thumb),
        }
    }
}

fn thumbnail(picture: &Raster8) -> Raster8 {
    let (from, channels) = ((picture.width, picture.height), picture.channels);
    let (width, height) = fit::fitted(from, THUMB_SIDE);
    let small = lanczos3_u8(&picture.samples, channels, from, (width, height));
    let small = small.expect("a smaller picture of the same kind");
    let samples = match channels {
        1 => small.iter().flat_map(|grey| [*grey, *grey, *grey, 255]).collect(),
        _ => small.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect(),
    };
    Raster8 { width, height, channels: 4, samples }
}

/// The mean of the fullest of 4 × 4 × 4 boxes of the color cube.
fn dominant(thumb: &Raster8) -> String {
    let mut boxes = [[0u32; 4]; 64];
    for pixel in thumb.samples.chunks_exact(4) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(usize::from);
        let entry = &mut boxes[r / 64 * 16 + g / 64 * 4 + b / 64];
        entry[0] += 1;
        for (sum, sample) in entry[1..].iter_mut().zip(pixel) {
            *sum += u32::from(*sample);
        }
    }
    let fullest = boxes.iter().max_by_key(|entry| entry[0]).expect("64 boxes");
    let [r, g, b] = [1, 2, 3].map(|i| fullest[i] / fullest[0].max(1));
    format!("#{r:02x}{g:02x}{b:02x}")
}
