//! HEICs and AVIFs that no writer writes who means well.

use super::{
    File, Item, SCENE, SRGB, av1_file, av1_item, boxed, full, grid_item, grid_of, hevc, ispe, scene, single,
};

/// Changes the only item of a file.
fn changed(change: impl FnOnce(&mut Item)) -> Vec<u8> {
    let mut file = single(hevc(1, &scene(), 8, SRGB), &[]);
    change(&mut file.items[0]);
    file.written()
}

fn with_sides(item: &mut Item, width: u32, height: u32) {
    item.properties.retain(|property| &property[4..8] != b"ispe");
    item.properties.push(ispe(width, height));
}

/// The box that describes the picture is 2⁶³ bytes long.
pub(in crate::dev::pictures) fn endless_box() -> Vec<u8> {
    let mut file = super::plain();
    let meta = file.windows(4).position(|name| name == b"meta").expect("a described picture") - 4;
    file.splice(meta..meta + 8, [&[0, 0, 0, 1], &b"meta"[..], &(1_u64 << 63).to_be_bytes()].concat());
    file
}

/// A picture that says it is larger than it is.
pub(in crate::dev::pictures) fn larger_than_coded() -> Vec<u8> {
    changed(|item| with_sides(item, 4_000, 3_000))
}

/// A picture that says it is far smaller than what its decoder would make room for.
pub(in crate::dev::pictures) fn smaller_than_coded() -> Vec<u8> {
    let mut file = single(hevc(1, &super::painted(1_024, 1_024), 8, SRGB), &[]);
    with_sides(&mut file.items[0], 16, 16);
    file.written()
}

/// The same in AV1.
pub(in crate::dev::pictures) fn smaller_than_coded_av1() -> Vec<u8> {
    let mut item = av1_item(1, "large", super::LARGE);
    with_sides(&mut item, 16, 16);
    av1_file(vec![item]).written()
}

/// A picture of 60,000 px a side.
pub(in crate::dev::pictures) fn huge() -> Vec<u8> {
    changed(|item| with_sides(item, 60_000, 60_000))
}

/// A grid whose tiles are grids, each of itself.
pub(in crate::dev::pictures) fn grid_of_itself() -> Vec<u8> {
    let mut file = grid_of(&scene(), 8);
    file.references[0].2 = vec![1; 4];
    file.written()
}

/// Pictures derived from each other in a circle.
pub(in crate::dev::pictures) fn circle() -> Vec<u8> {
    let item = |id| Item { id, kind: *b"iden", properties: vec![ispe(16, 16)], ..Item::default() };
    let references = vec![(*b"dimg", 1, vec![2]), (*b"dimg", 2, vec![1])];
    File { brand: *b"heic", primary: 1, items: vec![item(1), item(2)], references, more: Vec::new() }
        .written()
}

/// A grid one of whose tiles has other sides.
pub(in crate::dev::pictures) fn other_tile() -> Vec<u8> {
    let mut file = grid_of(&scene(), 8);
    with_sides(&mut file.items[3], 4_096, 4_096);
    file.written()
}

/// A grid of other sides than its picture.
pub(in crate::dev::pictures) fn other_grid() -> Vec<u8> {
    let mut file = grid_of(&scene(), 8);
    with_sides(&mut file.items[0], 16, 16);
    file.written()
}

/// A grid with a tile less than its rows and columns ask for.
pub(in crate::dev::pictures) fn missing_tile() -> Vec<u8> {
    let mut file = grid_of(&scene(), 8);
    file.references[0].2.pop();
    file.written()
}

/// More items than any picture has.
pub(in crate::dev::pictures) fn many_items() -> Vec<u8> {
    let mut file = single(hevc(1, &scene(), 8, SRGB), &[]);
    file.items.extend((2..6_000).map(|id| Item { id, kind: *b"Exif", ..Item::default() }));
    file.written()
}

