//! HEICs, whose pixels are coded here, and AVIFs, whose pixels were coded by `scripts/av1-scenes`.

mod boxes;
mod hostile;

use boxes::{File, Item, boxed, full};
use heifer::heifer_hevc_enc::encoder::{EncodedPicture, EncoderConfig, Planes16, encode_picture16};
use image::RgbImage;
use moxcms::ColorProfile;

use super::{colors, exif, painted, scene};

pub(super) use hostile::*;

/// Sides of a tile; two by two of them are a little more than the scene.
const TILE: (u32, u32) = (128, 96);
const SCENE: (u32, u32) = (super::WIDTH, super::HEIGHT);

/// Numbers of H.273: primaries, curve, matrix; full range.
const SRGB: [u16; 3] = [1, 13, 6];
const PQ: [u16; 3] = [9, 16, 9];
const HLG: [u16; 3] = [9, 18, 9];

const ALPHA: &[u8] = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";

/// Sides of the large pictures in AV1, px.
const LARGE: (u32, u32) = (1_000, 700);

/// The scene in one piece.
pub(super) fn plain() -> Vec<u8> {
    single(hevc(1, &scene(), 8, SRGB), &[]).written()
}

/// The scene in the range of film, from 16 to 235.
pub(super) fn limited() -> Vec<u8> {
    let picture = scene();
    let samples = |x, y| picture.get_pixel(x, y).0.map(f64::from);
    let mut item = coded(1, SCENE, samples, 8, SRGB, false);
    item.properties.retain(|property| &property[4..8] != b"colr");
    single(item, &[]).written()
}

/// The scene with ten bits a sample.
pub(super) fn deep() -> Vec<u8> {
    single(hevc(1, &scene(), 10, SRGB), &[]).written()
}

/// The brightness of the scene.
pub(super) fn grey() -> Vec<u8> {
    let grey = image::DynamicImage::from(scene()).into_luma8();
    single(grey_hevc(1, &grey, SCENE), &[]).written()
}

/// The scene as Display P3 has it.
pub(super) fn display_p3() -> Vec<u8> {
    let profile = ColorProfile::new_display_p3().encode().expect("a built-in profile");
    single(hevc(1, &scene(), 8, SRGB), &[boxed(b"colr", &[b"prof", &profile[..]].concat())]).written()
}

/// The scene as the perceptual quantizer or hybrid log-gamma has it, told in boxes or by the stream alone.
pub(super) fn high(hlg: bool, told: bool) -> Vec<u8> {
    let (picture, numbers) =
        if hlg { (colors::hlg_pixels(&scene()), HLG) } else { (colors::pq_pixels(&scene()), PQ) };
    let mut item = deep_hevc(1, &picture, numbers);
    if !told {
        item.properties.retain(|property| &property[4..8] != b"colr");
    }
    single(item, &[]).written()
}

/// The scene in four tiles.
pub(super) fn grid() -> Vec<u8> {
    grid_of(&scene(), 8).written()
}

/// The scene, stored so that it must be turned, and EXIF with a place that says something else.
pub(super) fn turned(orientation: u8) -> Vec<u8> {
    let stored = stored(orientation);
    with_exif(single(hevc(1, &stored, 8, SRGB), &turning(orientation))).written()
}

/// The scene with EXIF that would turn it, which does not count.
pub(super) fn with_place() -> Vec<u8> {
    with_exif(single(hevc(1, &scene(), 8, SRGB), &[])).written()
}

/// The scene in the middle of a larger picture, of which it is cut.
pub(super) fn cut() -> Vec<u8> {
    let mut larger = RgbImage::from_pixel(SCENE.0 + 40, SCENE.1 + 20, image::Rgb([255, 0, 255]));
    image::imageops::replace(&mut larger, &scene(), 30, 4);
    let turned = image::imageops::rotate90(&larger);
    // Counterclockwise once, and then the cut: 10 px right and 6 px above of the middle.
    let numbers = [SCENE.0, 1, SCENE.1, 1, 10, 1, 6_u32.wrapping_neg(), 1];
    let cut = boxed(b"clap", &numbers.map(u32::to_be_bytes).concat());
    single(hevc(1, &turned, 8, SRGB), &[boxed(b"irot", &[1]), cut]).written()
}

/// A picture that is another one, turned.
pub(super) fn derived() -> Vec<u8> {
    let mut file = single(hevc(2, &stored(6), 8, SRGB), &[]);
    let properties = vec![boxed(b"irot", &[3])];
    file.items.push(Item { id: 1, kind: *b"iden", properties, ..Item::default() });
    file.references.push((*b"dimg", 1, vec![2]));
    file.written()
}

