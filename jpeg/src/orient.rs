//! The eight orientations of EXIF, applied to strips of the small picture.

/// How the stored picture must be turned, EXIF tag 0x0112.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    /// 1 to 8; 1 and all others mean as it is.
    pub const fn from_exif(value: u8) -> Self {
        Self(if value >= 1 && value <= 8 { value - 1 } else { 0 })
    }

    /// Nothing to do.
    pub const fn is_upright(self) -> bool {
        self.0 == 0
    }

    /// Columns become rows.
    pub const fn swaps(self) -> bool {
        self.0 >= 4
    }

    /// Whether columns of the stored picture come out in reverse.
    pub const fn reverses_columns(self) -> bool {
        matches!(self.0 + 1, 2 | 3 | 7 | 8)
    }

    /// Whether rows of the stored picture come out in reverse.
    pub const fn reverses_rows(self) -> bool {
        matches!(self.0 + 1, 3 | 4 | 6 | 7)
    }
}

/// A plane that is turned.
#[derive(Debug, Default)]
pub struct Turned {
    /// Pixels, `stride` apart.
    pub pixels: Vec<u8>,
    /// Pixels of a row, padding included.
    pub stride: usize,
    /// Without padding.
    pub width: usize,
    /// Without padding.
    pub height: usize,
}

impl Turned {
    /// A plane of no pixels, in memory of another one.
    pub fn in_memory_of(pixels: Option<Vec<u8>>) -> Self {
        Self { pixels: pixels.unwrap_or_default(), ..Self::default() }
    }

    /// Makes it as large, padded to multiples of `side`; its pixels are any until all are taken.
    pub fn resize(&mut self, (width, height): (usize, usize), side: usize) {
        (self.width, self.height, self.stride) = (width, height, width.next_multiple_of(side));
        self.pixels.resize(self.stride * height.next_multiple_of(side), 0);
    }

    /// Takes all its rows as they are stored, `stride` apart.
    pub fn take(&mut self, strip: &[u8], stride: usize, rows: usize, orientation: Orientation) {
        if orientation.swaps() {
            self.take_swapped(strip, stride, rows, orientation);
            return;
        }
        for (at, row) in strip.chunks_exact(stride).take(rows).enumerate() {
            let y = if orientation.reverses_rows() { self.height - 1 - at } else { at };
            let out = &mut self.pixels[y * self.stride..][..self.width];
            out.copy_from_slice(&row[..self.width]);
            if orientation.reverses_columns() {
                out.reverse();
            }
        }
    }

    /// In squares of eight while they last. The stored picture is as wide as this one is high.
    fn take_swapped(&mut self, strip: &[u8], stride: usize, rows: usize, orientation: Orientation) {
        let (squares, columns) = (rows / 8 * 8, self.height);
        for top in (0..squares).step_by(8) {
            for left in (0..columns).step_by(8) {
                let square = transpose(std::array::from_fn(|row| {
                    let pixels = strip[(top + row) * stride + left..]
                        .first_chunk()
                        .expect("strips are padded to eight");
                    u64::from_le_bytes(*pixels)
                }));
                let x = if orientation.reverses_rows() { self.width - 8 - top } else { top };
                for (at, column) in square.into_iter().enumerate().take(columns - left) {
                    let y = self.row_of(left + at, orientation);
                    let bytes =
                        if orientation.reverses_rows() { column.to_be_bytes() } else { column.to_le_bytes() };
                    self.pixels[y * self.stride + x..][..8].copy_from_slice(&bytes);
                }
            }
        }
        for row in squares..rows {
            let x = if orientation.reverses_rows() { self.width - 1 - row } else { row };
            for column in 0..columns {
                let y = self.row_of(column, orientation);
                self.pixels[y * self.stride + x] = strip[row * stride + column];
            }
        }
    }

    fn row_of(&self, column: usize, orientation: Orientation) -> usize {
        if orientation.reverses_columns() { self.height - 1 - column } else { column }
    }

    /// Repeats the last column and the last row into the padding.
    pub fn pad(&mut self) {
        if self.width < self.stride {
            for row in self.pixels.chunks_exact_mut(self.stride).take(self.height) {
                let last = row[self.width - 1];
                row[self.width..].fill(last);
            }
        }
        let (made, padding) = self.pixels.split_at_mut(self.height * self.stride);
        let last = &made[made.len() - self.stride..];
        padding.chunks_exact_mut(self.stride).for_each(|row| row.copy_from_slice(last));
    }
}

/// Rows of eight bytes to columns: swaps ever smaller halves.
fn transpose(mut rows: [u64; 8]) -> [u64; 8] {
    for (distance, mask) in
        [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff_u64)]
    {
        for row in (0..8).filter(|row| row & distance == 0) {
            let shift = 8 * distance;
            let swapped = (rows[row] >> shift ^ rows[row + distance]) & mask;
            rows[row + distance] ^= swapped;
            rows[row] ^= swapped << shift;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a pixel of a stored picture of `w` × `h` px goes, by the definition of the tag.
    fn place(value: u8, (x, y): (usize, usize), (w, h): (usize, usize)) -> (usize, usize) {
        match value {
            1 => (x, y),
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (h - 1 - y, x),
            7 => (h - 1 - y, w - 1 - x),
            _ => (y, w - 1 - x),
        }
    }

    #[test]
    fn every_pixel_goes_where_the_tag_says() {
        let (w, h, stride) = (21, 27, 32);
        let pixel = |x: usize, y: usize| (x * 7 + y * 31) as u8;
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value);
            let sides = if orientation.swaps() { (h, w) } else { (w, h) };
            let mut turned = Turned::in_memory_of(None);
            turned.resize(sides, 16);
            let strip: Vec<u8> = (0..h * stride).map(|at| pixel(at % stride, at / stride)).collect();
            turned.take(&strip, stride, h, orientation);
            turned.pad();
            for (x, y) in (0..w).flat_map(|x| (0..h).map(move |y| (x, y))) {
                let (to_x, to_y) = place(value, (x, y), (w, h));
                assert_eq!(turned.pixels[to_y * turned.stride + to_x], pixel(x, y), "{value}: {x}, {y}");
            }
            let last = turned.pixels.len() - 1;
            assert_eq!(turned.pixels[last], turned.pixels[(sides.1 - 1) * turned.stride + sides.0 - 1]);
        }
    }
}
