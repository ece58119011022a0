//! What a file is, by its first bytes. Names and claims are never asked.

use super::error::Error;

/// A format that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG
    Jpeg,
    /// PNG
    Png,
    /// WebP
    WebP,
    /// GIF
    Gif,
    /// BMP
    Bmp,
    /// TIFF
    Tiff,
    /// HEIF with HEVC
    Heic,
    /// HEIF with AV1
    Avif,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] =
        [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Bmp, Self::Tiff, Self::Heic, Self::Avif];

    /// Media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Heic => "image/heic",
            Self::Avif => "image/avif",
        }
    }
}

/// First bytes of formats that are known by name, and refused.
const REFUSED: &[(&[u8], &str)] = &[
    (b"%PDF", "application/pdf"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\0\0\x01\0", "image/vnd.microsoft.icon"),
    (b"\0\0\x02\0", "image/vnd.microsoft.icon"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"qoif", "image/qoi"),
    (b"P1\n", "image/x-portable-anymap"),
    (b"P2\n", "image/x-portable-anymap"),
    (b"P3\n", "image/x-portable-anymap"),
    (b"P4\n", "image/x-portable-anymap"),
    (b"P5\n", "image/x-portable-anymap"),
    (b"P6\n", "image/x-portable-anymap"),
    (b"FUJIFILMCCD-RAW", "image/x-raw"),
    (b"IIRO", "image/x-raw"),
    (b"IIU\0", "image/x-raw"),
    (b"FOVb", "image/x-raw"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"%!PS", "application/postscript"),
    (b"gimp xcf", "image/x-xcf"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"v/1\x01", "image/x-exr"),
    (b"DDS ", "image/vnd.ms-dds"),
];

/// The format of a file that may be decoded.
///
/// # Errors
///
/// [`Error::Empty`], [`Error::Unsupported`] for what is known by name, [`Error::NotAnImage`] for the rest.
pub fn sniff(bytes: &[u8]) -> Result<Format, Error> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    match bytes {
        [] => Err(Error::Empty),
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        _ if starts(b"\x89PNG\r\n\x1a\n") => Ok(Format::Png),
        _ if starts(b"GIF87a") || starts(b"GIF89a") => Ok(Format::Gif),
        _ if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => Ok(Format::WebP),
        _ if starts(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") => {
            Err(Error::Unsupported("video/x-msvideo"))
        }
        _ if bytes.get(4..8) == Some(b"ftyp") => iso_media(bytes),
        _ if is_canon_raw(bytes) => Err(Error::Unsupported("image/x-raw")),
        _ if [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| starts(*magic)) => Ok(Format::Tiff),
        _ if is_bmp(bytes) => Ok(Format::Bmp),
        _ => Err(named(bytes)),
    }
}

fn named(bytes: &[u8]) -> Error {
    match REFUSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, name)) => Error::Unsupported(name),
        None if is_svg(bytes) => Error::Unsupported("image/svg+xml"),
        None if bytes == b"\xff\xd8" => Error::truncated("two bytes of a jpeg"),
        None => Error::NotAnImage,
    }
}

fn is_canon_raw(bytes: &[u8]) -> bool {
    bytes.get(8..10) == Some(b"CR") && bytes.starts_with(b"II*\0")
}

/// Two letters are a weak sign: the size of the header behind them must be one that exists.
fn is_bmp(bytes: &[u8]) -> bool {
    const HEADER_SIZES: [u8; 7] = [12, 16, 40, 52, 56, 64, 108];
    bytes.starts_with(b"BM")
        && matches!(bytes.get(14..18), Some([size, 0, 0, 0]) if HEADER_SIZES.contains(size) || *size == 124)
}

/// Files of boxes: pictures and films share the first one, which names its brand and those that it also keeps to.
fn iso_media(bytes: &[u8]) -> Result<Format, Error> {
    const AVIF: [&[u8]; 2] = [b"avif", b"avis"];
    const HEIF: [&[u8]; 10] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"heif"];
    let size = bytes.first_chunk().map_or(0, |size| u32::from_be_bytes(*size)) as usize;
    let brands = bytes.get(8..size.clamp(8, 1024).min(bytes.len())).unwrap_or_default();
    let major = brands.get(..4).unwrap_or_default();
    match major {
        b"crx " => Err(Error::Unsupported("image/x-raw")),
        b"qt  " => Err(Error::Unsupported("video/quicktime")),
        _ if AVIF.contains(&major) => Ok(Format::Avif),
        _ if HEIF.contains(&major) => {
            let said = |brand: &[u8]| brands.chunks_exact(4).any(|other| other == brand);
            let general = matches!(major, b"mif1" | b"mif2" | b"msf1" | b"heif");
            Ok(if general && AVIF.into_iter().any(said) { Format::Avif } else { Format::Heic })
        }
        _ => Err(Error::Unsupported("video/mp4")),
    }
}

/// An `<svg` element near the start, after white space, comments and declarations.
fn is_svg(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(1024)];
    let text = start.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    text.first() == Some(&b'<') && text.windows(4).any(|word| word.eq_ignore_ascii_case(b"<svg"))
}