/// The scene, ever less transparent to the right; colors may be multiplied by that, and alpha may have half their sides.
pub(super) fn alpha(premultiplied: bool, half: bool) -> Vec<u8> {
    let picture = super::scene_with_alpha();
    let color = RgbImage::from_fn(SCENE.0, SCENE.1, |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let multiplied = |sample: u8| (u16::from(sample) * u16::from(alpha) / 255) as u8;
        image::Rgb(if premultiplied { [red, green, blue].map(multiplied) } else { [red, green, blue] })
    });
    let mut file = single(hevc(1, &color, 8, SRGB), &[]);
    let sides = if half { (SCENE.0 / 2, SCENE.1 / 2) } else { SCENE };
    let ramp = image::GrayImage::from_fn(sides.0, sides.1, |x, _| image::Luma([(x * 255 / sides.0) as u8]));
    add_alpha(&mut file, grey_hevc(2, &ramp, sides));
    if premultiplied {
        file.references.push((*b"prem", 1, vec![2]));
    }
    file.written()
}

/// The scene in AV1: `small`, `small-10` or `small-444`.
pub(super) fn av1(name: &str) -> Vec<u8> {
    av1_file(vec![av1_item(1, name, SCENE)]).written()
}

/// The same, ever less transparent to the right.
pub(super) fn av1_alpha() -> Vec<u8> {
    let mut file = av1_file(vec![av1_item(1, "small", SCENE)]);
    add_alpha(&mut file, av1_item(2, "ramp", SCENE));
    file.written()
}

/// The same, mirrored left to right and turned.
pub(super) fn av1_turned() -> Vec<u8> {
    let mut item = av1_item(1, "small", SCENE);
    item.properties.extend(turning(5));
    av1_file(vec![item]).written()
}

/// The same, with a film of three pictures beside it.
pub(super) fn av1_animated() -> Vec<u8> {
    let sizes = full(b"stsz", 0, &[0_u32, 3].map(u32::to_be_bytes).concat());
    let film =
        [b"stbl", b"minf", b"mdia", b"trak", b"moov"].iter().fold(sizes, |inner, name| boxed(name, &inner));
    File { brand: *b"avis", more: film, ..av1_file(vec![av1_item(1, "small", SCENE)]) }.written()
}

/// A picture of any size: a tile repeated when it is not of the size that there is.
pub(super) fn av1_sized(name: &str, width: u32, height: u32) -> Vec<u8> {
    if (width, height) == LARGE {
        return av1_file(vec![av1_item(1, name, LARGE)]).written();
    }
    let tile = av1_item(2, name, LARGE);
    let (columns, rows) = (width.div_ceil(LARGE.0), height.div_ceil(LARGE.1));
    let mut file = av1_file(vec![grid_item((columns, rows), (width, height), &tile)]);
    file.items.push(tile);
    file.references.push((*b"dimg", 1, vec![2; (columns * rows) as usize]));
    file.written()
}

/// A picture of any size, in one piece, in tiles, with ten bits, or with alpha.
pub(super) fn sized(kind: &str, width: u32, height: u32) -> Vec<u8> {
    let picture = painted(width, height);
    match kind {
        "heic-grid" => grid_of(&picture, 8).written(),
        "heic-10" => single(hevc(1, &picture, 10, SRGB), &[]).written(),
        "heic-alpha" => {
            let mut file = single(hevc(1, &picture, 8, SRGB), &[]);
            let ramp =
                image::GrayImage::from_fn(width, height, |x, _| image::Luma([(x * 255 / width) as u8]));
            add_alpha(&mut file, grey_hevc(2, &ramp, (width, height)));
            file.written()
        }
        _ => single(hevc(1, &picture, 8, SRGB), &[]).written(),
    }
}

fn single(mut item: Item, properties: &[Vec<u8>]) -> File {
    item.properties.extend_from_slice(properties);
    File { brand: *b"heic", primary: 1, items: vec![item], ..File::default() }
}

fn with_exif(mut file: File) -> File {
    let data = [&[0; 4], &exif(6, true)[..]].concat();
    file.items.push(Item { id: 9, kind: *b"Exif", data, ..Item::default() });
    file.references.push((*b"cdsc", 9, vec![1]));
    file
}

fn add_alpha(file: &mut File, mut alpha: Item) {
    alpha.properties.push(full(b"auxC", 0, ALPHA));
    file.references.push((*b"auxl", alpha.id, vec![1]));
    file.items.push(alpha);
}

/// What was turned away from upright, to be turned by [`turning`].
fn stored(orientation: u8) -> RgbImage {
    let inverse = match orientation {
        6 => 8,
        8 => 6,
        other => other,
    };
    let mut picture = image::DynamicImage::from(scene());
    picture.apply_orientation(image::metadata::Orientation::from_exif(inverse).expect("1 to 8"));
    picture.into_rgb8()
}

