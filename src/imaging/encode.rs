//! Pixels → JPEG with nothing in it but JFIF, an sRGB profile and the picture.

use std::sync::LazyLock;

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use super::{Preset, color, error::Error, raster::Raster8};

/// What writes the JPEG.
pub(super) const LIBRARY: &str = "jpeg-encoder";

/// Lowest quality that a poor original may ask for.
const QUALITY_FLOOR: u8 = 60;

/// From this quality on color has as many samples as brightness.
const FULL_COLOR_FROM: u8 = 90;

static SRGB_PROFILE: LazyLock<Vec<u8>> = LazyLock::new(color::compact_srgb);

/// Writes a JPEG of the preset's quality, or of the original's if that was lower.
pub(super) fn jpeg(raster: &Raster8, preset: &Preset, original: Option<u8>) -> Result<Vec<u8>, Error> {
    let failed = |error: jpeg_encoder::EncodingError| Error::Encode(error.to_string());
    let quality = preset.quality.min(original.unwrap_or(100).max(QUALITY_FLOOR));
    let grey = raster.channels == 1;
    let mut jpeg = Vec::with_capacity(raster.samples.len() / 8);
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(if quality >= FULL_COLOR_FROM {
        SamplingFactor::F_1_1
    } else {
        SamplingFactor::F_2_2
    });
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.set_progressive(preset.progressive);
    // Optimized tables would come with one scan for each component, and decoders that other people use, ours among
    // them, lose the colors of such a file.
    encoder.set_optimized_huffman_tables(false);
    if !grey {
        encoder.add_icc_profile(&SRGB_PROFILE).map_err(failed)?;
    }
    let side = |px: u32| u16::try_from(px).map_err(|_| Error::Encode(format!("{px} px is too long")));
    let color = if grey { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(&raster.samples, side(raster.width)?, side(raster.height)?, color).map_err(failed)?;
    Ok(jpeg)
}
