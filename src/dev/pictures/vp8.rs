//! Lossy WebP, which `image` reads and does not write.

use std::{ptr, slice};

use image::RgbImage;
use libwebp_sys::{WebPEncodeRGB, WebPFree};

/// A lossy WebP of a picture; `quality` is 0 to 100.
pub fn lossy_webp(picture: &RgbImage, quality: f32) -> Vec<u8> {
    let side = |px: u32| i32::try_from(px).expect("a side that fits");
    let (width, height) = (side(picture.width()), side(picture.height()));
    let mut file = ptr::null_mut();
    // SAFETY: the rows of the picture have three bytes a pixel and no gap; `file` is `size` bytes of libwebp's, or null and
    // 0, until it is freed.
    unsafe {
        let size = WebPEncodeRGB(picture.as_ptr(), width, height, 3 * width, quality, &raw mut file);
        assert!(size > 0, "sides that fit");
        let bytes = slice::from_raw_parts(file, size).to_vec();
        WebPFree(file.cast());
        bytes
    }
}
