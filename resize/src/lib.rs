//! Lanczos3 for the pixels that darkroom has.
//!
//! A package of its own because the loops of `fast_image_resize` are generic: whoever calls them compiles them, hundreds
//! of variants. Here that happens once, for six kinds of pixels and with full optimization, not with every change of
//! darkroom (see the profile in the workspace's `Cargo.toml`).

use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3, U8x4, U16, U16x3, U16x4},
};

/// Why nothing was resized.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are fewer samples than the size asks for, or channels other than 1, 3 and 4.
    #[error("{width}×{height} px with {channels} channels are not {samples} samples")]
    Shape {
        /// px
        width: u32,
        /// px
        height: u32,
        /// In each pixel.
        channels: u8,
        /// That were given.
        samples: usize,
    },
    /// The library's reason.
    #[error("could not resize the picture: {0}")]
    Resize(#[from] fast_image_resize::ResizeError),
}

/// Resizes rows of interleaved samples from `(width, height)` px to `(width, height)` px; 1 channel is grey, 3 are RGB, 4
/// RGB and alpha. Alpha is multiplied before and divided after, so that invisible colors do not bleed into visible ones.
///
/// # Errors
///
/// When the samples do not have the shape that is told.
pub fn lanczos3_u8(samples: &[u8], channels: u8, from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>, Error> {
    let mut resized = vec![0; to.0 as usize * to.1 as usize * usize::from(channels)];
    match channels {
        1 => bytes::<U8>(samples, &mut resized, from, to),
        3 => bytes::<U8x3>(samples, &mut resized, from, to),
        4 => bytes::<U8x4>(samples, &mut resized, from, to),
        _ => None,
    }
    .ok_or(Error::Shape { width: from.0, height: from.1, channels, samples: samples.len() })??;
    Ok(resized)
}

/// As [`lanczos3_u8`], with 16 bits a sample.
///
/// # Errors
///
/// As [`lanczos3_u8`].
pub fn lanczos3_u16(
    samples: &[u16],
    channels: u8,
    from: (u32, u32),
    to: (u32, u32),
) -> Result<Vec<u16>, Error> {
    match channels {
        1 => words(samples, |[grey]: [u16; 1]| U16::new(grey), |pixel| [pixel.0], from, to),
        3 => words(samples, U16x3::new, |pixel| pixel.0, from, to),
        4 => words(samples, U16x4::new, |pixel| pixel.0, from, to),
        _ => None,
    }
    .ok_or(Error::Shape { width: from.0, height: from.1, channels, samples: samples.len() })?
}

/// `None` when the samples are fewer than the size asks for.
fn bytes<P: PixelTrait>(
    samples: &[u8],
    resized: &mut [u8],
    from: (u32, u32),
    to: (u32, u32),
) -> Option<Result<(), Error>> {
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, samples).ok()?;
    let target = TypedImage::<P>::from_buffer(to.0, to.1, resized).ok()?;
    Some(resize(&source, target).map(drop))
}

/// `None` when the samples are fewer than the size asks for.
fn words<P: PixelTrait, const N: usize>(
    samples: &[u16],
    pixel: impl Fn([u16; N]) -> P,
    parts: impl Fn(P) -> [u16; N],
    from: (u32, u32),
    to: (u32, u32),
) -> Option<Result<Vec<u16>, Error>> {
    let pixels: Vec<P> = samples.as_chunks().0.iter().copied().map(pixel).collect();
    let source = TypedImageRef::new(from.0, from.1, &pixels).ok()?;
    let resized = resize(&source, TypedImage::new(to.0, to.1));
    Some(resized.map(|image| image.pixels().iter().copied().flat_map(parts).collect()))
}

fn resize<'a, P: PixelTrait>(
    source: &TypedImageRef<'_, P>,
    mut target: TypedImage<'a, P>,
) -> Result<TypedImage<'a, P>, Error> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(source, &mut target, &options)?;
    Ok(target)
}
