//! What passes for a JPEG of ours, and what does not.

use crate::{
    dev::pictures::{names, picture},
    imaging::{Limits, Preset, clean::sides, normalize},
};

fn made(name: &str, preset: Preset) -> Vec<u8> {
    let original = picture(name).expect("it can be rendered");
    normalize(&original, &preset, &Limits::default(), &mut |_| {}).expect("it is a picture").jpeg
}

#[test]
fn every_jpeg_that_is_made_is_clean() {
    for name in names() {
        let original = picture(name).expect("it can be rendered");
        for progressive in [false, true] {
            let preset = Preset { progressive, ..Preset::USER_PHOTO };
            let Ok(made) = normalize(&original, &preset, &Limits::default(), &mut |_| {}) else { continue };

            assert_eq!(sides(&made.jpeg), Some((made.width, made.height)), "{name}");
        }
    }
}

#[test]
fn a_jpeg_with_more_or_less_than_the_picture_is_not() {
    let jpeg = made("plain.jpg", Preset::USER_PHOTO);
    let with = |segment: &[u8]| [&jpeg[..2], segment, &jpeg[2..]].concat();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no end", jpeg[..jpeg.len() - 2].to_vec()),
        ("half of it", jpeg[..jpeg.len() / 2].to_vec()),
        ("a trailer", [&jpeg[..], b"<script>"].concat()),
        ("a second picture", [&jpeg[..], &jpeg[..]].concat()),
        ("a comment", with(b"\xff\xfe\0\x04hi")),
        ("exif", with(b"\xff\xe1\0\x08Exif\0\0")),
        ("a long jfif header", with(b"\xff\xe0\0\x11JFIF\0\x01\x01\0\0\x01\0\x01\0\0\x2a")),
        ("tables of text", with(&[b"\xff\xdb\x08\x02".as_slice(), &[b'x'; 0x800]].concat())),
        ("junk between segments", with(b"junk")),
        ("two frames", with(b"\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0")),
        ("a text", b"\xff\xd8<html>\xff\xd9".to_vec()),
    ] {
        assert_eq!(sides(&bytes), None, "{what}");
    }
}
