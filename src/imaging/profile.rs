//! The color profiles that are written: sRGB, and grey with the tone curve of sRGB, each of fewer than 500 bytes.
//!
//! ICC v4.2 with a parametric curve, made here and free of anyone's rights. Without one, pictures look wrong on screens
//! of a wide gamut.

/// One content and the tags that share it.
type Tag = (&'static [&'static [u8; 4]], Vec<u8>);

/// For pictures of three channels.
pub(super) fn srgb() -> Vec<u8> {
    assemble(
        *b"RGB ",
        &[
            (&[b"desc"], text("sRGB")),
            (&[b"cprt"], text("CC0")),
            (&[b"wtpt"], xyz(0.964_2, 1.0, 0.824_9)),
            (&[b"rXYZ"], xyz(0.436_07, 0.222_49, 0.013_92)),
            (&[b"gXYZ"], xyz(0.385_15, 0.716_87, 0.097_08)),
            (&[b"bXYZ"], xyz(0.143_07, 0.060_61, 0.714_10)),
            (&[b"rTRC", b"gTRC", b"bTRC"], curve()),
        ],
    )
}

/// For pictures of one channel, where a profile of three would contradict the frame.
pub(super) fn grey() -> Vec<u8> {
    assemble(
        *b"GRAY",
        &[
            (&[b"desc"], text("sRGB grey")),
            (&[b"cprt"], text("CC0")),
            (&[b"wtpt"], xyz(0.964_2, 1.0, 0.824_9)),
            (&[b"kTRC"], curve()),
        ],
    )
}

fn fixed(value: f64) -> [u8; 4] {
    ((value * 65_536.0).round() as i32).to_be_bytes()
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a small profile").to_be_bytes()
}

fn xyz(x: f64, y: f64, z: f64) -> Vec<u8> {
    [b"XYZ \0\0\0\0".as_slice(), &fixed(x), &fixed(y), &fixed(z)].concat()
}

fn text(words: &str) -> Vec<u8> {
    let wide: Vec<u8> = words.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let head = b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS".as_slice();
    [head, &word(wide.len()), &[0, 0, 0, 28], &wide].concat()
}

/// IEC 61966-2-1.
fn curve() -> Vec<u8> {
    let numbers = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45].map(fixed).concat();
    [b"para\0\0\0\0\0\x03\0\0".as_slice(), &numbers].concat()
}

fn assemble(space: [u8; 4], contents: &[Tag]) -> Vec<u8> {
    let tags: usize = contents.iter().map(|(names, _)| names.len()).sum();
    let (mut table, mut data) = (word(tags).to_vec(), Vec::new());
    for (names, content) in contents {
        let offset = 128 + 4 + 12 * tags + data.len();
        for name in *names {
            table.extend([name.as_slice(), &word(offset), &word(content.len())].concat());
        }
        data.extend(content);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut header = [0; 128];
    header[0..4].copy_from_slice(&word(128 + table.len() + data.len()));
    header[8..12].copy_from_slice(&[4, 0x20, 0, 0]);
    header[12..16].copy_from_slice(b"mntr");
    header[16..20].copy_from_slice(&space);
    header[20..24].copy_from_slice(b"XYZ ");
    header[24..36].copy_from_slice(&[7, 0xe8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    [header.as_slice(), &table, &data].concat()
}
