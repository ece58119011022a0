//! Places where pictures are made: a thread and a decoder each, as many as there are cores.
//!
//! A thread, because a decoder dies with the thread that started it, and because all that is done with one blocks. A
//! place starts its next decoder as soon as one has died, so that the next picture finds it ready.

use std::{
    collections::VecDeque,
    error::Error as _,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{Span, error, info, warn};

use super::{
    Error, Photo,
    call::{Call, Waiting, lock},
    decoder::{Death, Decoder, Failure, Program, StartError},
    held::HeldBy,
    metrics::Metrics,
};
use crate::imaging::{Limits, Preset, header::Header};

/// At least so long between two starts of a place: files that kill decoders must not keep a machine busy with starting.
const BETWEEN_STARTS: Duration = Duration::from_millis(100);
/// Longest pause after starts that failed; the first is [`BETWEEN_STARTS`], and each is twice the one before.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A picture to be made.
#[derive(Debug)]
pub(super) struct Work {
    pub original: Bytes,
    pub header: Header,
    pub preset: Preset,
    pub limits: Limits,
    /// Set aside for it, bytes.
    pub memory: u64,
}

/// All places. Dropping it ends the decoders and waits for them.
#[derive(Debug)]
pub(super) struct Places {
    board: Arc<Board>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    most: usize,
}

/// What places share.
#[derive(Debug)]
struct Board {
    program: Program,
    deadline: Duration,
    metrics: Metrics,
    state: Mutex<State>,
    /// One place is woken for each order.
    work: Condvar,
    /// Those that have no decoder are woken when the places close, and when nobody else can answer.
    rest: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Order>,
    /// Places that were opened.
    places: usize,
    /// Places with a picture in work.
    busy: usize,
    /// Places whose decoder is ready or at work.
    ready: usize,
    /// Whether the next decoder that is ready is to be told of.
    untold: bool,
    closed: bool,
}

/// Counts a place until it is dropped.
struct Counted<'a> {
    board: &'a Board,
    count: fn(&mut State) -> &mut usize,
}

/// Work that somebody waits for, and what is held meanwhile.
struct Order {
    work: Work,
    held: Box<dyn Send>,
    answer: oneshot::Sender<Result<Photo, Error>>,
    call: Arc<Call>,
    span: Span,
}

impl Places {
    /// None is open yet.
    pub fn new(program: Program, most: usize, deadline: Duration, metrics: Metrics) -> Self {
        let state = Mutex::default();
        let (work, rest) = (Condvar::new(), Condvar::new());
        let board = Arc::new(Board { program, deadline, metrics, state, work, rest });
        Self { board, threads: Mutex::default(), most }
    }

    /// Has a picture made at the next free place. `held` is dropped when no decoder works on it any more; dropping the
    /// future kills the one that does.
    pub async fn make(&self, work: Work, held: impl Send + 'static) -> Result<Photo, Error> {
        let (answer, answered) = oneshot::channel();
        let call = Arc::new(Call::default());
        let _waiting = Waiting(Arc::clone(&call));
        self.submit(Order { work, held: Box::new(held), answer, call, span: Span::current() });
        answered.await.unwrap_or(Err(Error::Crashed))
    }

    /// Opens all places, so that the first pictures find decoders that are ready; what holds them is logged.
    pub fn open_all(&self) {
        let mut state = self.board.lock();
        let missing = self.most - state.places;
        (state.places, state.untold) = (self.most, true);
        drop(state);
        for _ in 0..missing {
            self.open();
        }
    }

    fn submit(&self, order: Order) {
        let mut state = self.board.lock();
        state.waiting.push_back(order);
        let short = state.waiting.len() > state.places - state.busy && state.places < self.most;
        if short {
            state.places += 1;
        }
        let nobody_is_ready = state.ready == 0;
        drop(state);
        self.board.work.notify_one();
        if nobody_is_ready {
            self.board.rest.notify_all();
        }
        if short {
            self.open();
        }
    }

