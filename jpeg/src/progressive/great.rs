//! AC coefficients that 8 bits do not hold: few, and of sharp edges in fine steps. Their block says where they are.

/// What stands in a block for a coefficient that is kept here.
pub const ELSEWHERE: i8 = i8::MIN;

/// Bits of an entry that are its value.
const VALUE_BITS: u32 = 13;

/// What is added to a value, so that it is kept without a sign.
const ZERO: i32 = 1 << (VALUE_BITS - 1);

/// The great coefficients of one row of blocks, by column and zigzag position: four bytes for each.
pub type Entries = Vec<u32>;

/// One pass over a row of blocks, from left to right, and in each from the lowest zigzag position on.
#[derive(Debug)]
pub struct Pass<'r> {
    entries: &'r mut Entries,
    /// The entry that comes next, or one before it.
    at: usize,
    /// Those that became great on the way.
    added: Entries,
}

impl<'r> Pass<'r> {
    pub fn new(entries: &'r mut Entries) -> Self {
        Self { entries, at: 0, added: Vec::new() }
    }

    /// One that begins at a column.
    pub fn from_column(entries: &'r mut Entries, column: usize) -> Self {
        let at = entries.partition_point(|&entry| entry >> VALUE_BITS < key(column, 0));
        Self { entries, at, added: Vec::new() }
    }

    /// The value at a place; nothing when none is kept for it.
    #[cold]
    pub fn get(&mut self, column: usize, position: u32) -> Option<i16> {
        self.find(column, position).map(|entry| ((*entry & (2 * ZERO as u32 - 1)) as i32 - ZERO) as i16)
    }

    /// Puts another value at a place; `None` when that is greater than any photo's, or none is kept for it.
    #[cold]
    pub fn set(&mut self, column: usize, position: u32, value: i32) -> Option<()> {
        let entry = entry(column, position, value)?;
        *self.find(column, position)? = entry;
        Some(())
    }

    /// Keeps a value that was smaller; `None` when it is greater than any photo's.
    #[cold]
    pub fn add(&mut self, column: usize, position: u32, value: i32) -> Option<()> {
        self.added.push(entry(column, position, value)?);
        Some(())
    }

    /// Ends the row; how many were added.
    pub fn finish(self) -> usize {
        if !self.added.is_empty() {
            // To the byte: what is kept of a photo is bounded.
            self.entries.reserve_exact(self.added.len());
            self.entries.extend_from_slice(&self.added);
            self.entries.sort_unstable();
        }
        self.added.len()
    }

    fn find(&mut self, column: usize, position: u32) -> Option<&mut u32> {
        let wanted = key(column, position);
        let before = self.entries[self.at..].iter().take_while(|&&entry| entry >> VALUE_BITS < wanted);
        self.at += before.count();
        self.entries.get_mut(self.at).filter(|entry| **entry >> VALUE_BITS == wanted)
    }
}

/// A row has at most 8,192 blocks, which is 13 bits; a position has 6.
fn key(column: usize, position: u32) -> u32 {
    (column as u32) << 6 | position & 63
}

fn entry(column: usize, position: u32, value: i32) -> Option<u32> {
    let is_possible = value.unsigned_abs() < ZERO as u32;
    is_possible.then(|| key(column, position) << VALUE_BITS | (value + ZERO) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_from_any_place_with_its_sign() {
        let mut entries = Vec::new();
        let places = [(0, 1, 128), (0, 63, -4095), (17, 5, -128), (8191, 62, 4095), (8191, 63, 1)];
        let mut pass = Pass::new(&mut entries);
        // Not in order: a scan may bring what lies before that of another scan.
        for (column, position, value) in places.into_iter().rev() {
            pass.add(column, position, value).expect("a possible value");
        }
        assert_eq!(pass.finish(), 5);

        let mut pass = Pass::new(&mut entries);
        for (column, position, value) in places {
            assert_eq!(pass.get(column, position), Some(value as i16));
            pass.set(column, position, -value).expect("it is there");
        }
        let mut pass = Pass::new(&mut entries);
        for (column, position, value) in places {
            assert_eq!(pass.get(column, position), Some(-value as i16));
        }

        let mut pass = Pass::from_column(&mut entries, 17);
        assert_eq!(pass.get(17, 5), Some(128));
        pass.add(3, 3, 999).expect("a possible value");
        assert_eq!(pass.finish(), 1);
        assert_eq!(Pass::new(&mut entries).get(3, 3), Some(999));
        assert_eq!(entries.capacity(), 6);
    }

    #[test]
    fn what_no_photo_has_is_not_kept() {
        let mut entries = Vec::new();
        let mut pass = Pass::new(&mut entries);
        assert_eq!(pass.add(0, 1, 4096), None);
        assert_eq!(pass.add(0, 1, i32::MIN), None);
        pass.add(3, 7, 200).expect("a possible value");
        assert_eq!(pass.finish(), 1);

        let mut pass = Pass::new(&mut entries);
        assert_eq!(pass.set(3, 7, -4096), None);
        assert_eq!(
            (pass.get(3, 6), pass.get(2, 7), pass.get(3, 8), pass.get(4, 7)),
            (None, None, None, None)
        );
    }
}
