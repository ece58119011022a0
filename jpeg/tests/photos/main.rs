//! Photos of every kind that is taken, against another encoder, another decoder and a resampler in floating point.

mod damage;
mod pixels;
mod scenes;
mod same_bytes;
