//! Answers of decoders that were taken over.

use std::time::Duration;

use darkroom_jobs::Warning;

use super::{Photo, answer::Lie, wire::Made};
use crate::{
    dev::pictures::picture,
    imaging::{Limits, Preset, header::Header, normalize},
};

/// Longest description of a color profile, characters.
const MAX_ICC: usize = 64;

/// What an honest decoder says of a picture, with the header that the parent has read.
fn honest() -> (Made, Vec<u8>, Header) {
    let original = picture("plain.png").expect("it can be rendered");
    let limits = Limits::default();
    let header = Header::read(&original, &limits).expect("a picture");
    let made = normalize(&original, &Preset::USER_PHOTO, &limits, &mut |_| {}).expect("a picture");
    (Made::new(&made, [Duration::from_secs(9); 3]), made.jpeg, header)
}

fn judged(change: impl FnOnce(&mut Made, &mut Vec<u8>)) -> Result<Photo, Lie> {
    let (mut made, mut jpeg, header) = honest();
    change(&mut made, &mut jpeg);
    made.into_photo(jpeg, &header, &Preset::USER_PHOTO, Duration::from_secs(1))
}

#[test]
fn an_honest_answer_is_the_picture_that_imaging_makes_with_times_that_can_be() {
    let original = picture("plain.png").expect("it can be rendered");
    let direct = normalize(&original, &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

    let photo = judged(|_, _| {}).expect("nothing is wrong");

    assert_eq!(Ok(photo.normalized), direct);
    assert_eq!(photo.timings.decode, Duration::from_secs(1));
}

#[test]
fn what_no_decoder_of_ours_says_is_a_lie() {
    type Change = fn(&mut Made, &mut Vec<u8>);
    let lies: [(&str, Change); 9] = [
        ("no jpeg", |_, jpeg| jpeg.clear()),
        ("a trailer", |_, jpeg| jpeg.extend(b"<script>")),
        ("another width", |made, _| made.width += 1),
        ("another height", |made, _| made.height = 0),
        ("a color that is none", |made, _| made.dominant = "#12345g".into()),
        ("a color in another language", |made, _| made.dominant = "#ﬀ4".into()),
        ("a hash that is none", |made, _| made.thumbhash = "<b>".into()),
        ("a long hash", |made, _| made.thumbhash = "a".repeat(1000)),
        ("many warnings", |made, _| {
            let code = darkroom_jobs::WarningCode::Truncated;
            made.warnings = vec![Warning { code, message: String::new() }; 1000];
        }),
    ];
    for (what, lie) in lies {
        assert!(judged(lie).is_err(), "{what}");
    }
}

#[test]
fn a_picture_that_is_larger_than_the_preset_or_the_original_is_a_lie() {
    let (made, jpeg, header) = honest();
    let small = Preset { max_side: made.width.max(made.height) - 1, ..Preset::USER_PHOTO };

    let judged = made.into_photo(jpeg, &header, &small, Duration::from_secs(1));

    assert!(judged.is_err());
}

#[test]
fn texts_lose_what_is_not_printable_and_what_is_too_long() {
    let icc = format!("s\x1b[31mRGB\n{}", "x".repeat(1000));

    let photo = judged(|made, _| made.icc = Some(icc)).expect("texts are mended");

    let icc = photo.normalized.facts.icc.expect("there is one");
    assert!(icc.starts_with("s[31mRGBx") && icc.chars().count() == MAX_ICC, "{icc}");
    assert_eq!(made_too_long(), Err(Lie("the jpeg is too long")));
}

fn made_too_long() -> Result<usize, Lie> {
    let (mut made, ..) = honest();
    made.jpeg = usize::MAX;
    made.jpeg_bytes()
}
