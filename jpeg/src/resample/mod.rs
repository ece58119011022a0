//! Lanczos3, columns first: both steps in 16-bit fixed point, pixels × 64 in between.

pub mod horizontal;
pub mod vertical;
pub mod weights;

use horizontal::Horizontal;
use weights::Weights;

/// How the samples of one component become those of the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampler {
    /// Rows from rows.
    pub vertical: Weights,
    /// Columns from columns.
    pub horizontal: Horizontal,
}
