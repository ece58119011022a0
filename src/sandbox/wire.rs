//! What a decoder and its parent say to each other: a length of four bytes, and so much JSON.
//!
//! Pixels and JPEGs go through shared memory. The parent believes nothing: see `answer.rs`.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use darkroom_jobs::{Encoding, Warning};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::held::HeldBy;
use crate::imaging::{self, Limits, Normalized, Preset};

/// Longest message, bytes.
const MAX_BYTES: u32 = 64 << 10;

/// What a decoder says when it is ready, before it has seen a stranger's byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Of the program: parent and child are the same.
    pub version: String,
    /// Addresses that it has before the first picture, bytes.
    pub address_space: u64,
    /// What holds it.
    pub held_by: HeldBy,
}

/// A picture to be made; the original is in shared memory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Bytes of the original.
    pub original: usize,
    pub preset: Preset,
    pub limits: Limits,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Made(Made),
    Refused(Refusal),
}

/// A picture; the JPEG is in shared memory. What its header told is known to the parent already.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Made {
    /// Bytes of the JPEG.
    pub jpeg: usize,
    pub width: u32,
    pub height: u32,
    pub icc: Option<String>,
    pub thumbhash: String,
    pub dominant: String,
    pub encoding: Encoding,
    pub warnings: Vec<Warning>,
    /// Of decode, process and encode, µs.
    pub timings: [u64; 3],
}

/// [`imaging::error::Error`] without what the parent has to say itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Refusal {
    Empty,
    NotAnImage,
    Unsupported,
    Dimensions { width: u32, height: u32, limit: String },
    TooComplex(String),
    Truncated(String),
    Corrupt(String),
    Encode(String),
}

impl Made {
    pub fn new(normalized: &Normalized, timings: [Duration; 3]) -> Self {
        let facts = &normalized.facts;
        Self {
            jpeg: normalized.jpeg.len(),
            width: normalized.width,
            height: normalized.height,
            icc: facts.icc.clone(),
            thumbhash: facts.thumbhash.clone(),
            dominant: facts.dominant.clone(),
            encoding: normalized.encoding,
            warnings: normalized.warnings.clone(),
            timings: timings.map(|spent| u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

impl From<imaging::error::Error> for Refusal {
    fn from(error: imaging::error::Error) -> Self {
        use imaging::error::Error;
        match error {
            Error::Empty => Self::Empty,
            Error::NotAnImage => Self::NotAnImage,
            Error::Unsupported(_) => Self::Unsupported,
            Error::Dimensions { width, height, limit } => Self::Dimensions { width, height, limit },
            Error::TooComplex(why) => Self::TooComplex(why),
            Error::Truncated(why) => Self::Truncated(why),
            Error::Corrupt(why) => Self::Corrupt(why),
            Error::Encode(why) => Self::Encode(why),
        }
    }
}

/// Sends a message; waits for the other side as long as the stream's time-out for writing says.
pub(super) fn send(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let len = u32::try_from(frame.len() - 4).ok().filter(|len| *len <= MAX_BYTES);
    let len = len.ok_or_else(|| io::Error::other("the message is too long"))?;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    stream.write_all(&frame)
}

/// Receives a message, or `None` when the other side has closed before one. Without `until` it waits as long as the
/// stream's time-out for reading says; the parent's messages come whole or not at all, so that a decoder may go on then.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] when it was not whole in time, [`io::ErrorKind::InvalidData`] when it is none.
pub(super) fn receive<T: DeserializeOwned>(
    stream: &UnixStream,
    until: Option<Instant>,
) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    if !fill(stream, &mut len, until)? {
        return Ok(None);
    }
    let len = u32::from_le_bytes(len);
    if len > MAX_BYTES {
        return Err(invalid("the message is too long"));
    }
    let mut message = vec![0; len as usize];
    if !fill(stream, &mut message, until)? {
        return Err(invalid("the message ends too early"));
    }
    serde_json::from_slice(&message).map(Some).map_err(invalid)
}

/// Whether the buffer could be filled; not when the other side has closed before its first byte.
fn fill(mut stream: &UnixStream, buffer: &mut [u8], until: Option<Instant>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        if let Some(until) = until {
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(invalid("the message ends too early")),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever dies with a message unread resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && filled == 0 => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::{super::held::Landlock, *};

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(100))
    }

    #[test]
    fn what_is_sent_is_received_and_a_close_between_messages_is_an_end() {
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        let hello = Hello {
            version: "1".into(),
            address_space: 7,
            held_by: HeldBy { seccomp: true, landlock: Landlock::Partial },
        };

        send(&ours, &hello).expect("there is room");
        drop(ours);

        assert_eq!(receive::<Hello>(&theirs, soon()).expect("a message"), Some(hello));
        assert_eq!(receive::<Hello>(&theirs, soon()).expect("an end"), None);
    }

    #[test]
    fn a_message_that_is_too_long_cut_off_or_late_is_an_error_before_it_is_kept() {
        for (sent, expected) in [
            (&[0xff_u8, 0xff, 0xff, 0xff][..], io::ErrorKind::InvalidData),
            (&[1, 0, 1, 0], io::ErrorKind::InvalidData),
            (&[2, 0, 0, 0, b'{'], io::ErrorKind::TimedOut),
            (&[2, 0], io::ErrorKind::TimedOut),
            (&[2, 0, 0, 0, b'{', b']'], io::ErrorKind::InvalidData),
            (&[0, 0, 0, 0], io::ErrorKind::InvalidData),
        ] {
            let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
            ours.write_all(sent).expect("there is room");

            let answer = receive::<Hello>(&theirs, soon());

            assert_eq!(answer.expect_err("no message").kind(), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_trickle_does_not_move_the_deadline() {
        let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.write_all(&[0, 1, 0, 0]).expect("there is room");
        #[expect(clippy::disallowed_methods, reason = "somebody has to send while the test waits")]
        let trickle = std::thread::spawn(move || {
            while ours.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });

        let answer = receive::<Hello>(&theirs, soon());
        drop(theirs);

        assert_eq!(answer.expect_err("256 bytes take 5 s").kind(), io::ErrorKind::TimedOut);
        trickle.join().expect("it ends with its socket");
    }
}
