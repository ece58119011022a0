//! The segments of a JPEG, without what they mean.

const SOI: u8 = 0xd8;
/// End of a picture.
pub(super) const EOI: u8 = 0xd9;
/// Start of a scan.
pub(super) const SOS: u8 = 0xda;
const COM: u8 = 0xfe;

/// A marker and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// Without the two bytes of its length; empty for a marker that has none.
    pub content: &'a [u8],
    /// Of a scan: its entropy-coded data, stuffed, restart markers included.
    pub data: &'a [u8],
    /// Whether the length is less than its own two bytes.
    pub short: bool,
    /// Of a scan: whether its data ends with the file.
    pub cut: bool,
    /// Offsets of the marker's 0xff and of what comes after the segment.
    bounds: (usize, usize),
}

impl Segment<'_> {
    pub fn starts_at(&self, offset: usize) -> bool {
        self.bounds.0 == offset
    }

    /// Offset of what comes after it.
    pub fn end(&self) -> usize {
        self.bounds.1
    }
}

/// Every segment from the start to the end marker, which is the last. Junk between segments is passed over, and so are
/// segments that would end behind the file.
pub(super) fn segments(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = Some(2);
    std::iter::from_fn(move || {
        let segment = next(jpeg, at?)?;
        at = (segment.marker != EOI).then_some(segment.bounds.1);
        Some(segment)
    })
}

/// The file without what decoders read otherwise or stop at; none when there is nothing of that kind.
///
/// Everywhere comments and application segments whose length is less than two; before the first scan also markers
/// without a length, which have no place there, and stuffed bytes between segments.
pub(super) fn without_oddities(jpeg: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let (mut from, mut end, mut scanned) = (0, 2, false);
    for segment in segments(jpeg) {
        let (start, stop) = segment.bounds;
        let cut_from = if !scanned && is_stuffed(&jpeg[end..start]) { end } else { start };
        let cut_to = if is_spare(&segment, scanned) { stop } else { start };
        if cut_from < cut_to {
            kept.extend_from_slice(&jpeg[from..cut_from]);
            from = cut_to;
        }
        end = stop;
        scanned |= segment.marker == SOS;
    }
    (from > 0).then(|| [kept, jpeg[from..].to_vec()].concat())
}

fn is_spare(segment: &Segment<'_>, scanned: bool) -> bool {
    match segment.marker {
        0xe0..=0xef | COM => segment.short,
        marker => !scanned && is_bare(marker) && marker != EOI,
    }
}

/// Whether junk has zeros where markers would be, and no marker: its segment would end behind the file, which decoders
/// are to find out.
fn is_stuffed(junk: &[u8]) -> bool {
    let after = junk.windows(2).filter(|pair| pair[0] == 0xff && pair[1] != 0xff);
    let (zeros, markers): (Vec<_>, Vec<_>) = after.partition(|pair| pair[1] == 0);
    !zeros.is_empty() && markers.is_empty()
}

/// Whether a marker has no length.
const fn is_bare(marker: u8) -> bool {
    matches!(marker, SOI | EOI | 0x01 | 0xd0..=0xd7)
}

fn next(jpeg: &[u8], mut at: usize) -> Option<Segment<'_>> {
    loop {
        at += memchr::memchr(0xff, jpeg.get(at..)?)?;
        at += jpeg[at..].iter().position(|byte| *byte != 0xff)?;
        let body = at + 1;
        match jpeg[at] {
            0 => {}
            marker if is_bare(marker) => {
                let bounds = (at - 1, body);
                return Some(Segment { marker, content: &[], data: &[], short: false, cut: false, bounds });
            }
            marker => {
                let length = jpeg.get(body..body + 2)?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                if let Some(content) = jpeg.get(body + 2..body + length.max(2)) {
                    return Some(with_content(jpeg, marker, at - 1, content, length < 2));
                }
                // A length that points out of the file: what follows may still be markers.
            }
        }
        at = body;
    }
}

fn with_content<'a>(jpeg: &'a [u8], marker: u8, from: usize, content: &'a [u8], short: bool) -> Segment<'a> {
    let end = from + 4 + content.len();
    let data_end = if marker == SOS { after_scan(jpeg, end) } else { end };
    let (data, cut) = (&jpeg[end..data_end], data_end == jpeg.len());
    Segment { marker, content, data, short, cut, bounds: (from, data_end) }
}

/// Where the marker begins that ends a scan.
fn after_scan(jpeg: &[u8], mut at: usize) -> usize {
    while let Some(found) = jpeg.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += found;
        match jpeg.get(at + 1) {
            Some(0 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            _ => return at,
        }
    }
    jpeg.len()
}
