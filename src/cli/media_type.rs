//! What a file claims to be by its name. A claim alone: magic bytes decide.

use std::path::Path;

/// Extensions of pictures.
const PICTURES: [(&str, &str); 13] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpe", "image/jpeg"),
    ("jfif", "image/jpeg"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("avif", "image/avif"),
];

/// The media type of a picture's extension; `None` for everything else.
pub fn of_picture(file: &Path) -> Option<&'static str> {
    let extension = file.extension()?.to_str()?;
    let known = PICTURES.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
    known.map(|(_, media_type)| *media_type)
}

/// As [`of_picture`]; `application/octet-stream`, which claims nothing, for everything else.
pub fn of(file: &Path) -> &'static str {
    of_picture(file).unwrap_or("application/octet-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_claims_a_type_in_any_case_and_other_names_claim_nothing() {
        let claims = ["a.JPG", "a.b.heic", "notes.txt", "jpg", ".png"].map(|name| of(Path::new(name)));

        let nothing = "application/octet-stream";
        assert_eq!(claims, ["image/jpeg", "image/heic", nothing, nothing, nothing]);
    }
}