    /// Starts the thread of a place that was counted already.
    fn open(&self) {
        let board = Arc::clone(&self.board);
        let thread = thread::Builder::new().name("decoder".into()).spawn(move || board.serve_for_ever());
        match thread {
            Ok(thread) => lock(&self.threads).push(thread),
            Err(cause) => {
                error!(error = %cause, "place for decoding not opened");
                let mut state = self.board.lock();
                state.places -= 1;
                let left =
                    if state.places == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
                drop(state);
                left.into_iter().for_each(|order| order.end(Err(Error::NoDecoder)));
            }
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.board.lock().closed = true;
        self.board.work.notify_all();
        self.board.rest.notify_all();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // Its panic was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Board {
    /// Until the places close, whatever happens: a place that is lost is missed until the process ends.
    fn serve_for_ever(&self) {
        while panic::catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            error!("place for decoding failed and was opened again");
        }
    }

    fn serve(&self) {
        let mut pause = BETWEEN_STARTS;
        while !self.lock().closed {
            match Decoder::start(&self.program) {
                Ok(decoder) => {
                    pause = BETWEEN_STARTS;
                    let started = Instant::now();
                    self.work_with(decoder);
                    self.rest(started + BETWEEN_STARTS);
                }
                Err(error) => {
                    self.refuse(Instant::now() + pause, &error);
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Until the decoder died, has done enough, or nobody needs it any more.
    fn work_with(&self, mut decoder: Decoder) {
        let _ready = self.ready();
        let _counted = self.metrics.decoder(decoder.held_by());
        if std::mem::take(&mut self.lock().untold) {
            tell(decoder.held_by());
        }
        while let Some((order, busy)) = self.next() {
            let Some(alive) = self.make(decoder, order, busy) else { return };
            decoder = alive;
            if decoder.is_spent() {
                return;
            }
        }
    }

    /// Makes one picture; the decoder comes back if it is still of use.
    fn make(&self, mut decoder: Decoder, order: Order, busy: Counted<'_>) -> Option<Decoder> {
        if decoder.is_gone() {
            // No picture is to blame for that: the next decoder makes it.
            warn!(decoder.words = decoder.last_words(), "decoder died idle");
            drop(busy);
            self.lock().waiting.push_front(order);
            self.work.notify_one();
            return None;
        }
        if !order.call.begin(decoder.control()) {
            return Some(decoder);
        }
        let made = decoder.make(&order.work, self.deadline);
        let given_up = order.call.end();
        let (answer, alive) = match made {
            // The conversation is over even if the answer came in time.
            _ if given_up => {
                drop(decoder);
                (Err(Error::Crashed), None)
            }
            Ok(answer) => (answer, Some(decoder)),
            Err(failure) => (Err(self.bury(decoder, &failure, &order.span)), None),
        };
        // First: whoever has the answer may ask for the next picture at once.
        drop(busy);
        order.end(answer);
        alive
    }

    fn bury(&self, decoder: Decoder, failure: &Failure, span: &Span) -> Error {
        let Death { error, how, words } = decoder.end(failure, self.deadline);
        if matches!(failure, Failure::Machine(_)) {
            span.in_scope(|| {
                error!(error = how, "decoder given up: the machine refused what a picture needs")
            });
            return error;
        }
        self.metrics.died(error.code());
        span.in_scope(|| {
            warn!(error.code = %error.code(), decoder.end = how, decoder.words = words, "decoder died");
        });
        error
    }

    /// The next work; none when the places close.
    fn next(&self) -> Option<(Order, Counted<'_>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(order) = state.waiting.pop_front() {
                state.busy += 1;
                return Some((order, Counted { board: self, count: |state| &mut state.busy }));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Until then tells all who wait that there is no decoder, if no other place has one.
    fn refuse(&self, until: Instant, error: &StartError) {
        let cause = error.source().map(ToString::to_string);
        error!(error = %error, error.cause = cause, "decoder not started");
        loop {
            let mut state = self.lock();
            let left = if state.ready == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            drop(state);
            left.into_iter().for_each(|order| order.end(Err(Error::NoDecoder)));
            if !self.wait(until) {
                return;
            }
        }
    }

    /// Returns at that time, or when the places close.
    fn rest(&self, until: Instant) {
        while self.wait(until) {}
    }

    /// Waits for a change; false when it is time, or the places close.
    fn wait(&self, until: Instant) -> bool {
        let state = self.lock();
        let left = until.saturating_duration_since(Instant::now());
        if state.closed || left.is_zero() {
            return false;
        }
        drop(self.rest.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner));
        true
    }

    fn ready(&self) -> Counted<'_> {
        self.lock().ready += 1;
        Counted { board: self, count: |state| &mut state.ready }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *(self.count)(&mut self.board.lock()) -= 1;
    }
}

fn tell(held_by: HeldBy) {
    let HeldBy { seccomp, landlock } = held_by;
    if held_by.is_whole() {
        info!(decoder.seccomp = seccomp, decoder.landlock = ?landlock, "decoders started");
    } else {
        warn!(
            decoder.seccomp = seccomp,
            decoder.landlock = ?landlock,
            "decoders started with less around them"
        );
    }
}

impl Order {
    fn end(self, answer: Result<Photo, Error>) {
        drop(self.held);
        // Whoever gave up does not listen.
        let _ = self.answer.send(answer);
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("work", &self.work).finish_non_exhaustive()
    }
}
