//! Memory that one photo leaves to the next: what was touched once costs no page faults again.

use crate::{
    arch::Kernels,
    encode::{deferred::Deferred, tokens::Tokens},
    pipeline::{Mcu, Turning},
    progressive::Coefficients,
    ring::{Plane, Row},
};

/// Most bytes that are kept: those of a progressive photo of 35 MP.
const MAX_KEPT: usize = 64 << 20;

/// Buffers for one photo after the other, and the kernels that fill them.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) kernels: Kernels,
    pub(crate) tokens: Tokens,
    pub(crate) deferred: Deferred,
    pub(crate) turned: Vec<Vec<u8>>,
    pub(crate) source: Box<[u8]>,
    pub(crate) mcus: Vec<Mcu>,
    pub(crate) coefficients: Vec<Coefficients>,
    rings: Vec<Vec<Row>>,
    columns: Vec<Vec<i16>>,
    strips: Vec<Vec<u8>>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new(Kernels::detect())
    }
}

impl Scratch {
    /// For kernels that a test chose.
    pub fn new(kernels: Kernels) -> Self {
        Self {
            kernels,
            tokens: Tokens::default(),
            deferred: Deferred::default(),
            turned: Vec::new(),
            source: Box::default(),
            mcus: Vec::new(),
            coefficients: Vec::new(),
            rings: Vec::new(),
            columns: Vec::new(),
            strips: Vec::new(),
        }
    }

    pub(crate) fn ring(&mut self) -> Vec<Row> {
        self.rings.pop().unwrap_or_default()
    }

    pub(crate) fn columns(&mut self) -> Vec<i16> {
        self.columns.pop().unwrap_or_default()
    }

    pub(crate) fn strip(&mut self) -> Vec<u8> {
        self.strips.pop().unwrap_or_default()
    }

    /// Takes back what a photo used, largest last: it is taken first.
    pub(crate) fn keep(&mut self, planes: Vec<Plane>, tokens: Tokens, turning: Option<Turning>) {
        for plane in planes.into_iter().rev() {
            self.rings.push(plane.ring);
            self.columns.push(plane.columns);
            self.strips.push(plane.strip);
        }
        if let Some(Turning { planes, deferred, .. }) = turning {
            self.turned.extend(planes.into_iter().rev().map(|plane| plane.pixels));
            self.deferred = deferred;
        }
        self.tokens = tokens;
        if self.bytes() > MAX_KEPT {
            *self = Self::new(self.kernels);
        }
    }

    fn bytes(&self) -> usize {
        let buffers =
            bytes_of(&self.turned) + bytes_of(&self.rings) + bytes_of(&self.columns) + bytes_of(&self.strips);
        let coefficients: usize = self.coefficients.iter().map(Coefficients::bytes).sum();
        buffers + coefficients + self.tokens.bytes() + self.deferred.bytes() + self.source.len()
    }
}

fn bytes_of<T>(buffers: &[Vec<T>]) -> usize {
    buffers.iter().map(|buffer| buffer.capacity() * size_of::<T>()).sum()
}
