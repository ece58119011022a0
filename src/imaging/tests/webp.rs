//! Lossy WebP, read by C: what reaches it, and that it sees what the decoder in Rust sees.

use image::codecs::webp::WebPDecoder;

use crate::{
    dev::pictures::{picture, sized},
    imaging::{
        Limits, decode,
        header::{Header, webp::lone_vp8},
    },
};

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [name, &length[..], content, &vec![0; content.len() % 2]].concat()
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP", &chunks.concat()[..]].concat())
}

#[test]
fn libwebp_sees_what_the_decoder_in_rust_sees() {
    for (width, height) in [(333, 201), (64, 64), (1, 1), (2, 35)] {
        let original = sized("webp-lossy", width, height).unwrap();
        let header = Header::read(&original, &Limits::default()).unwrap();
        let expected = WebPDecoder::new(std::io::Cursor::new(&original)).unwrap();
        let expected = image::DynamicImage::from_decoder(expected).unwrap().into_rgb8();

        let decoded = decode::decode(&original, &header, &Limits::default()).unwrap();

        assert!(!decoded.missing_rows);
        let found = image::RgbImage::from_raw(width, height, decoded.raster.into_8_bit().samples).unwrap();
        let most = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(1), "{width} × {height} px differ by {most:?}");
    }
}

#[test]
fn only_the_bare_picture_without_alpha_reaches_c() {
    let original = picture("lossy.webp").unwrap();
    let vp8 = lone_vp8(&original).unwrap();
    let extended = |flags: u8| chunk(b"VP8X", &[flags, 0, 0, 0, 239, 0, 0, 159, 0, 0]);
    let (plain, lossless) = (chunk(b"VP8 ", vp8), chunk(b"VP8L", b"\x2f\0\0\0\0"));

    assert_eq!(vp8[3..6], *b"\x9d\x01\x2a");
    assert_eq!(lone_vp8(&file(&[extended(0), chunk(b"ICCP", b"?"), plain.clone()])), Some(vp8));
    for chunks in [
        vec![extended(0x10), plain.clone()],
        vec![extended(0x02), plain.clone()],
        vec![extended(0), chunk(b"ALPH", b"\0"), plain.clone()],
        vec![extended(0), chunk(b"ANMF", &[0; 16]), plain.clone()],
        vec![lossless.clone(), plain.clone()],
        vec![chunk(b"VP8 ", b"\x2f\0\0\0\0\0\0\0\0\0")],
        vec![chunk(b"VP8 ", &file(std::slice::from_ref(&plain)))],
        vec![chunk(b"VP8 ", &[&[vp8[0] | 1], &vp8[1..]].concat())],
        vec![],
    ] {
        assert_eq!(lone_vp8(&file(&chunks)), None, "{chunks:02x?}");
    }
    assert_eq!(lone_vp8(&picture("plain.webp").unwrap()), None);
}
