//! Pixels in memory.

use super::error::Error;

/// The samples of a picture, row by row, channels interleaved.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Samples {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

/// A picture: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; alpha is never premultiplied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raster {
    pub width: u32,
    pub height: u32,
    pub channels: u8,
    pub samples: Samples,
}

/// The same with 8 bits a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raster8 {
    pub width: u32,
    pub height: u32,
    pub channels: u8,
    pub samples: Vec<u8>,
}

impl Samples {
    /// The same with 16 bits.
    pub fn deep(&self) -> Self {
        match self {
            Self::U8(samples) => Self::U16(samples.iter().map(|sample| u16::from(*sample) * 257).collect()),
            Self::U16(samples) => Self::U16(samples.clone()),
        }
    }

    /// Grey and alpha of pixels that have grey three times.
    pub fn narrowed(&self) -> Self {
        match self {
            Self::U8(samples) => Self::U8(gathered(samples)),
            Self::U16(samples) => Self::U16(gathered(samples)),
        }
    }

    /// The reverse of [`Self::narrowed`].
    pub fn widened(&self) -> Self {
        match self {
            Self::U8(grey) => Self::U8(spread(grey)),
            Self::U16(grey) => Self::U16(spread(grey)),
        }
    }
}

impl Raster {
    pub fn from_image(image: image::DynamicImage) -> Result<Self, Error> {
        use image::DynamicImage as D;
        let (width, height) = (image.width(), image.height());
        let (channels, samples) = match image {
            D::ImageLuma8(buffer) => (1, Samples::U8(buffer.into_raw())),
            D::ImageLumaA8(buffer) => (2, Samples::U8(buffer.into_raw())),
            D::ImageRgb8(buffer) => (3, Samples::U8(buffer.into_raw())),
            D::ImageRgba8(buffer) => (4, Samples::U8(buffer.into_raw())),
            D::ImageLuma16(buffer) => (1, Samples::U16(buffer.into_raw())),
            D::ImageLumaA16(buffer) => (2, Samples::U16(buffer.into_raw())),
            D::ImageRgb16(buffer) => (3, Samples::U16(buffer.into_raw())),
            D::ImageRgba16(buffer) => (4, Samples::U16(buffer.into_raw())),
            floats => (4, Samples::U16(floats.into_rgba16().into_raw())),
        };
        Ok(Self { width, height, channels, samples })
    }

    /// Grey with alpha becomes RGB with alpha, which every later step knows.
    pub fn widened(self) -> Self {
        if self.channels != 2 {
            return self;
        }
        let samples = self.samples.widened();
        Self { channels: 4, samples, ..self }
    }

    /// Undoes a multiplication by alpha.
    pub fn divided_by_alpha(mut self) -> Self {
        let channels = usize::from(self.channels);
        if channels % 2 == 1 {
            return self;
        }
        match &mut self.samples {
            Samples::U8(samples) => samples.chunks_exact_mut(channels).for_each(|pixel| divide(pixel, 0xff)),
            Samples::U16(samples) => {
                samples.chunks_exact_mut(channels).for_each(|pixel| divide(pixel, 0xffff))
            }
        }
        self
    }

    pub fn into_8_bit(self) -> Raster8 {
        let samples = match self.samples {
            Samples::U8(samples) => samples,
            Samples::U16(samples) => samples.into_iter().map(to_8_bit).collect(),
        };
        Raster8 { width: self.width, height: self.height, channels: self.channels, samples }
    }
}

fn gathered<T: Copy>(pixels: &[T]) -> Vec<T> {
    pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[3]]).collect()
}

fn spread<T: Copy>(grey: &[T]) -> Vec<T> {
    grey.chunks_exact(2).flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]).collect()
}

fn divide<T: Copy + Into<u32> + TryFrom<u32>>(pixel: &mut [T], full: u32) {
    let Some((alpha, colors)) = pixel.split_last_mut() else { return };
    let alpha = (*alpha).into();
    for color in colors.iter_mut().filter(|_| alpha > 0) {
        let divided = ((*color).into() * full + alpha / 2) / alpha;
        *color = T::try_from(divided.min(full)).unwrap_or(*color);
    }
}

/// Rounds, so that 0xffff is 0xff and the middle stays the middle.
pub(super) fn to_8_bit(sample: u16) -> u8 {
    u8::try_from((u32::from(sample) + 128) / 257).expect("65,535 / 257 is 255")
}
