//! The shortest Huffman codes for what a picture really has, T.81 annex K.2.

/// Longest code that a JPEG may have, bits.
const MAX_LENGTH: usize = 16;

/// A table as a file has it, and the code of each symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// How many codes there are of 1 to 16 bits.
    pub counts: [u8; MAX_LENGTH],
    /// Their symbols.
    pub symbols: Vec<u8>,
    /// For each symbol its code and the code's length; 0 bits for one that does not occur.
    pub codes: Vec<(u32, u32)>,
}

/// Codes for symbols that occur so often. The code of ones alone is left out, as the format wants.
pub fn codes(histogram: &[u32]) -> Codes {
    let lengths = lengths(histogram);
    let counts = counts(&lengths);
    let mut symbols = Vec::new();
    for length in 1..=lengths.len() {
        symbols.extend((0..histogram.len()).filter(|&at| lengths[at] == length).map(|at| at as u8));
    }
    let mut codes = vec![(0, 0); histogram.len()];
    let (mut code, mut at) = (0, 0);
    for (length, &count) in (1..).zip(&counts) {
        for _ in 0..count {
            codes[usize::from(symbols[at])] = (code, length);
            (code, at) = (code + 1, at + 1);
        }
        code <<= 1;
    }
    Codes { counts, symbols, codes }
}

/// Figure K.1: merges the two rarest until one tree is left. The last one stands for the reserved code.
fn lengths(histogram: &[u32]) -> Vec<usize> {
    let mut frequencies: Vec<u64> = histogram.iter().map(|&count| count.into()).chain([1]).collect();
    let mut lengths = vec![0; frequencies.len()];
    let mut others: Vec<Option<usize>> = vec![None; frequencies.len()];
    while let Some(rarest) = least(&frequencies, None) {
        let Some(second) = least(&frequencies, Some(rarest)) else { break };
        frequencies[rarest] += frequencies[second];
        frequencies[second] = 0;
        let last = lengthen(&mut lengths, &others, rarest);
        others[last] = Some(second);
        lengthen(&mut lengths, &others, second);
    }
    lengths
}

/// The rarest that occurs; of several the last.
fn least(frequencies: &[u64], but: Option<usize>) -> Option<usize> {
    let occurring = frequencies.iter().enumerate().filter(|&(at, &count)| count > 0 && Some(at) != but);
    occurring.min_by_key(|&(at, &count)| (count, std::cmp::Reverse(at))).map(|(at, _)| at)
}

/// One more bit for all symbols of a tree; tells its last.
fn lengthen(lengths: &mut [usize], others: &[Option<usize>], first: usize) -> usize {
    let mut at = first;
    loop {
        lengths[at] += 1;
        match others[at] {
            Some(next) => at = next,
            None => return at,
        }
    }
}

/// Figures K.2 and K.3: how many codes have each length, none more than 16 bits, the reserved one taken off.
fn counts(lengths: &[usize]) -> [u8; MAX_LENGTH] {
    let mut counts = vec![0_u32; lengths.len() + 1];
    for &length in lengths.iter().filter(|&&length| length > 0) {
        counts[length] += 1;
    }
    for length in (MAX_LENGTH + 1..counts.len()).rev() {
        while counts[length] > 0 {
            let shorter = (1..length - 1).rev().find(|&shorter| counts[shorter] > 0).unwrap_or(1);
            counts[length] -= 2;
            counts[length - 1] += 1;
            counts[shorter + 1] += 2;
            counts[shorter] -= 1;
        }
    }
    if let Some(longest) = (1..counts.len()).rev().find(|&length| counts[length] > 0) {
        counts[longest] -= 1;
    }
    std::array::from_fn(|at| counts.get(at + 1).map_or(0, |&count| count as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What share of all codes is taken, in 2⁻¹⁶.
    fn taken(codes: &Codes) -> u32 {
        (1..).zip(&codes.counts).map(|(length, &count)| u32::from(count) << (16 - length)).sum()
    }

    #[test]
    fn no_code_is_longer_than_16_bits_and_none_is_all_ones() {
        let fibonacci = (0..40).scan((1_u32, 1_u32), |state, _| {
            let now = state.0;
            *state = (state.1, state.0 + state.1);
            Some(now)
        });
        for histogram in [vec![0; 16], vec![7], vec![1; 256], vec![0, 3, 0, 1], fibonacci.collect()] {
            let codes = codes(&histogram);

            assert!(taken(&codes) < 1 << 16, "a code is left, and it is the one of ones");
            let occurring = histogram.iter().filter(|&&count| count > 0).count();
            assert_eq!(codes.symbols.len(), occurring);
            for (symbol, &count) in histogram.iter().enumerate() {
                assert_eq!(codes.codes[symbol].1 > 0, count > 0, "{symbol}");
            }
        }
    }

    #[test]
    fn what_occurs_more_often_is_never_longer() {
        let histogram: Vec<u32> = (0..200).map(|at| at * at % 977 + 1).collect();
        let codes = codes(&histogram);
        for a in 0..200 {
            for b in 0..200 {
                if histogram[a] > histogram[b] {
                    assert!(codes.codes[a].1 <= codes.codes[b].1);
                }
            }
        }
    }
}
