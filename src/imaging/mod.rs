//! From a stranger's bytes to a clean JPEG: pure, blocking, no files, no network, no clock, no environment.

/// What an original may be; checked on its header, before memory is allocated.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most pixels.
    pub max_pixels: u64,
    /// Longest side, px.
    pub max_side: u32,
    /// Longest side as a multiple of the other, unless both are at most 4,096 px.
    pub max_aspect_ratio: u32,
    /// Most scans of a progressive JPEG.
    pub max_jpeg_scans: u32,
    /// Most pixels times scans.
    pub max_decode_work: u64,
    /// Largest color profile, inflated, bytes.
    pub max_icc_bytes: u64,
    /// Most metadata, bytes.
    pub max_metadata_bytes: u64,
    /// Most metadata segments or chunks.
    pub max_metadata_chunks: u32,
    /// Share of the rows that a truncated picture must have, 0 to 1.
    pub min_decoded_fraction: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_side: 20_000,
            max_aspect_ratio: 50,
            max_jpeg_scans: 64,
            max_decode_work: 1_500_000_000,
            max_icc_bytes: 4 << 20,
            max_metadata_bytes: 16 << 20,
            max_metadata_chunks: 4_096,
            min_decoded_fraction: 0.98,
        }
    }
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Longest side, px; a smaller picture is not enlarged.
    pub max_side: u32,
    /// JPEG quality, 1 to 100; never above the original's own.
    pub quality: u8,
    /// Progressive instead of baseline JPEG.
    pub progressive: bool,
}

impl Preset {
    /// For `upload`.
    pub const USER_PHOTO: Self = Self { max_side: 2048, quality: 82, progressive: false };
    /// For `ingest`.
    pub const PRODUCT: Self = Self { max_side: 4096, quality: 85, progressive: false };

    /// This preset with what `max=PX,quality=1-100,progressive=BOOL` says; a key left out stays as it is.
    ///
    /// # Errors
    ///
    /// A sentence that names the key.
    pub fn overridden(mut self, text: &str) -> Result<Self, String> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("expected key=value, got {part:?}"))?;
            match (key.trim(), value.trim()) {
                ("max", px) => match px.parse() {
                    Ok(px @ 1..=20_000) => self.max_side = px,
                    _ => return Err("max is 1 to 20000 px".into()),
                },
                ("quality", quality) => match quality.parse() {
                    Ok(quality @ 1..=100) => self.quality = quality,
                    _ => return Err("quality is 1 to 100".into()),
                },
                ("progressive", word) => {
                    self.progressive = word.parse().map_err(|_| "progressive is true or false")?;
                }
                (other, _) => {
                    return Err(format!("unknown key {other:?}, expected max, quality or progressive"));
                }
            }
        }
        Ok(self)
    }
}

/// Which preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresetName {
    /// [`Preset::USER_PHOTO`], or its setting.
    UserPhoto,
    /// [`Preset::PRODUCT`], or its setting.
    Product,
}
