//! TIFFs that few writers write.

use super::{
    HEIGHT, WIDTH,
    hostile::{Entry, behind_entries, tiff},
    scene,
};

/// Side of a tile, px.
const TILE: u32 = 64;

/// Each color in tiles of its own, the last of which are larger than what is left of the picture.
pub(super) fn planes_of_tiles() -> Vec<u8> {
    const COUNT: u32 = 11;
    const TILES: u32 = WIDTH.div_ceil(TILE) * HEIGHT.div_ceil(TILE);
    const BITS_AT: u32 = behind_entries(COUNT);
    const OFFSETS_AT: u32 = BITS_AT + 3 * 2;
    const LENGTHS_AT: u32 = OFFSETS_AT + 3 * TILES * 4;
    const TILES_AT: u32 = LENGTHS_AT + 3 * TILES * 4;
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, WIDTH),
        (257, 4, 1, HEIGHT),
        (258, 3, 3, BITS_AT),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (284, 3, 1, 2),
        (322, 3, 1, TILE),
        (323, 3, 1, TILE),
        (324, 4, 3 * TILES, OFFSETS_AT),
        (325, 4, 3 * TILES, LENGTHS_AT),
    ];
    let bits = [8_u16; 3].map(u16::to_le_bytes).concat();
    let offsets = (0..3 * TILES).flat_map(|tile| (TILES_AT + tile * TILE * TILE).to_le_bytes());
    let lengths = (0..3 * TILES).flat_map(|_| (TILE * TILE).to_le_bytes());
    let scene = scene();
    let pixels =
        (0..3).flat_map(|color| (0..TILES).map(move |tile| (color, tile))).flat_map(|(color, tile)| {
            let (left, top) = (tile % WIDTH.div_ceil(TILE) * TILE, tile / WIDTH.div_ceil(TILE) * TILE);
            let places = (0..TILE).flat_map(move |y| (0..TILE).map(move |x| (left + x, top + y)));
            let sample = |(x, y)| scene.get_pixel_checked(x, y).map_or(0, |pixel| pixel.0[color]);
            places.map(sample).collect::<Vec<_>>()
        });
    tiff(&entries, &bits.into_iter().chain(offsets).chain(lengths).chain(pixels).collect::<Vec<_>>())
}

/// One pixel of 32 bits that are no fractions.
pub(super) fn whole_numbers() -> Vec<u8> {
    const COUNT: u32 = 8;
    const BITS_AT: u32 = behind_entries(COUNT);
    let entries: [Entry; COUNT as usize] = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 3, BITS_AT),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, BITS_AT + 3 * 2),
        (277, 3, 1, 3),
        (279, 4, 1, 12),
    ];
    let bits = [32_u16; 3].map(u16::to_le_bytes).concat();
    tiff(&entries, &[bits, vec![0x40; 12]].concat())
}
