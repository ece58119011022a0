//! The file: headers, then tokens as bits.

use super::{
    Layout,
    optimal::{Codes, codes},
    quant::Quant,
    tokens::{IDS, Tokens},
};

/// Where the identifiers of DC luma, AC luma, DC chroma and AC chroma begin, and how many they are.
const TABLES: [(usize, usize); 4] = [(512, 16), (0, 256), (528, 16), (256, 256)];

/// Bytes collected before they are stuffed.
const BATCH: usize = 8192;

/// Tokens written between looks at the room: at most 26 bits each.
const GROUP: usize = 48;

/// A whole file of `width` × `height` px. `extra` are segments to keep as they are, such as a color profile.
pub fn file(
    tokens: &Tokens,
    quants: &[Quant; 2],
    layout: Layout,
    width: u16,
    height: u16,
    extra: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    out.extend_from_slice(&[
        0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0,
    ]);
    out.extend_from_slice(extra);
    let tables = if layout == Layout::Grey { 1 } else { 2 };
    for (slot, quant) in (0..).zip(&quants[..tables]) {
        out.extend_from_slice(&[0xff, 0xdb, 0, 67, slot]);
        out.extend_from_slice(&quant.steps);
    }
    frame_header(&mut out, layout, width, height);
    let mut written = Box::new([(0, 0); IDS]);
    for (at, &(first, count)) in TABLES[..2 * tables].iter().enumerate() {
        let is_ac = at % 2 == 1;
        let codes = codes(&tokens.histogram[first..first + count]);
        huffman_table(&mut out, &codes, u8::from(is_ac) << 4 | (at / 2) as u8);
        for (symbol, (code, length)) in codes.codes.into_iter().enumerate() {
            // The value's bits follow the code: room for them is made beforehand.
            let size = if is_ac { symbol & 15 } else { symbol } as u32;
            written[first + symbol] = (code << size, length + size);
        }
    }
    scan_header(&mut out, layout);
    scan(&mut out, tokens, &written);
    out.extend_from_slice(&[0xff, 0xd9]);
    out
}

fn frame_header(out: &mut Vec<u8>, layout: Layout, width: u16, height: u16) {
    let components: &[[u8; 3]] = match layout {
        Layout::Grey => &[[1, 0x11, 0]],
        Layout::Full => &[[1, 0x11, 0], [2, 0x11, 1], [3, 0x11, 1]],
        Layout::Half => &[[1, 0x22, 0], [2, 0x11, 1], [3, 0x11, 1]],
    };
    let count = components.len() as u8;
    let ([h1, h0], [w1, w0]) = (height.to_be_bytes(), width.to_be_bytes());
    out.extend_from_slice(&[0xff, 0xc0, 0, 8 + 3 * count, 8, h1, h0, w1, w0, count]);
    out.extend(components.as_flattened());
}

fn huffman_table(out: &mut Vec<u8>, codes: &Codes, head: u8) {
    let length = 19 + codes.symbols.len() as u16;
    out.extend_from_slice(&[0xff, 0xc4]);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(head);
    out.extend_from_slice(&codes.counts);
    out.extend_from_slice(&codes.symbols);
}

fn scan_header(out: &mut Vec<u8>, layout: Layout) {
    match layout {
        Layout::Grey => out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]),
        _ => out.extend_from_slice(&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]),
    }
}

fn scan(out: &mut Vec<u8>, tokens: &Tokens, codes: &[(u32, u32); IDS]) {
    let (mut bits, mut count) = (0_u64, 0_u32);
    let mut raw = vec![0; BATCH + 264];
    let mut len = 0;
    for group in tokens.chunks().flat_map(|chunk| chunk.chunks(GROUP)) {
        let window: &mut [u8; 264] =
            raw[len..].first_chunk_mut().expect("a batch has room for one more group");
        let mut at = 0_usize;
        for &token in group {
            let (code, length) = codes[token as usize % IDS];
            bits = bits << (length & 63) | u64::from(code) | u64::from(token >> 10);
            count += length;
            let place = at & 255;
            window[place..place + 8]
                .copy_from_slice(&(bits << (64_u32.wrapping_sub(count) & 63)).to_be_bytes());
            at += (count >> 3) as usize;
            count &= 7;
        }
        len += at;
        if len > BATCH - 1 {
            stuff(&raw[..len], out);
            len = 0;
        }
    }
    if count > 0 {
        let spare = 8 - count;
        raw[len] = (bits << spare) as u8 | ((1_u16 << spare) - 1) as u8;
        len += 1;
    }
    stuff(&raw[..len], out);
}

/// 0xff is followed by 0, so that it is no marker.
fn stuff(raw: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for at in memchr::memchr_iter(0xff, raw) {
        out.extend_from_slice(&raw[from..=at]);
        out.push(0);
        from = at + 1;
    }
    out.extend_from_slice(&raw[from..]);
}
