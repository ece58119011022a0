//! A JPEG as its segments, and what can be wrong with them. The fuzzer of `fuzz/` mutates with it as well.

use fastrand::Rng;

/// A segment from its marker to the next one, the bits of a scan included.
pub type Segment = Vec<u8>;

/// The segments of a file; nothing when it does not consist of such. An end is put behind them.
pub fn segments(jpeg: &[u8]) -> Option<Vec<Segment>> {
    let mut found = Vec::new();
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    while let [0xff, marker, a, b, ..] = *rest {
        let mut end = 2 + usize::from(u16::from_be_bytes([a, b]));
        if marker == 0xda {
            let is_marker = |end: &usize| rest[*end] == 0xff && !matches!(rest[*end + 1], 0 | 0xd0..=0xd7);
            end = (end..rest.len() - 1).find(is_marker).unwrap_or(rest.len());
        }
        let (segment, after) = rest.split_at_checked(end).filter(|_| end >= 4)?;
        found.push(segment.to_vec());
        rest = after;
    }
    found.push(vec![0xff, 0xd9]);
    Some(found)
}

/// Changes a file of segments in one of the ways in which only a JPEG can be wrong. `files`: where others are to be had.
pub fn mutate(file: &mut Vec<Segment>, files: &[Vec<Segment>], random: &mut Rng) {
    if file.is_empty() {
        file.push(vec![0xff, 0xd9]);
    }
    let at = random.usize(..file.len());
    match random.u8(0..8) {
        0 => drop(file.remove(at)),
        1 => file.insert(at, file[random.usize(..file.len())].clone()),
        2 => {
            let other = random.usize(..file.len());
            file.swap(at, other);
        }
        // A segment of another file: other tables, other scans, other bits.
        3 => {
            let other = &files[random.usize(..files.len())];
            let segment = other[random.usize(..other.len())].clone();
            if random.bool() { file[at] = segment } else { file.insert(at, segment) }
        }
        4 => restart_interval(file, at, random),
        _ => {
            let of = *random.choice([&0xc4_u8, &0xda, &0xda, &0xc0, &0xc2, &0xdb]).expect("six");
            let those: Vec<usize> = (0..file.len()).filter(|&at| file[at][1] == of).collect();
            if let Some(&at) = random.choice(&those) {
                alter(&mut file[at], random);
            }
        }
    }
}

fn restart_interval(file: &mut Vec<Segment>, at: usize, random: &mut Rng) {
    file.insert(at, vec![0xff, 0xdd, 0, 4, 0, random.u8(0..5)]);
    if let Some(scan) = file.iter_mut().find(|segment| segment[1] == 0xda) {
        let at = random.usize(4..=scan.len());
        scan.splice(at..at, [0xff, 0xd0 | random.u8(0..8)]);
    }
}

/// Changes what a segment says, in its head more often than in its bits; lengths stay right.
fn alter(segment: &mut Segment, random: &mut Rng) {
    let head = 2 + usize::from(u16::from_be_bytes([segment[2], segment[3]]));
    let end = if random.bool() { head.min(segment.len()) } else { segment.len() };
    if end <= 4 {
        return;
    }
    let at = random.usize(4..end);
    match random.u8(0..4) {
        0 => segment[at] ^= 1 << random.u8(0..8),
        1 => segment[at] = *random.choice([&0, &1, &0xf0, &0xfe, &0x11, &0x3f]).expect("six"),
        2 => segment[at] = segment[at].wrapping_add(random.u8(1..4)),
        // Bits of a scan begin anew somewhere else.
        _ if at > head => drop(segment.drain(at..(at + random.usize(1..20)).min(end))),
        _ => segment[at] = random.u8(..),
    }
}
