//! The bytes of an original, counted as they come: on the wire, unpacked, and in time.

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use darkroom_jobs::{ErrorCode as Code, MAX_SOURCE_BYTES};
use flate2::write::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use super::{error::Error, exchange::Announced, markup};
use crate::{digest::hex, sources::Original};

/// Most bytes that one byte on the wire may become.
const MAX_RATIO: u64 = 100;
/// So many bytes are unpacked before the ratio counts.
const RATIO_FROM: u64 = 1 << 20;
/// Bytes that are unpacked or hashed in one go; others have their turn in between.
const PIECE: usize = 16 << 10;
/// How often the rate is looked at in its window.
const LOOKS: u32 = 10;
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

const TOO_LARGE: Error = Error::new(Code::SourceTooLarge, "the file has more than 32 MiB");
const BOMB: Error = Error::new(Code::SourceTooLarge, "the file unpacks to more than 100 times its size");
const INCOMPLETE: Error =
    Error::new(Code::DownloadIncomplete, "the connection ended before the whole file had come");
const NOT_GZIP: Error =
    Error::new(Code::ContentEncodingUnsupported, "the file is not the gzip that was announced");
const NESTED: Error = Error::new(Code::ContentEncodingUnsupported, "the file is packed more than once");

/// Reads a body to its end; the time limit for all of it is the caller's.
///
/// # Errors
///
/// `source_too_large`, `source_empty` never (who asks decides), `download_incomplete`, `download_too_slow`,
/// `content_encoding_unsupported`, `http_invalid_response`, and what [`markup::refuse`] says of the first bytes.
pub(super) async fn read(mut body: Incoming, announced: &Announced, pace: &Pace) -> Result<Original, Error> {
    let mut file = File::new(announced.is_gzip);
    let mut rate = Rate::new(pace);
    let mut looks = interval(pace.window / LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = looks.tick() => {
                rate.look(file.wire)?;
                continue;
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        for piece in data.chunks(PIECE) {
            file.take(piece)?;
            tokio::task::consume_budget().await;
        }
    }
    if announced.length.is_some_and(|length| length != file.wire) {
        return Err(INCOMPLETE);
    }
    let (bytes, sha256) = file.finish(announced.is_framed)?;
    Ok(Original { bytes, declared_type: announced.media_type.clone(), sha256, staged: None })
}

fn broken(error: &hyper::Error) -> Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let kinds = causes.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    let garbled = [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput];
    if error.is_parse() || kinds.into_iter().any(|kind| garbled.contains(&kind)) {
        return Error::new(Code::HttpInvalidResponse, "the body of the server's answer is not valid http");
    }
    INCOMPLETE
}

/// How fast a body must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes in a second, at least.
    pub min_rate: u64,
    /// Over any such time.
    pub window: Duration,
}

/// The last window of a body, seen a few times.
struct Rate {
    least: u64,
    seen: VecDeque<u64>,
}

impl Rate {
    fn new(pace: &Pace) -> Self {
        let least = u128::from(pace.min_rate) * pace.window.as_millis() / 1_000;
        Self {
            least: u64::try_from(least).unwrap_or(u64::MAX),
            seen: VecDeque::with_capacity(LOOKS as usize),
        }
    }

    /// Called once for each part of the window, the first time at its beginning.
    fn look(&mut self, wire: u64) -> Result<(), Error> {
        if self.seen.len() == LOOKS as usize {
            let before = self.seen.pop_front().unwrap_or_default();
            if wire - before < self.least {
                return Err(Error::new(Code::DownloadTooSlow, "the server sent the file too slowly"));
            }
        }
        self.seen.push_back(wire);
        Ok(())
    }
}

/// What has come so far.
struct File {
    /// Bytes on the wire.
    wire: u64,
    content: Content,
}

enum Content {
    Plain(Unpacked),
    Gzip(Box<GzDecoder<Unpacked>>),
}

