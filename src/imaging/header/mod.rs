//! What a file announces, read by small parsers of our own that allocate nothing for a claim.

mod bmp;
pub mod colors;
mod exif;
mod gif;
pub(super) mod heif;
mod jpeg;
mod memory;
mod png;
mod reader;
pub(super) mod tiff;
mod tiff_parts;
pub(super) mod webp;

use darkroom_jobs::{Warning, WarningCode};

use colors::{Colors, PngColors};
pub use memory::Pixel;

use super::{
    Limits,
    error::Error,
    orient::Orientation,
    sniff::{Format, sniff},
    warning,
};

/// What a file announces, within the limits.
#[derive(Clone, Debug)]
pub struct Header {
    /// What the bytes are.
    pub format: Format,
    /// As stored, px.
    pub width: u32,
    /// As stored, px.
    pub height: u32,
    /// Pictures in the file.
    pub frames: u32,
    /// How the picture is to be turned.
    pub orientation: Orientation,
    /// Whether the file tells where it was taken.
    pub had_gps: bool,
    /// What its numbers mean.
    pub colors: Colors,
    /// Scans of a JPEG.
    pub scans: u32,
    /// Whether a JPEG is decoded only after its last byte, and needs room for all coefficients.
    pub progressive: bool,
    /// Whether a JPEG must be written anew before its decoder can read it.
    pub rewritten: bool,
    /// What is held beside the pixels while they are decoded, bytes: the coefficients of a JPEG until its last scan, the
    /// first frame of a GIF, a strip of a TIFF that is a JPEG, the canvas of a WebP.
    pub decoder_bytes: u64,
    /// What a decoded pixel will be, at most.
    pub pixel: Pixel,
    /// Whether colors were multiplied by alpha.
    pub premultiplied: bool,
    /// Whether its samples are cyan, magenta, yellow and black.
    pub inks: bool,
    /// Whether the end of the file was there.
    pub complete: bool,
    /// Quality of a JPEG, estimated from its tables.
    pub jpeg_quality: Option<u8>,
    /// What was odd.
    pub warnings: Vec<Warning>,
}

/// What the parser of one format found.
#[derive(Debug)]
struct Found {
    width: u32,
    height: u32,
    frames: u32,
    animated: bool,
    scans: u32,
    progressive: bool,
    rewritten: bool,
    decoder_bytes: u64,
    pixel: Pixel,
    premultiplied: bool,
    inks: bool,
    complete: bool,
    jpeg_quality: Option<u8>,
    icc: Profile,
    png_colors: PngColors,
    /// What counts without a profile, in a format that says it in one place.
    colors: Option<Colors>,
    exif: Option<exif::Exif>,
    xmp_gps: bool,
    metadata: Metadata,
}

/// A color profile as found.
#[derive(Debug)]
enum Profile {
    None,
    Bytes(Vec<u8>),
    Broken,
}

/// How much of a file is not picture.
#[derive(Clone, Copy, Debug, Default)]
struct Metadata {
    bytes: u64,
    chunks: u32,
}

impl Metadata {
    fn add(&mut self, bytes: usize, limits: &Limits) -> Result<(), Error> {
        self.bytes += bytes as u64;
        self.chunks += 1;
        limits.check_metadata(self.bytes, self.chunks)
    }
}

impl Found {
    fn of_size(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            frames: 1,
            animated: false,
            scans: 1,
            progressive: false,
            rewritten: false,
            decoder_bytes: 0,
            pixel: Pixel::RGB,
            premultiplied: false,
            inks: false,
            complete: true,
            jpeg_quality: None,
            icc: Profile::None,
            png_colors: PngColors::default(),
            colors: None,
            exif: None,
            xmp_gps: false,
            metadata: Metadata::default(),
        }
    }
}

impl Header {
    /// Reads and checks what a file announces.
    ///
    /// # Errors
    ///
    /// When the file is none that is decoded, contradicts itself, or announces more than the limits allow.
    pub fn read(original: &[u8], limits: &Limits) -> Result<Self, Error> {
        let format = sniff(original)?;
        let found = match format {
            Format::Jpeg => jpeg::read(original, limits),
            Format::Png => png::read(original, limits),
            Format::WebP => webp::read(original, limits),
            Format::Gif => gif::read(original, limits),
            Format::Bmp => bmp::read(original),
            Format::Tiff => tiff::read(original, limits),
            Format::Heic | Format::Avif => heif::read(original, limits),
        }?;
        limits.check_size(found.width, found.height)?;
        limits.check_scans(found.scans, found.width, found.height)?;
        Ok(Self::from_found(format, found, limits))
    }

    /// Sides once the picture is turned.
    pub fn oriented(&self) -> (u32, u32) {
        self.orientation.of_size(self.width, self.height)
    }

    fn from_found(format: Format, found: Found, limits: &Limits) -> Self {
        let mut warnings = Vec::new();
        let exif = found.exif.unwrap_or_default();
        if exif.invalid {
            warnings
                .push(warning(WarningCode::ExifInvalid, "EXIF that says something impossible was ignored"));
        }
        if found.animated {
            warnings.push(warning(WarningCode::AnimationDropped, "only the first frame was kept"));
        }
        let colors = match (found.png_colors.before_profile(), found.icc) {
            (Some(colors), _) => colors,
            (None, Profile::Bytes(bytes)) if bytes.len() as u64 <= limits.max_icc_bytes => Colors::Icc(bytes),
            (None, Profile::None) => found.colors.unwrap_or_else(|| found.png_colors.after_profile()),
            (None, Profile::Bytes(_) | Profile::Broken) => {
                warnings.push(super::color::icc_invalid());
                Colors::Srgb
            }
        };
        Self {
            format,
            width: found.width,
            height: found.height,
            frames: found.frames,
            orientation: exif.orientation.unwrap_or(Orientation::UPRIGHT),
            had_gps: exif.had_gps || found.xmp_gps,
            colors,
            scans: found.scans,
            progressive: found.progressive,
            rewritten: found.rewritten,
            decoder_bytes: found.decoder_bytes,
            pixel: found.pixel,
            premultiplied: found.premultiplied,
            inks: found.inks,
            complete: found.complete,
            jpeg_quality: found.jpeg_quality,
            warnings,
        }
    }
}

/// Whether XMP tells where a picture was taken.
fn xmp_has_gps(xmp: &[u8]) -> bool {
    xmp.windows(8).any(|word| word == b"exif:GPS")
}
