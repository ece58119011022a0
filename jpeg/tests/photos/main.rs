//! Photos of every kind that is taken, against another encoder, another decoder and a resampler in floating point.

mod damage;
mod libjpeg;
mod pictures;
mod pixels;
mod same_bytes;
mod scenes;
mod segments;
mod structured;
