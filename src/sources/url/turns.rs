//! Whose turn it is: the deployment's pace, and the note by which a job that was put off remembers the turns it has.

use std::time::Duration;

use super::{
    error::Failure,
    hosts::{Hosts, Turn},
};
use crate::{
    digest,
    queue::pace::{self, Pace},
};

/// A wait that is not worth putting a job off for.
const SHORT: Duration = Duration::from_secs(1);
/// What begins a note of ours.
const NOTE: &str = "turns:";
/// Hexadecimal digits by which a host is noted: a note has at most 1 KiB, and five names might have more.
const DIGITS: usize = 16;

/// Gives turns at hosts: those of this process, and those that Redis gives out.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    pub hosts: Hosts,
    /// `None` where there is no Redis: one URL is looked at from the command line.
    pub pace: Option<Pace>,
}

/// The hosts at which a job has had its turn given, in this delivery or an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given(Vec<String>);

impl Given {
    /// What the last delivery noted.
    pub fn read(note: Option<&str>) -> Self {
        let hosts = note.and_then(|note| note.strip_prefix(NOTE)).unwrap_or_default();
        Self(hosts.split(',').filter(|host| host.len() == DIGITS).map(str::to_owned).collect())
    }

    fn note(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("{NOTE}{}", self.0.join(",")))
    }
}

fn digits(host: &str) -> String {
    let mut digits = digest::sha256(host.as_bytes());
    digits.truncate(DIGITS);
    digits
}

impl Turns {
    /// Waits for the turn at a host, when it comes soon.
    ///
    /// # Errors
    ///
    /// [`Failure::Deferred`] when it comes later, or the host is busy or left alone; [`Failure::Queue`].
    pub async fn take(&self, host: &str, given: &mut Given) -> Result<Turn, Failure> {
        let deferred = |after, given: &Given| Failure::Deferred { after, note: given.note() };
        if let Some(after) = self.hosts.shut_for(host) {
            return Err(deferred(varied(after), given));
        }
        let digits = digits(host);
        if let Some(pace) = self.pace.as_ref().filter(|_| !given.0.contains(&digits)) {
            match pace.take(host).await.map_err(Failure::Queue)? {
                pace::Turn::In(wait) => {
                    given.0.push(digits);
                    if wait > SHORT {
                        return Err(deferred(wait, given));
                    }
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                }
                pace::Turn::Later(wait) => return Err(deferred(varied(wait), given)),
            }
        }
        self.hosts.turn(host).await.map_err(|after| deferred(varied(after), given))
    }
}

/// Up to a tenth longer, so that all who wait do not come at once.
fn varied(time: Duration) -> Duration {
    time.mul_f64(1.0 + 0.1 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_any_other_is_none_of_ours() {
        let given = Given(vec![digits("shop.com"), digits("cdn.com")]);

        let note = given.note().expect("there is something to note");

        assert_eq!(Given::read(Some(&note)), given);
        assert_eq!(Given::read(Some("second pass")), Given::default());
        assert_eq!((Given::read(None).note(), Given::read(Some("turns:")).note()), (None, None));
        assert!(5 * (DIGITS + 1) + NOTE.len() <= 1_024);
    }
}
