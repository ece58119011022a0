//! How whoever waits for a picture gives up, at any time.

use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One wait for a picture, shared by who waits and the place that works.
#[derive(Debug, Default)]
pub(super) struct Call(Mutex<CallState>);

#[derive(Debug, Default)]
struct CallState {
    given_up: bool,
    /// Of the decoder that works on it.
    control: Option<Arc<UnixStream>>,
}

/// Gives up when it is dropped.
pub(super) struct Waiting(pub Arc<Call>);

impl Call {
    /// Whether anybody still waits.
    pub fn begin(&self, control: &Arc<UnixStream>) -> bool {
        let mut state = lock(&self.0);
        state.control = Some(Arc::clone(control));
        !state.given_up
    }

    /// Whether it was given up meanwhile.
    pub fn end(&self) -> bool {
        let mut state = lock(&self.0);
        state.control = None;
        state.given_up
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        state.given_up = true;
        if let Some(control) = state.control.take() {
            // The place reads the end of the conversation then, and kills the decoder.
            let _ = control.shutdown(Shutdown::Both);
        }
    }
}

/// The state behind a lock; a panic elsewhere leaves it whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_nobody_waits_for_is_not_begun_and_who_gives_up_later_ends_the_conversation() {
        let (control, decoder) = UnixStream::pair().expect("two sockets");
        let control = Arc::new(control);
        let (early, late) = (Arc::new(Call::default()), Arc::new(Call::default()));

        drop(Waiting(Arc::clone(&early)));
        let begun = (early.begin(&control), late.begin(&control));
        drop(Waiting(Arc::clone(&late)));

        assert_eq!(begun, (false, true));
        assert!(late.end());
        decoder.set_nonblocking(true).expect("it is a socket");
        assert_eq!(std::io::Read::read(&mut &decoder, &mut [0]).expect("it has ended"), 0);
    }
}
