//! Bodies as they come: how long they may be, how slow, and what is read of one that was refused.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{BodyDataStream, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use darkroom_jobs::{ErrorCode, MAX_SOURCE_BYTES};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Reservation, malformed};
use crate::http::problem::{HttpCode, Problem};

/// Bytes a second that have to come in each [`WINDOW`]; the rest of a body may be less.
const PACE: u64 = 16 << 10;
const WINDOW: Duration = Duration::from_secs(10);
/// Longest time that a body may take.
const MOST_TIME: Duration = Duration::from_secs(120);
/// What the wrapping of a multipart body may take beside the original, bytes.
const WRAPPING: u64 = 64 << 10;
/// Largest body of JSON with jobs, bytes.
const MAX_JOBS: u64 = 16 << 20;
/// Largest body of JSON with anything else, bytes.
const MAX_JSON: u64 = 64 << 10;
/// What is read of a body that was refused, so that its sender gets to read the answer.
const DRAINED: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What a route takes, and what it says about more.
#[derive(Clone, Copy)]
pub struct Limit {
    pub bytes: u64,
    /// Memory that a byte of it takes until the request is answered, bytes.
    pub weight: u64,
    /// Bytes that have to come in each window.
    pub pace: u64,
    pub window: Duration,
    /// For all of the body.
    pub time: Duration,
    /// What is said of a body that is too long.
    pub exceeded: fn() -> Problem,
}

/// An original as the body itself.
pub const ORIGINAL: Limit = Limit {
    bytes: MAX_SOURCE_BYTES,
    weight: 1,
    pace: PACE * WINDOW.as_secs(),
    window: WINDOW,
    time: MOST_TIME,
    exceeded: original_too_large,
};
/// An original in a form.
pub const MULTIPART: Limit = Limit { bytes: MAX_SOURCE_BYTES + WRAPPING, ..ORIGINAL };
/// Jobs. Beside the text there are the jobs that are cut out of it, and what is being sent to Redis: 79 MB were measured for 15 MiB.
pub const JOBS: Limit = Limit { bytes: MAX_JOBS, weight: 5, exceeded: jobs_too_large, ..ORIGINAL };
/// Any other JSON.
pub const JSON: Limit = Limit { bytes: MAX_JSON, exceeded: json_too_large, ..ORIGINAL };

/// More than an original may have.
pub fn original_too_large() -> Problem {
    let detail = format!("an original has at most {MAX_SOURCE_BYTES} bytes");
    Problem::job(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SourceTooLarge, detail).of("body")
}

fn jobs_too_large() -> Problem {
    too_large(MAX_JOBS)
}

fn json_too_large() -> Problem {
    too_large(MAX_JSON)
}

fn too_large(most: u64) -> Problem {
    let detail = format!("this body of JSON has at most {most} bytes");
    Problem::http(StatusCode::PAYLOAD_TOO_LARGE, HttpCode::RequestTooLarge, detail).of("body")
}

/// The body as it comes, until it is too long, too slow, or broken, or the memory for it is used up.
pub fn metered(
    body: BodyDataStream,
    limit: Limit,
    reservation: Arc<Reservation>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    struct Seen {
        body: BodyDataStream,
        reservation: Arc<Reservation>,
        all: u64,
        in_window: u64,
        window_began: Instant,
    }

    let begun = Instant::now();
    let seen = Seen { body, reservation, all: 0, in_window: 0, window_began: begun };
    stream::try_unfold(seen, move |mut seen| async move {
        let due = (begun + limit.time).min(seen.window_began + limit.window);
        let next = timeout_at(due, seen.body.next()).await.map_err(|_| too_slow())?;
        let Some(chunk) = next else { return Ok(None) };
        let chunk = chunk.map_err(|error| malformed(format!("the body broke off: {error}")))?;
        seen.all += chunk.len() as u64;
        if seen.all > limit.bytes {
            drain(seen.body).await;
            return Err((limit.exceeded)());
        }
        if let Err(full) = seen.reservation.hold(seen.all * limit.weight) {
            drain(seen.body).await;
            return Err(full);
        }
        seen.in_window += chunk.len() as u64;
        if seen.in_window >= limit.pace {
            (seen.in_window, seen.window_began) = (0, Instant::now());
        }
        Ok(Some((chunk, seen)))
    })
}

/// Reads on for a while: a sender that is still writing when the connection closes would never read why. One that waits to
/// be asked for its body (`Expect: 100-continue`) is not asked.
pub async fn refuse(request: Request, problem: Problem) -> Problem {
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body().into_data_stream()).await;
    }
    problem
}

async fn drain(mut body: BodyDataStream) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = body.next().await {
            read += chunk.len();
            if read > DRAINED {
                return;
            }
        }
    };
    // In time or not: the answer follows.
    let _ = timeout(DRAIN_TIME, reading).await;
}

/// The length that is announced, bytes.
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_slow() -> Problem {
    let detail = format!(
        "the body did not come in time: at least {} KiB a second, and all of it within {} s",
        PACE >> 10,
        MOST_TIME.as_secs()
    );
    Problem::http(StatusCode::REQUEST_TIMEOUT, HttpCode::RequestInvalid, detail).of("body")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::http::body::Memory;

    const SHORT: Limit =
        Limit { pace: 100, window: Duration::from_millis(400), time: Duration::from_secs(2), ..ORIGINAL };

    fn admitted() -> Arc<Reservation> {
        Arc::new(Memory::new(u64::MAX, 1).admit(0).unwrap())
    }

    /// Pieces of so many bytes, with a pause before each; how much of them was taken.
    async fn read(pieces: usize, bytes: usize, pause_ms: u64, limit: Limit) -> Result<usize, Problem> {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes]))
        });
        let mut body =
            std::pin::pin!(metered(Body::from_stream(pieces).into_data_stream(), limit, admitted()));
        let mut taken = 0;
        while let Some(piece) = body.next().await {
            taken += piece?.len();
        }
        Ok(taken)
    }

    fn is_too_slow(read: Result<usize, Problem>) -> bool {
        read.is_err_and(|problem| problem.to_string().contains("did not come in time"))
    }

    #[tokio::test]
    async fn a_body_that_drips_is_given_up_although_it_never_stands_still() {
        let begun = Instant::now();

        assert!(is_too_slow(read(10_000, 1, 5, SHORT).await));

        assert!(begun.elapsed() < SHORT.time, "it was given up for its length");
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up_wherever_it_does() {
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![7; 1_000]))]);
        let body = body.chain(stream::pending());
        let mut body = std::pin::pin!(metered(Body::from_stream(body).into_data_stream(), SHORT, admitted()));

        assert!(body.next().await.unwrap().is_ok());

        assert!(body.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_body_at_the_least_pace_is_taken_and_its_end_may_be_short() {
        assert_eq!(read(21, 60, 50, SHORT).await.unwrap(), 1_260);
        assert_eq!(read(1, 1, 50, SHORT).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_body_that_takes_too_long_in_all_is_given_up_at_any_pace() {
        assert!(is_too_slow(read(100, 1_000, 50, SHORT).await));
    }
}