/// Counterclockwise turns and a mirror that are this orientation of EXIF.
fn turning(orientation: u8) -> Vec<Vec<u8>> {
    const UPSIDE_DOWN: u8 = 0;
    const LEFT_TO_RIGHT: u8 = 1;
    let (turns, mirror) = match orientation {
        2 => (0, Some(LEFT_TO_RIGHT)),
        3 => (2, None),
        4 => (0, Some(UPSIDE_DOWN)),
        // A quarter to the left or to the right, then as in a mirror.
        5 => (3, Some(LEFT_TO_RIGHT)),
        6 => (3, None),
        7 => (1, Some(LEFT_TO_RIGHT)),
        8 => (1, None),
        _ => (0, None),
    };
    let turned = (turns > 0).then(|| boxed(b"irot", &[turns]));
    turned.into_iter().chain(mirror.map(|mirror| boxed(b"imir", &[mirror]))).collect()
}

fn grid_of(picture: &RgbImage, bits: u8) -> File {
    let (width, height) = picture.dimensions();
    let (columns, rows) = (width.div_ceil(TILE.0), height.div_ceil(TILE.1));
    let tiles: Vec<Item> = (0..columns * rows)
        .map(|index| {
            let (left, top) = (index % columns * TILE.0, index / columns * TILE.1);
            let tile = RgbImage::from_fn(TILE.0, TILE.1, |x, y| {
                *picture.get_pixel((left + x).min(width - 1), (top + y).min(height - 1))
            });
            hevc(2 + index as u16, &tile, bits, SRGB)
        })
        .collect();
    let ids = tiles.iter().map(|tile| tile.id).collect();
    let grid = grid_item((columns, rows), (width, height), &tiles[0]);
    let items = [vec![grid], tiles].concat();
    File { brand: *b"heic", primary: 1, items, references: vec![(*b"dimg", 1, ids)], more: Vec::new() }
}

/// The first item, made of tiles like this one.
fn grid_item((columns, rows): (u32, u32), (width, height): (u32, u32), tile: &Item) -> Item {
    let count = |count: u32| u8::try_from(count - 1).expect("at most 256");
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // Sides of four bytes.
    let data = [&[0, 1, count(rows), count(columns)], &sides[..]].concat();
    let color = tile.properties.iter().filter(|property| &property[4..8] == b"colr").cloned();
    let properties = [ispe(width, height)].into_iter().chain(color).collect();
    Item { id: 1, kind: *b"grid", data, properties, ..Item::default() }
}

fn ispe(width: u32, height: u32) -> Vec<u8> {
    full(b"ispe", 0, &[width.to_be_bytes(), height.to_be_bytes()].concat())
}

fn nclx(numbers: [u16; 3]) -> Vec<u8> {
    const FULL_RANGE: u8 = 0x80;
    boxed(b"colr", &[b"nclx", &numbers.map(u16::to_be_bytes).concat()[..], &[FULL_RANGE]].concat())
}

fn hevc(id: u16, picture: &RgbImage, bits: u8, numbers: [u16; 3]) -> Item {
    let scale = f64::from((1_u32 << bits) - 1) / 255.0;
    let samples = |x, y| picture.get_pixel(x, y).0.map(|sample| f64::from(sample) * scale);
    coded(id, picture.dimensions(), samples, bits, numbers, true)
}

fn deep_hevc(id: u16, picture: &image::ImageBuffer<image::Rgb<u16>, Vec<u16>>, numbers: [u16; 3]) -> Item {
    let samples = |x, y| picture.get_pixel(x, y).0.map(|sample| f64::from(sample) * 1_023.0 / 65_535.0);
    coded(id, picture.dimensions(), samples, 10, numbers, true)
}