impl File {
    fn new(is_gzip: bool) -> Self {
        let unpacked = Unpacked { is_packed: is_gzip, ..Unpacked::default() };
        let content = if is_gzip {
            Content::Gzip(Box::new(GzDecoder::new(unpacked)))
        } else {
            Content::Plain(unpacked)
        };
        Self { wire: 0, content }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.wire += piece.len() as u64;
        if self.wire > MAX_SOURCE_BYTES {
            return Err(TOO_LARGE);
        }
        match &mut self.content {
            Content::Plain(unpacked) => unpacked.take(piece),
            Content::Gzip(gzip) => {
                gzip.get_mut().wire = self.wire;
                let written = gzip.write_all(piece);
                gzip.get_mut().refused.take().map_or(Ok(()), Err)?;
                written.map_err(|_| NOT_GZIP)
            }
        }
    }

    /// `is_whole`: HTTP says that all of it has come.
    fn finish(self, is_whole: bool) -> Result<(Bytes, String), Error> {
        let unpacked = match self.content {
            Content::Plain(unpacked) => unpacked,
            Content::Gzip(_) if self.wire == 0 => Unpacked::default(),
            Content::Gzip(mut gzip) => {
                let ended = gzip.try_finish();
                gzip.get_mut().refused.take().map_or(Ok(()), Err)?;
                // Its end has a checksum: what has none was cut, on the way or by the server.
                ended.map_err(|_| if is_whole { NOT_GZIP } else { INCOMPLETE })?;
                let unpacked = std::mem::take(gzip.get_mut());
                if unpacked.bytes.starts_with(&GZIP) {
                    return Err(NESTED);
                }
                unpacked
            }
        };
        if !unpacked.is_known {
            markup::refuse(&unpacked.bytes)?;
        }
        Ok((unpacked.bytes.into(), hex(&unpacked.sha256.finalize())))
    }
}

/// The file as it will be read, hashed as it comes.
#[derive(Default)]
struct Unpacked {
    bytes: Vec<u8>,
    sha256: Sha256,
    /// Whether the first bytes were looked at.
    is_known: bool,
    is_packed: bool,
    /// Bytes on the wire so far, for the ratio.
    wire: u64,
    /// Why no more is taken.
    refused: Option<Error>,
}

impl Unpacked {
    fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        let size = (self.bytes.len() + piece.len()) as u64;
        if size > MAX_SOURCE_BYTES {
            return Err(TOO_LARGE);
        }
        if self.is_packed && size > RATIO_FROM && size > self.wire.saturating_mul(MAX_RATIO) {
            return Err(BOMB);
        }
        self.bytes.extend_from_slice(piece);
        self.sha256.update(piece);
        if !self.is_known && self.bytes.len() >= markup::ENOUGH_BYTES {
            self.is_known = true;
            markup::refuse(&self.bytes)?;
        }
        Ok(())
    }
}

