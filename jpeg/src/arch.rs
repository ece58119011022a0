//! Which processor there is, and the kernels for it. All give the same bits.

#![allow(unsafe_code, reason = "the only place that calls what needs AVX2, after the processor was asked")]

use std::ops::Range;

use crate::{
    batch,
    color::Color,
    encode::{self, Encoder, Layout, Strips},
    error::Error,
    huffman::Position,
    picture::{Picture, Strip},
    pipeline::Mcu,
    progressive::{
        Component, Entropy, ac,
        small::{self, Wanted},
    },
    resample::{horizontal::Horizontal, vertical},
    ring::Plane,
};

/// Which kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// For every processor.
    Portable,
    /// For x86-64 with AVX2, BMI1, BMI2 and LZCNT; made by [`Kernels::detect`] alone.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
}

/// That the processor has what the kernels need.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whether PDEP takes a few cycles: AMD's families before Zen 3 do it in microcode, in some hundred.
    fast_deposit: bool,
}

/// AMD's family of Zen, Zen+ and Zen 2, by which the slow PDEP is told.
#[cfg(target_arch = "x86_64")]
const ZEN_2: u32 = 0x17;

impl Kernels {
    /// The fastest that this processor can run.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
        {
            return Self::Avx2(Proof { fast_deposit: has_fast_deposit() });
        }
        Self::Portable
    }

    /// For people: the instructions that are used.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2 bmi2",
        }
    }

    pub(crate) fn inverse(
        self,
        mcus: &mut [Mcu],
        first: usize,
        sampling: (usize, usize),
        planes: &mut [Plane],
    ) {
        match self {
            Self::Portable => batch::portable::inverse(mcus, first, sampling, planes),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Proof` is made only where the features were detected.
            Self::Avx2(_) => unsafe { batch::avx2::inverse(mcus, first, sampling, planes) },
        }
    }

    pub(crate) fn vertical(self, plane: &mut Plane, rows: Range<usize>) {
        match self {
            Self::Portable => vertical::portable(plane, rows),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { vertical::avx2(plane, rows) },
        }
    }

    pub(crate) fn horizontal(self, horizontal: &Horizontal, row: &[i16], out: &mut [u8]) {
        match self {
            Self::Portable => horizontal.portable(row, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { crate::resample::horizontal::avx2(horizontal, row, out) },
        }
    }

    pub(crate) fn ac_scan(
        self,
        scan: &ac::Scan,
        component: &mut Component,
        entropy: Entropy<'_, '_>,
    ) -> Result<Position, Error> {
        match self {
            Self::Portable => ac::portable(scan, component, entropy),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(proof) if proof.fast_deposit => unsafe { ac::deposit(scan, component, entropy) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { ac::bits(scan, component, entropy) },
        }
    }

    pub(crate) fn widen(self, mcus: &mut [Mcu], components: &mut [Component], wanted: Wanted) {
        match self {
            Self::Portable => small::portable(mcus, components, wanted),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { small::avx2(mcus, components, wanted) },
        }
    }

    pub(crate) fn color(self, color: &Color, planes: [(&mut [u8], usize); 3], layout: Layout) {
        match self {
            Self::Portable => color.portable(planes, layout),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { color.avx2(planes, layout) },
        }
    }

    pub(crate) fn fill(self, strip: &mut Strip, picture: &Picture<'_>, first: usize) {
        match self {
            Self::Portable => strip.portable(picture, first),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { strip.avx2(picture, first) },
        }
    }

    pub(crate) fn strip(self, encoder: &mut Encoder, strips: Strips<'_>, layout: Layout) {
        match self {
            Self::Portable => encode::portable::strip(encoder, strips, layout),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2(_) => unsafe { encode::avx2::strip(encoder, strips, layout) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_fast_deposit() -> bool {
    use std::arch::x86_64::__cpuid;

    let vendor = __cpuid(0);
    let signature = __cpuid(1).eax;
    let (base, extended) = (signature >> 8 & 15, signature >> 20 & 0xff);
    let family = if base == 15 { base + extended } else { base };
    let is_amd = vendor.ebx == u32::from_le_bytes(*b"Auth");
    !is_amd || family > ZEN_2
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::{Limits, Plan, Scratch, normalize};

    #[test]
    fn processors_with_a_slow_pdep_make_the_same_photo() {
        let photo = include_bytes!("../tests/fixtures/progressive-420-deep.jpg");
        let limits = Limits { max_pixels: 1 << 20, max_side: 1 << 10, max_scans: 64, max_work: 1 << 24 };
        let plan = Plan { max_side: 40, quality: 90, ..Plan::default() };
        let made = |kernels| normalize(photo, &plan, &limits, &mut Scratch::new(kernels)).expect("a photo");

        let portable = made(Kernels::Portable);

        if Kernels::detect() != Kernels::Portable {
            for fast_deposit in [false, true] {
                let kernels = Kernels::Avx2(Proof { fast_deposit });
                // A processor without the instruction was not detected.
                assert!(made(kernels) == portable, "{fast_deposit}");
            }
        }
    }
}