/// Codes red, green and blue in a range of so many bits.
fn coded(
    id: u16,
    sides: (u32, u32),
    rgb: impl Fn(u32, u32) -> [f64; 3],
    bits: u8,
    numbers: [u16; 3],
    full_range: bool,
) -> Item {
    let (zero, luma, chroma) =
        if full_range { (0.0, 1.0, 1.0) } else { (16.0, 219.0 / 255.0, 224.0 / 255.0) };
    let (red, blue) = if numbers[2] == 9 { (0.2627, 0.0593) } else { (0.299, 0.114) };
    let brightness = |[r, g, b]: [f64; 3]| red * r + (1.0 - red - blue) * g + blue * b;
    let (full, middle) = (f64::from((1_u32 << bits) - 1), f64::from(1_u32 << (bits - 1)));
    let sample = |value: f64| value.round().clamp(0.0, full) as u16;
    let y = (0..sides.1).flat_map(|y| (0..sides.0).map(move |x| (x, y)));
    let y: Vec<u16> = y.map(|(x, y)| sample(zero + luma * brightness(rgb(x, y)))).collect();
    let half = (sides.0.div_ceil(2), sides.1.div_ceil(2));
    let (mut cb, mut cr) = (Vec::new(), Vec::new());
    for at in 0..half.0 * half.1 {
        let (x, y) = (at % half.0 * 2, at / half.0 * 2);
        let near = |dx: u32, dy: u32| rgb((x + dx).min(sides.0 - 1), (y + dy).min(sides.1 - 1));
        let four = [near(0, 0), near(1, 0), near(0, 1), near(1, 1)];
        let mean = [0, 1, 2].map(|i| four.iter().map(|rgb| rgb[i]).sum::<f64>() / 4.0);
        cb.push(sample(middle + chroma * (mean[2] - brightness(mean)) / (2.0 * (1.0 - blue))));
        cr.push(sample(middle + chroma * (mean[0] - brightness(mean)) / (2.0 * (1.0 - red))));
    }
    let planes = Planes16 { y: &y, chroma: Some((&cb, &cr)), bit_depth: bits };
    hevc_item(id, sides, planes, numbers, full_range)
}

fn grey_hevc(id: u16, picture: &image::GrayImage, sides: (u32, u32)) -> Item {
    let y: Vec<u16> = picture.iter().map(|sample| u16::from(*sample)).collect();
    hevc_item(id, sides, Planes16 { y: &y, chroma: None, bit_depth: 8 }, SRGB, true)
}

fn hevc_item(
    id: u16,
    (width, height): (u32, u32),
    planes: Planes16<'_>,
    numbers: [u16; 3],
    full_range: bool,
) -> Item {
    let [primaries, transfer, matrix] = numbers.map(|number| u8::try_from(number).expect("a small number"));
    let config = EncoderConfig { qp: 12, full_range, colour: (primaries, transfer, matrix) };
    let picture = encode_picture16(width, height, planes, &config).expect("sides that fit");
    let data = picture.slices.iter().flat_map(|unit| {
        let length = u32::try_from(unit.len()).expect("a small picture").to_be_bytes();
        [&length, &unit[..]].concat()
    });
    let properties = vec![ispe(width, height), hvcc(&picture, planes.bit_depth), nclx(numbers)];
    Item { id, kind: *b"hvc1", data: data.collect(), properties, ..Item::default() }
}

/// `hvcC`: what a decoder must know, and parameters.
fn hvcc(picture: &EncodedPicture, bits: u8) -> Vec<u8> {
    const KINDS: [u8; 3] = [32, 33, 34];
    let mut content = vec![1, picture.profile_idc, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, picture.level_idc];
    let depth = 0xf8 | (bits - 8);
    content.extend([0xf0, 0, 0xfc, 0xfc | picture.chroma_format, depth, depth, 0, 0, 0x0f, 3]);
    for (kind, unit) in KINDS.into_iter().zip(&picture.parameter_sets) {
        let length = u16::try_from(unit.len()).expect("a small unit").to_be_bytes();
        content.extend([&[0x80 | kind, 0, 1], &length[..], unit].concat());
    }
    boxed(b"hvcC", &content)
}

fn av1_file(items: Vec<Item>) -> File {
    File { brand: *b"avif", primary: 1, items, ..File::default() }
}

fn av1_item(id: u16, name: &str, (width, height): (u32, u32)) -> Item {
    // Flags: ten bits, grey, half of the columns and half of the rows of color.
    let (data, profile, flags): (&[u8], u8, u8) = match name {
        "small" => (include_bytes!("../../../../tests/fixtures/av1/small.obu"), 0, 0x0c),
        "small-10" => (include_bytes!("../../../../tests/fixtures/av1/small-10.obu"), 0, 0x4c),
        "small-444" => (include_bytes!("../../../../tests/fixtures/av1/small-444.obu"), 1, 0),
        "ramp" => (include_bytes!("../../../../tests/fixtures/av1/ramp.obu"), 0, 0x1c),
        "large-10" => (include_bytes!("../../../../tests/fixtures/av1/large-10.obu"), 0, 0x4c),
        _ => (include_bytes!("../../../../tests/fixtures/av1/large.obu"), 0, 0x0c),
    };
    let config = boxed(b"av1C", &[0x81, profile << 5 | 4, flags, 0]);
    let properties = vec![ispe(width, height), config, nclx(SRGB)];
    Item { id, kind: *b"av01", data: data.to_vec(), properties, ..Item::default() }
}
