//! Files whose header says one thing to us and another to the decoder.

use darkroom_jobs::ErrorCode;

use super::{assert_close, made, pixels};
use crate::{
    dev::pictures::picture,
    imaging::{Limits, decode, error::Error, header::Header, sniff::Format},
};

fn header(name: &str) -> Result<Header, Error> {
    Header::read(&picture(name).unwrap(), &Limits::default())
}

#[test]
fn a_frame_that_only_one_reader_sees_is_no_frame() {
    for name in ["hidden-by-01.jpg", "hidden-by-d0.jpg", "hidden-by-d8.jpg", "hidden-by-comments.jpg"] {
        assert_eq!((header(name).unwrap().width, header(name).unwrap().height), (240, 160), "{name}");
        assert_eq!(made(name).unwrap_err().code(), ErrorCode::ImageCorrupt, "{name}");
    }
}

#[test]
fn markers_that_have_no_place_change_no_picture() {
    let plain = picture("plain.jpg").unwrap();
    let expected = pixels(&plain);
    for odd in [&b"\xff\x01"[..], b"\xff\xd8", b"\xff\xd3", b"\xff\0\x12", b"\xff\xff\x01\xff\0\xff\xd7"] {
        let original = [&plain[..2], odd, &plain[2..]].concat();
        let header = Header::read(&original, &Limits::default()).unwrap();

        let decoded = decode::decode(&original, &header, &Limits::default()).unwrap();

        let found = image::RgbImage::from_raw(240, 160, decoded.raster.into_8_bit().samples).unwrap();
        assert_close(&found, &expected, 2.0);
    }
}

#[test]
fn a_picture_inside_another_is_no_larger() {
    for name in
        ["larger-than-canvas.webp", "larger-than-frame.webp", "frame-off-canvas.webp", "large-tile.tiff"]
    {
        assert_eq!(header(name).unwrap_err().code(), ErrorCode::ImageCorrupt, "{name}");
    }
    for name in ["larger-than-strip.tiff", "secret-jpeg.tiff", "two-widths.tiff", "shared-strips.tiff"] {
        assert_eq!(header(name).unwrap_err().code(), ErrorCode::ImageCorrupt, "{name}");
    }
    assert_eq!(made("whole-numbers.tiff").unwrap_err().code(), ErrorCode::UnsupportedFormat);
    let grey = made("grey-jpeg.tiff").unwrap();
    assert_eq!((grey.width, grey.height), (240, 160));
    assert_eq!(made("tile.tiff").unwrap().width, 16);
}

#[test]
fn a_decoder_that_finds_another_header_is_not_believed() {
    for name in ["plain.png", "plain.webp", "plain.bmp", "animated.gif", "16-bit.tiff", "plain.jpg"] {
        let original = picture(name).unwrap();
        let header = header(name).unwrap();
        let refused =
            |lie: Header| decode::decode(&original, &lie, &Limits::default()).map(|_| ()).unwrap_err().code();

        assert!(decode::decode(&original, &header, &Limits::default()).is_ok(), "{name}");
        assert_eq!(
            refused(Header { width: header.width - 1, ..header.clone() }),
            ErrorCode::ImageCorrupt,
            "{name}"
        );
        assert_eq!(
            refused(Header { height: header.height - 1, ..header.clone() }),
            ErrorCode::ImageCorrupt,
            "{name}"
        );
        let mut shallow = header.clone();
        shallow.pixel.channels = 1;
        shallow.pixel.bytes = 1;
        assert_eq!(refused(shallow), ErrorCode::ImageCorrupt, "{name}");
        if header.format == Format::Jpeg {
            assert_eq!(refused(Header { progressive: true, ..header }), ErrorCode::ImageCorrupt);
        }
    }
}

#[test]
fn jpegs_of_other_processes_are_refused_by_their_frame() {
    let plain = picture("plain.jpg").unwrap();
    let frame = plain.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    for (at, byte) in [(1, 0xc3), (1, 0xc5), (1, 0xf7), (4, 12)] {
        let mut other = plain.clone();
        other[frame + at] = byte;

        let error = Header::read(&other, &Limits::default()).unwrap_err();

        assert_eq!(error.code(), ErrorCode::UnsupportedFormat, "{byte:#x}");
    }
}
