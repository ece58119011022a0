//! Pages that are sent in the place of a picture: told by their first letters, so that the rest need not come.

use darkroom_jobs::ErrorCode as Code;

use super::error::Error;

/// So many first bytes tell it.
pub const ENOUGH_BYTES: usize = 1_024;

/// Looks at the first bytes of a file, at most [`ENOUGH_BYTES`] of them. No picture begins like any of these.
///
/// # Errors
///
/// `not_an_image` for HTML, JSON and XML, `unsupported_format` for SVG.
pub fn refuse(start: &[u8]) -> Result<(), Error> {
    let start = &start[..start.len().min(ENOUGH_BYTES)];
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let has = |word: &[u8]| text.windows(word.len()).any(|found| found.eq_ignore_ascii_case(word));
    match text {
        [b'<', ..] if has(b"<svg") && !has(b"<html") => {
            Err(Error::new(Code::UnsupportedFormat, "files of type image/svg+xml are not supported"))
        }
        [b'<', b'!' | b'?' | b'/' | b'a'..=b'z' | b'A'..=b'Z', ..] => {
            Err(Error::new(Code::NotAnImage, "the server sent a web page or xml, not a picture"))
        }
        [b'{' | b'[', rest @ ..] if is_json(rest) => {
            Err(Error::new(Code::NotAnImage, "the server sent json, not a picture"))
        }
        _ => Ok(()),
    }
}

/// What may follow the first bracket.
fn is_json(rest: &[u8]) -> bool {
    let next = rest.trim_ascii_start().first();
    next.is_none_or(|b| b"\"{}[]-tfn".contains(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(start: &[u8]) -> Option<Code> {
        refuse(start).err().map(|error| error.code())
    }

    #[test]
    fn pages_are_told_from_pictures_by_how_they_begin() {
        let page = Some(Code::NotAnImage);
        for text in [
            "<!DOCTYPE html><title>Login</title>",
            "\u{feff}\n  <html>",
            "<?xml version=\"1.0\"?><rss/>",
            "<!-- x --><HTML><svg/>",
            "{\"error\":1}",
            " [ ]",
            "{",
        ] {
            assert_eq!(code(text.as_bytes()), page, "{text}");
        }
        assert_eq!(code(b"<?xml version=\"1.0\"?>\n<svg xmlns"), Some(Code::UnsupportedFormat));
    }

    #[test]
    fn what_pictures_begin_with_is_left_to_those_who_read_them() {
        for start in [
            &b"\xff\xd8\xff\xe0"[..],
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF",
            b"II*\0",
            b"BM",
            b"{\x80",
            b"<\0",
            b"",
            b"plain",
        ] {
            assert_eq!(code(start), None, "{start:?}");
        }
    }
}
