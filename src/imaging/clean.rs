//! Whether bytes are a JPEG as we write them, for whoever did not see them being written.

use super::markers::{EOI, SOS, segments};

/// Largest color profile that we write, bytes, with its name and number.
const MAX_PROFILE: usize = 600;

/// Longest tables of one segment, bytes: four of Huffman with 256 symbols each.
const MAX_TABLES: usize = 4 * (1 + 16 + 256);

/// Sides in px of a whole JPEG with nothing in it but JFIF, a small color profile and the picture; none for anything
/// else. Looks at markers and lengths; what its scans say is not decoded.
pub fn sides(jpeg: &[u8]) -> Option<(u32, u32)> {
    const SOI: &[u8] = b"\xff\xd8";
    let mut sides = None;
    let (mut profiles, mut scans, mut end) = (0, 0, SOI.len());
    jpeg.strip_prefix(SOI)?;
    for segment in segments(jpeg) {
        if !segment.starts_at(end) || segment.short || segment.cut {
            return None;
        }
        end = segment.end();
        match segment.marker {
            // Start of a frame, baseline or progressive.
            0xc0 | 0xc2 if sides.is_none() => sides = frame(segment.content),
            // Huffman tables, quantization tables, restart interval.
            0xc4 | 0xdb | 0xdd if segment.content.len() <= MAX_TABLES => {}
            0xe0 if segment.content.starts_with(b"JFIF\0") && segment.content.len() == 14 => {}
            0xe2 if segment.content.starts_with(b"ICC_PROFILE\0") && segment.content.len() <= MAX_PROFILE => {
                profiles += 1;
            }
            SOS => scans += 1,
            EOI => return sides.filter(|_| end == jpeg.len() && scans > 0 && profiles <= 1),
            _ => return None,
        }
    }
    None
}

/// 8 bits a sample, height, width.
fn frame(content: &[u8]) -> Option<(u32, u32)> {
    let [8, height_high, height_low, width_high, width_low, 1 | 3, ..] = *content else { return None };
    let side = |bytes| u32::from(u16::from_be_bytes(bytes));
    Some((side([width_high, width_low]), side([height_high, height_low])))
}
