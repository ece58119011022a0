//! What the demo shows: pictures, and what has to become of each.

use std::{fs, io::Cursor, path::Path};

use anyhow::Context as _;
use bytes::Bytes;
use darkroom_jobs::{ErrorCode, Kind, Receipt, Status};
use image::{
    DynamicImage, ExtendedColorType, ImageBuffer, ImageEncoder as _, ImageFormat, Rgb, Rgba,
    codecs::png::PngEncoder,
};

/// A picture on its way through the queue.
#[derive(Clone, Debug)]
pub struct Scene {
    /// File name, for people.
    pub name: String,
    /// The original.
    pub original: Bytes,
    /// Upload or ingest.
    pub kind: Kind,
    /// What has to become of it.
    pub expected: Expected,
}

/// What has to become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Done.
    Done,
    /// Done, after at least one try that failed.
    DoneAfterRetry,
    /// Dead for good, for this reason.
    Failed(ErrorCode),
    /// Done, or refused with a reason: a picture that we do not know.
    Settled,
}

impl Expected {
    /// Whether this is what became of it.
    pub fn holds(self, receipt: &Receipt) -> bool {
        let code = receipt.error.as_ref().map(|error| error.code);
        match self {
            Self::Done => receipt.status == Status::Done,
            Self::DoneAfterRetry => receipt.status == Status::Done && receipt.attempts >= 2,
            Self::Failed(expected) => receipt.status == Status::Failed && code == Some(expected),
            Self::Settled => receipt.status == Status::Done || code.is_some(),
        }
    }
}

/// Photos from the registries' packages, rendered pictures, and two files that are broken.
///
/// # Errors
///
/// When the folder is there and cannot be read.
pub fn ours(photos: &Path) -> anyhow::Result<Vec<Scene>> {
    let photos = if photos.is_dir() { files(photos)? } else { Vec::new() };
    let mut scenes: Vec<_> = photos
        .into_iter()
        .map(|(name, original)| scene(name, original, Kind::Upload, Expected::Done))
        .collect();
    let shown =
        scenes.iter().find(|scene| scene.expected == Expected::Done).map(|scene| scene.original.clone());
    let shown =
        shown.unwrap_or_else(|| encoded(&DynamicImage::ImageRgb8(sky(1600, 1200)), ImageFormat::Jpeg).into());

    scenes.push(scene("display-p3.png", display_p3(), Kind::Ingest, Expected::Done));
    scenes.push(scene("alpha.png", encoded(&glass(), ImageFormat::Png), Kind::Ingest, Expected::Done));
    scenes.push(scene("16-bit.tiff", encoded(&deep(), ImageFormat::Tiff), Kind::Ingest, Expected::Done));
    scenes.push(scene(
        "shop.webp",
        encoded(&DynamicImage::ImageRgb8(sky(900, 900)), ImageFormat::WebP),
        Kind::Ingest,
        Expected::Done,
    ));
    let half = shown.slice(..shown.len() / 2);
    scenes.push(scene("cut-in-half.jpg", half, Kind::Upload, Expected::Failed(ErrorCode::ImageTruncated)));
    let text = Bytes::from_static(b"This is a letter, and somebody named it holiday.jpg.\n");
    scenes.push(scene("a-letter.jpg", text, Kind::Upload, Expected::Failed(ErrorCode::NotAnImage)));
    Ok(scenes)
}

/// The files of a folder that somebody else chose.
///
/// # Errors
///
/// When it cannot be read, or holds no file.
pub fn theirs(folder: &Path) -> anyhow::Result<Vec<Scene>> {
    let files = files(folder)?;
    anyhow::ensure!(!files.is_empty(), "{} holds no pictures", folder.display());
    Ok(files
        .into_iter()
        .map(|(name, original)| scene(name, original, Kind::Upload, Expected::Settled))
        .collect())
}

fn scene(name: impl Into<String>, original: impl Into<Bytes>, kind: Kind, expected: Expected) -> Scene {
    Scene { name: name.into(), original: original.into(), kind, expected }
}

fn files(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let unreadable = || format!("could not read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with('.') {
            files
                .push((name, fs::read(&path).with_context(|| format!("could not read {}", path.display()))?));
        }
    }
    files.sort();
    Ok(files)
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("a rendered picture can be encoded");
    file.into_inner()
}

/// An evening sky over a hill.
fn sky(width: u32, height: u32) -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    ImageBuffer::from_fn(width, height, |x, y| {
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        if down > 0.75 - 0.12 * (across * 5.0).sin() {
            return Rgb([30, (70.0 + 60.0 * across) as u8, 50]);
        }
        Rgb([(90.0 + 165.0 * down) as u8, (110.0 + 80.0 * down) as u8, (200.0 - 110.0 * down * across) as u8])
    })
}

/// A red disk whose edge fades to nothing.
fn glass() -> DynamicImage {
    DynamicImage::ImageRgba8(ImageBuffer::from_fn(800, 800, |x, y| {
        let from_center = (x as f32 - 400.0).hypot(y as f32 - 400.0);
        Rgba([210, 40, 60, ((380.0 - from_center) * 2.0).clamp(0.0, 255.0) as u8])
    }))
}

/// More shades than eight bits hold.
fn deep() -> DynamicImage {
    DynamicImage::ImageRgb16(ImageBuffer::from_fn(1200, 800, |x, y| {
        Rgb([(x * 54) as u16, (y * 81) as u16, (65_535 - x * 27 - y * 40) as u16])
    }))
}

fn display_p3() -> Vec<u8> {
    let pixels = sky(1400, 1000);
    let profile = moxcms::ColorProfile::new_display_p3().encode().expect("a built-in profile can be written");
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_icc_profile(profile).expect("a PNG can hold a profile");
    encoder
        .write_image(&pixels, 1400, 1000, ExtendedColorType::Rgb8)
        .expect("a rendered picture can be encoded");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_leaves_the_rendered_pictures_and_the_broken_ones() {
        let scenes = ours(Path::new("/nowhere")).unwrap();

        let refused = scenes.iter().filter(|scene| matches!(scene.expected, Expected::Failed(_))).count();
        assert_eq!((scenes.len(), refused), (6, 2));
    }
}