/// An item with more places than any has, in few bytes: numbers of no bytes.
pub(in crate::dev::pictures) fn many_places() -> Vec<u8> {
    let entry = |id: u16| [id.to_be_bytes(), [0; 2], [0xff; 2]].concat();
    let entries: Vec<u8> = (1..1_000).flat_map(entry).collect();
    let places = full(b"iloc", 0, &[&[0, 0], &999_u16.to_be_bytes()[..], &entries].concat());
    let meta = full(b"meta", 0, &[full(b"pitm", 0, &[0, 1]), places].concat());
    [boxed(b"ftyp", b"heic\0\0\0\0heicmif1"), meta].concat()
}

/// A tile with more properties than any has, which a grid could name for each of its places.
pub(in crate::dev::pictures) fn many_properties() -> Vec<u8> {
    changed(|item| item.properties.extend(std::iter::repeat_with(|| boxed(b"free", &[])).take(100)))
}

/// A large grid of one tile, which lies in the file once and is long.
pub(in crate::dev::pictures) fn repeated_bytes() -> Vec<u8> {
    let mut tile = hevc(2, &super::painted(64, 64), 8, SRGB);
    // A unit that no decoder looks at.
    let length = 200_000_u32.to_be_bytes();
    tile.data = [&length, &[0x7e; 200_000][..], &tile.data].concat();
    let grid = grid_item((64, 64), (4_096, 4_096), &tile);
    let references = vec![(*b"dimg", 1, vec![2; 4_096])];
    File { brand: *b"heic", primary: 1, items: vec![grid, tile], references, more: Vec::new() }.written()
}

/// A picture that is in another file.
pub(in crate::dev::pictures) fn elsewhere() -> Vec<u8> {
    changed(|item| item.file = 1)
}

/// A picture that needs a key.
pub(in crate::dev::pictures) fn encrypted() -> Vec<u8> {
    changed(|item| item.protection = 1)
}

/// A cut of nothing.
pub(in crate::dev::pictures) fn cut_to_nothing() -> Vec<u8> {
    let numbers = [SCENE.0, 1, SCENE.1, 1, 100_000, 1, 0, 1_u32];
    changed(|item| item.properties.push(boxed(b"clap", &numbers.map(u32::to_be_bytes).concat())))
}

/// A film without a picture.
pub(in crate::dev::pictures) fn film() -> Vec<u8> {
    [boxed(b"ftyp", b"avis\0\0\0\0avismsf1"), boxed(b"moov", &boxed(b"trak", b""))].concat()
}

/// Boxes within boxes, a thousand deep.
pub(in crate::dev::pictures) fn nested() -> Vec<u8> {
    let inner = (0..1_000).fold(Vec::new(), |inner, _| full(b"meta", 0, &inner));
    [boxed(b"ftyp", b"heic\0\0\0\0heicmif1"), inner].concat()
}

/// Ten thousand pictures where one is expected, of which none is shown.
pub(in crate::dev::pictures) fn hidden_frames() -> Vec<u8> {
    let mut item = av1_item(1, "small", SCENE);
    item.data = item.data.repeat(10_000);
    av1_file(vec![item]).written()
}

/// A picture in color whose configuration says that it is grey.
pub(in crate::dev::pictures) fn more_colors() -> Vec<u8> {
    changed(|item| told_grey(&mut item.properties))
}

/// A grid whose second tile alone has more samples than the first.
pub(in crate::dev::pictures) fn more_colors_in_a_tile() -> Vec<u8> {
    let mut file = grid_of(&scene(), 8);
    told_grey(&mut file.items[1].properties);
    file.written()
}

/// Sets the format of colors in `hvcC`, behind the head of its box.
fn told_grey(properties: &mut [Vec<u8>]) {
    let config = properties.iter_mut().find(|property| &property[4..8] == b"hvcC").expect("a configuration");
    config[8 + 16] &= !3;
}

/// A picture in AV1 whose configuration says what another is: of fewer colors or fewer bits.
pub(in crate::dev::pictures) fn more_samples_av1(name: &str) -> Vec<u8> {
    let mut item = av1_item(1, name, SCENE);
    item.properties = av1_item(1, "small", SCENE).properties;
    av1_file(vec![item]).written()
}

/// The last of eleven pictures is that of the scene, and all are one item.
pub(in crate::dev::pictures) fn frames_in_stock() -> Vec<u8> {
    let mut item = av1_item(1, "small", SCENE);
    item.data = item.data.repeat(11);
    av1_file(vec![item]).written()
}
