//! Which source samples an output sample is made of, Lanczos with three lobes.

use std::sync::OnceLock;

/// Lobes of the kernel, in samples of the coarser of source and output.
pub const LOBES: f64 = 3.0;

/// Steps of the kernel's table for one unit.
const STEPS: usize = 2048;

/// Weights of a sum, 1 as 2¹⁵.
pub const ONE: i32 = 1 << 15;

/// Columns or rows of one component, before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Samples before, at least one.
    pub source: usize,
    /// Samples after, at least one.
    pub output: usize,
    /// Samples before that the picture covers: with half as many columns of chroma, an odd width covers so many and a half.
    pub source_extent: f64,
    /// Samples after that the picture covers.
    pub output_extent: f64,
    /// Where the first sample after begins, in samples: −½ when the picture is mirrored later and its last sample covers one column only.
    pub shift: f64,
}

impl Axis {
    /// Samples before for one after.
    pub fn ratio(&self) -> f64 {
        self.source_extent / self.output_extent
    }
}

/// For each output sample where its source samples begin, and what each counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Room of an output sample in `weights`.
    pub taps: usize,
    /// First source sample of each.
    pub start: Vec<u32>,
    /// How many source samples have a weight that is not 0, at least one.
    pub used: Vec<u16>,
    /// `taps` for each output sample; they sum up to 2¹⁵.
    pub weights: Vec<i16>,
}

impl Weights {
    /// Weights of one axis; `taps` is a multiple of `multiple`.
    pub fn new(axis: &Axis, multiple: usize) -> Self {
        let &Axis { source, output, shift, .. } = axis;
        let scale = axis.ratio();
        let spread = scale.max(1.0);
        let support = LOBES * spread;
        let room = support.ceil() as usize * 2 + 1;
        let (mut start, mut used) = (Vec::with_capacity(output), Vec::with_capacity(output));
        let mut rows = Vec::with_capacity(output * room);
        let mut values = Vec::with_capacity(room);
        let mut most = 1;
        for at in 0..output {
            let center = (at as f64 + 0.5 + shift) * scale;
            let first = ((center - support + 0.5).max(0.0) as usize).min(source - 1);
            let end = ((center + support + 0.5) as usize).min(source).max(first + 1);
            values.clear();
            values.extend((first..end).map(|sample| kernel((sample as f64 + 0.5 - center) / spread)));
            let row = rows.len();
            push_rounded(&mut rows, &values);
            let nonzero = rows[row..].iter().rposition(|&weight| weight != 0).map_or(1, |last| last + 1);
            rows.resize(row + room, 0);
            start.push(first as u32);
            used.push(nonzero as u16);
            most = most.max(nonzero);
        }
        let taps = most.next_multiple_of(multiple);
        let mut weights = vec![0; output * taps];
        for (to, from) in weights.chunks_exact_mut(taps).zip(rows.chunks_exact(room)) {
            let both = taps.min(room);
            to[..both].copy_from_slice(&from[..both]);
        }
        Self { taps, start, used, weights }
    }

    /// How many output samples there are.
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// First source sample of an output sample, and the weights that are not 0.
    #[inline]
    pub fn row(&self, at: usize) -> (usize, &[i16]) {
        (self.start[at] as usize, &self.weights[at * self.taps..][..self.used[at].into()])
    }

    /// One more than the last source sample that an output sample needs.
    pub fn end(&self, at: usize) -> usize {
        self.start[at] as usize + usize::from(self.used[at])
    }
}

/// Rounds weights so that their sum is exactly [`ONE`]: the rest goes to the greatest. At the edge of a mirrored picture one alone may be more
/// than 1, which 16 bits cannot say: it is then all there is.
fn push_rounded(rows: &mut Vec<i16>, values: &[f64]) {
    let factor = f64::from(ONE) / values.iter().sum::<f64>();
    let mut rounded: Vec<i32> =
        values.iter().map(|value| (value * factor).round_ties_even() as i32).collect();
    let rest = ONE - rounded.iter().sum::<i32>();
    if let Some(greatest) = rounded.iter_mut().max() {
        *greatest += rest;
        if *greatest > i32::from(i16::MAX) {
            let only = *greatest;
            rounded.iter_mut().for_each(|weight| *weight = if *weight == only { i16::MAX.into() } else { 0 });
        }
    }
    rows.extend(rounded.into_iter().map(|weight| weight as i16));
}

/// sinc(x) sinc(x / 3), linear between the points of a table.
fn kernel(x: f64) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let end = LOBES as usize * STEPS;
        (0..end + 2).map(|step| if step >= end { 0.0 } else { exact(step as f64 / STEPS as f64) }).collect()
    });
    let place = (x.abs() * STEPS as f64).min(LOBES * STEPS as f64);
    let step = place as usize;
    table[step] + (place - step as f64) * (table[step + 1] - table[step])
}

fn exact(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * std::f64::consts::PI;
    LOBES * angle.sin() * (angle / LOBES).sin() / (angle * angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_up_to_one_and_stay_within_the_source() {
        for (source, output) in
            [(1, 1), (7, 7), (4032, 2048), (3024, 1536), (6, 100), (20_000, 1), (33, 32), (2, 1)]
        {
            for half in [0.0, 0.5] {
                let extents = (source as f64 - half, output as f64 - half);
                let axis =
                    Axis { source, output, source_extent: extents.0, output_extent: extents.1, shift: -half };
                let weights = Weights::new(&axis, 16);
                for at in 0..output {
                    let (start, row) = weights.row(at);
                    assert!(start + row.len() <= source && !row.is_empty(), "{source} to {output}, {at}");
                    // A single sample of weight 1 does not fit 16 bits.
                    let sum: i32 = row.iter().map(|&weight| i32::from(weight)).sum();
                    assert!((32767..=32768).contains(&sum), "{source} to {output}, {at}: {sum}");
                }
            }
        }
    }
}
