//! Cyan, magenta, yellow and black.

use darkroom_jobs::WarningCode;

use super::{codes_of, made, pixels};
use crate::dev::pictures::picture;

fn middle(name: &str, x: u32, y: u32) -> [u8; 3] {
    pixels(&made(name).unwrap().jpeg).get_pixel(x, y).0
}

#[test]
fn inks_without_a_profile_look_as_on_coated_paper() {
    // Of the sun, that is of [250, 220, 60], there are 0 % of cyan, 12 % of magenta, 75 % of yellow and 2 % of black.
    let [red, green, blue] = middle("cmyk.jpg", 48, 40);

    assert!(
        red.abs_diff(255) <= 3 && green.abs_diff(215) <= 3 && blue.abs_diff(102) <= 4,
        "{red} {green} {blue}"
    );
    assert_eq!(codes_of(&made("cmyk.jpg").unwrap()), []);
}

#[test]
fn a_profile_of_inks_is_obeyed() {
    for (x, y) in [(48, 40), (200, 20), (200, 150)] {
        let [r, g, b] = pixels(&picture("plain.jpg").unwrap()).get_pixel(x, y).0.map(f64::from);
        let cyan = (255.0 - r) - (255.0 - r.max(g).max(b));
        let brightness = (100.0 - cyan / 2.55 + 16.0) / 116.0;
        let light = if brightness > 6.0 / 29.0 {
            brightness.powi(3)
        } else {
            (brightness - 4.0 / 29.0) * 108.0 / 841.0
        };
        let expected =
            255.0 * if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };

        let found = middle("cmyk-profile.jpg", x, y);

        assert!(
            found.iter().all(|sample| (f64::from(*sample) - expected).abs() <= 5.0),
            "{found:?}, expected {expected}"
        );
    }
}

#[test]
fn a_profile_of_something_else_is_ignored() {
    let normalized = made("cmyk-wrong-profile.jpg").unwrap();

    assert_eq!(codes_of(&normalized), [WarningCode::IccInvalid]);
    assert_eq!(normalized.jpeg, made("cmyk.jpg").unwrap().jpeg);
}