impl Write for Unpacked {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.take(piece).map(|()| piece.len()).map_err(|refused| {
            self.refused = Some(refused);
            io::Error::other("refused")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn taken(is_gzip: bool, content: &[u8]) -> Result<Bytes, Error> {
        let mut file = File::new(is_gzip);
        for piece in content.chunks(1_000) {
            file.take(piece)?;
        }
        finished(file, false)
    }

    fn finished(file: File, is_whole: bool) -> Result<Bytes, Error> {
        file.finish(is_whole).map(|(bytes, sha256)| {
            assert_eq!(sha256, crate::digest::sha256(&bytes));
            bytes
        })
    }

    fn code(is_gzip: bool, content: &[u8]) -> Code {
        taken(is_gzip, content).unwrap_err().code()
    }

    #[test]
    fn one_layer_of_gzip_is_unpacked_and_the_bytes_inside_are_what_is_hashed() {
        let content: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).collect();

        assert_eq!(taken(false, &content).unwrap(), content);
        assert_eq!(taken(true, &gzip(&content)).unwrap(), content);
    }

    #[test]
    fn gzip_that_is_nested_cut_or_none_is_refused() {
        let packed = gzip(b"some content that is packed");

        assert_eq!(code(true, &gzip(&packed)), Code::ContentEncodingUnsupported);
        assert_eq!(code(true, &packed[..packed.len() - 4]), Code::DownloadIncomplete);
        assert_eq!(
            code(true, b"\xff\xd8\xff\xe0 a jpeg that says that it is gzip"),
            Code::ContentEncodingUnsupported
        );
    }

    #[test]
    fn gzip_that_came_whole_and_does_not_end_as_it_must_is_the_servers_fault() {
        let packed = gzip(b"some content that is packed");
        let mut wrong_sum = packed.clone();
        wrong_sum[packed.len() - 8] ^= 1;
        let mut wrong_size = packed.clone();
        wrong_size[packed.len() - 1] ^= 1;
        let whole = |content: &[u8]| {
            let mut file = File::new(true);
            file.take(content).and_then(|()| finished(file, true))
        };

        for (odd, content) in [
            ("wrong sum", wrong_sum),
            ("wrong size", wrong_size),
            ("cut", packed[..packed.len() - 4].to_vec()),
            ("two members", [packed.clone(), packed.clone()].concat()),
            ("something behind it", [&packed[..], b"x"].concat()),
            ("a reserved flag", [&packed[..3], &[0xe0], &packed[4..]].concat()),
            ("another method", [&packed[..2], &[7], &packed[3..]].concat()),
        ] {
            let refused = whole(&content).map(|bytes| bytes.len()).map_err(|error| error.code());
            assert_eq!(refused, Err(Code::ContentEncodingUnsupported), "{odd}");
        }
        assert_eq!(whole(&packed).unwrap(), &b"some content that is packed"[..]);
        assert_eq!(whole(b"").unwrap().len(), 0, "nothing is an empty file, packed or not");
    }

    #[test]
    fn what_is_packed_counts_unpacked_too() {
        // A byte in eight is new: far from a bomb.
        let content: Vec<u8> = (0..34_u32 << 20)
            .map(|n| if n % 8 == 0 { (n / 8).wrapping_mul(2_654_435_761).to_le_bytes()[3] } else { 0 })
            .collect();
        let mut file = File::new(true);
        let packed = gzip(&content);

        let refused = packed.chunks(PIECE).find_map(|piece| file.take(piece).err());

        assert!(
            packed.len() as u64 * MAX_RATIO > content.len() as u64 && packed.len() as u64 <= MAX_SOURCE_BYTES
        );
        assert_eq!(refused, Some(TOO_LARGE));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut file = File::new(true);
        let bomb = gzip(&vec![0; 64 << 20]);

        let refused = bomb.chunks(PIECE).find_map(|piece| file.take(piece).err()).expect("it is refused");

        assert_eq!(refused.code(), Code::SourceTooLarge);
        assert!(file.wire <= 2 * PIECE as u64, "{} bytes were read", file.wire);
        // A picture of one color may be that small: below 1 MiB nobody asks.
        assert!(taken(true, &gzip(&vec![1; 1 << 20])).is_ok());
    }

    #[test]
    fn exactly_32_mib_are_taken_and_a_byte_more_is_not() {
        let most = vec![7; MAX_SOURCE_BYTES as usize];
        let mut file = File::new(false);
        file.take(&most).unwrap();

        assert_eq!(file.take(b"x").unwrap_err().code(), Code::SourceTooLarge);
    }

    #[test]
    fn a_page_is_refused_as_soon_as_its_beginning_is_there_and_a_short_one_at_its_end() {
        let page = format!("<!doctype html>{}", " ".repeat(4_000));
        let mut file = File::new(false);

        let early = page.as_bytes().chunks(1_000).position(|piece| file.take(piece).is_err());

        assert_eq!(early, Some(1));
        assert_eq!(code(false, b"<html>"), Code::NotAnImage);
        assert_eq!(code(true, &gzip(b"<html>")), Code::NotAnImage);
    }

    #[test]
    fn a_window_with_too_few_bytes_is_too_slow_wherever_it_lies() {
        let pace = Pace { min_rate: 100, window: Duration::from_secs(10) };
        let looks = |seen: &[u64]| {
            let mut rate = Rate::new(&pace);
            seen.iter().position(|wire| rate.look(*wire).is_err())
        };

        let steady: Vec<_> = (0..30).map(|look| look * 100).collect();
        let mut stalls = steady.clone();
        stalls.extend([2_900; 10]);

        assert_eq!((looks(&steady), looks(&[0; 10])), (None, None));
        assert_eq!(looks(&[0; 11]), Some(10));
        assert!(looks(&stalls).is_some());
    }
}
