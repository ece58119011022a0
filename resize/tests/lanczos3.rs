//! What Lanczos3 makes of pixels. Beside the library, so that its loops are not compiled twice.

use darkroom_resize::{lanczos3_u8, lanczos3_u16};

#[test]
fn an_even_picture_stays_even_with_every_kind_of_pixel() {
    for channels in [1, 3, 4] {
        let shape = (10, 6, usize::from(channels));
        let small = lanczos3_u8(&vec![200; 60 * shape.2], channels, (10, 6), (5, 3)).expect("it fits");
        assert_eq!(small, vec![200; 15 * shape.2]);
        let small = lanczos3_u16(&vec![51_400; 60 * shape.2], channels, (10, 6), (5, 3)).expect("it fits");
        assert!(small.len() == 15 * shape.2 && small.iter().all(|sample| sample.abs_diff(51_400) <= 1));
    }
}

#[test]
fn invisible_colors_do_not_bleed_into_visible_ones() {
    let stripes: Vec<u8> =
        (0..64).flat_map(|x| if x % 2 == 0 { [255, 0, 0, 0] } else { [0, 0, 255, 255] }).collect();

    let small = lanczos3_u8(&stripes, 4, (64, 1), (8, 1)).expect("it fits");

    assert!(small.chunks_exact(4).all(|pixel| pixel[0] == 0 && pixel[2] == 255), "{small:?}");
}

#[test]
fn what_has_another_shape_is_refused() {
    for channels in [0, 2, 5] {
        assert!(lanczos3_u8(&[0; 50], channels, (2, 5), (1, 1)).is_err(), "{channels} channels");
    }
    assert!(lanczos3_u8(&[0; 29], 3, (2, 5), (1, 1)).is_err());
    assert!(lanczos3_u16(&[0; 29], 3, (2, 5), (1, 1)).is_err());
}
