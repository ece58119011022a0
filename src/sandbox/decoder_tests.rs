//! A machine that refuses what a picture needs.

use bytes::Bytes;

use super::{super::lacking, *};
use crate::imaging::{Limits, Preset, header::Header};

/// A process that reads nothing and says nothing, in the place of a decoder.
fn silent(program: &str) -> Decoder {
    Decoder::spawn(&Program::at(program)).expect("it can be started")
}

fn work(original: Bytes) -> Work {
    let bmp = crate::dev::pictures::sized("bmp", 2, 2).expect("a known kind");
    let limits = Limits::default();
    let header = Header::read(&bmp, &limits).expect("a picture");
    Work { original, header, preset: Preset::USER_PHOTO, limits, memory: 1 << 20 }
}

fn blamed(mut decoder: Decoder, original: Bytes) -> Error {
    let failure = decoder.make(&work(original), START_TIME).expect_err("it cannot be made");
    decoder.end(&failure, START_TIME).error
}

#[test]
fn limits_that_cannot_be_set_are_no_fault_of_the_picture() {
    let mut gone = silent("/bin/true");
    while !gone.is_gone() {
        std::thread::sleep(Duration::from_millis(1));
    }

    assert!(matches!(blamed(gone, Bytes::from_static(b"x")), Error::NoDecoder));
}

#[test]
fn memory_that_takes_no_picture_is_no_fault_of_the_picture() {
    let without_room = Bytes::from(vec![0; super::super::shared::ORIGINAL + 1]);

    assert!(matches!(blamed(silent("/bin/cat"), without_room), Error::NoDecoder));
}

#[test]
fn a_machine_that_refuses_shared_memory_is_told_so() {
    let started =
        lacking::without(&[lacking::SHARED_MEMORY], || Decoder::start(&Program::at("/bin/true")).map(drop));

    let error = started.expect_err("there is no memory to share");
    assert!(matches!(error, StartError::SharedMemory(_)), "{error}");
    assert!(error.to_string().contains("memory to share"), "{error}");
}
