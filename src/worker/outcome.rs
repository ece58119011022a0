//! From how a delivery ended to its receipt and its settlement.

use std::sync::Arc;

use darkroom_jobs::{
    Class, DecodeError, ErrorCode, JobId, Kind, Receipt, ReceiptError, SourceFacts, Status, Timings,
};
use serde_json::{Value, json};

use super::{
    registry::Envelope,
    retry::{self, Fate},
};
use crate::{
    config,
    handlers::{
        context::Learnt,
        delete::SECOND_PASS,
        error::{JobError, Verdict},
        report::Report,
    },
    queue::{
        clock::later,
        delivery::ClaimedJob,
        settle::{Follower, Settlement},
    },
};

/// Bytes of an undecodable payload that its receipt shows.
const EXCERPT: usize = 4 << 10;

/// Why a delivery did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The handler says so.
    Job(JobError),
    /// The payload is no job.
    Undecodable(DecodeError),
    /// Claimed after its `expires_at`.
    Expired,
    /// Every worker that ran it died.
    Poison,
    /// The time was over.
    TimedOut,
    /// The handler panicked.
    Panicked(String),
}

/// What a settlement is made of.
pub struct Outcome<'a> {
    pub job: &'a ClaimedJob,
    pub envelope: &'a Envelope,
    pub learnt: Learnt,
    pub settings: &'a config::Worker,
}

impl Outcome<'_> {
    /// What is to be written; `None` when another delivery reports.
    pub fn settlement(&self, result: Result<Report, Failure>) -> Option<Settlement> {
        let failure = match result {
            Ok(report) => return Some(self.done(report)),
            Err(failure) => failure,
        };
        match self.verdict(&failure) {
            Verdict::Lost => None,
            Verdict::Superseded => Some(self.ended(Status::Superseded, None)),
            _ if matches!(failure, Failure::Expired) => Some(self.ended(Status::Expired, Some(&failure))),
            verdict => Some(self.failed(&failure, &verdict)),
        }
    }

    fn verdict(&self, failure: &Failure) -> Verdict {
        let from_url = self.envelope.source.as_ref().is_some_and(|source| source.type_name() == "url");
        match failure {
            Failure::Job(error) => error.verdict(from_url),
            other => Verdict::of_code(other.code(), from_url),
        }
    }

    fn done(&self, report: Report) -> Settlement {
        let mut receipt = self.receipt(Status::Done);
        receipt.attempts += 1;
        receipt.finished_at = Some(self.job.now());
        let mut follower = None;
        let second_pass = self.is_second_pass();
        match report {
            Report::Stored(object) => receipt.object = Some(object),
            Report::Deleted(deletion) => {
                receipt.deletion = Some(deletion);
                let after = self.settings.second_pass;
                follower = (!second_pass).then(|| Follower {
                    id: JobId::generate(),
                    after,
                    note: SECOND_PASS.into(),
                });
            }
            Report::Erased(deletion) => receipt.deletion = Some(deletion),
            Report::Probed => {}
        }
        let owner = self.envelope.owner.clone();
        Settlement::Done { receipt: Arc::new(receipt), announced: !second_pass, follower, owner }
    }

    /// Final without success, and nobody's failure.
    fn ended(&self, status: Status, failure: Option<&Failure>) -> Settlement {
        let mut receipt = self.receipt(status);
        receipt.finished_at = Some(self.job.now());
        receipt.error = failure.map(|failure| self.error(failure, &Verdict::Permanent));
        let owner = self.envelope.owner.clone();
        let announced = !self.is_second_pass();
        Settlement::Done { receipt: Arc::new(receipt), announced, follower: None, owner }
    }

    /// Whether it is of the pass that nobody asked for and nobody is told of.
    fn is_second_pass(&self) -> bool {
        self.job.note.as_deref() == Some(SECOND_PASS)
    }

    /// What the next delivery is told. A turn at a host is spent once it was used, so a picture's note is taken back; the note of a deletion
    /// is its progress, and stays.
    fn left(&self, note: Option<String>) -> Option<String> {
        match self.job.kind {
            Kind::Upload | Kind::Ingest => Some(note.unwrap_or_default()),
            Kind::Delete | Kind::BucketHealth => note,
        }
    }

    fn failed(&self, failure: &Failure, verdict: &Verdict) -> Settlement {
        let fate = match (failure, retry::fate(verdict, self.job, self.settings)) {
            (Failure::Undecodable(_), Fate::Again { counted, note, deferred, .. }) => {
                Fate::Again { after: retry::VERSION_STEP, counted, note, deferred }
            }
            (_, fate) => fate,
        };
        let (after, counted, note, deferred) = match fate {
            Fate::Again { after, counted, note, deferred } => (after, counted, self.left(note), deferred),
            Fate::Dead => return self.dead(failure, verdict),
        };
        let mut receipt = self.receipt(if deferred { Status::Queued } else { Status::Retrying });
        receipt.attempts += u32::from(counted);
        receipt.next_attempt_at = Some(later(self.job.now(), after));
        receipt.error = (!deferred).then(|| self.error(failure, verdict));
        Settlement::Again { receipt: Arc::new(receipt), after, note, deferred }
    }

    fn dead(&self, failure: &Failure, verdict: &Verdict) -> Settlement {
        let mut receipt = self.receipt(Status::Failed);
        receipt.attempts = self.attempt(failure);
        receipt.finished_at = Some(self.job.now());
        receipt.error = Some(self.error(failure, verdict));
        let excerpt = (self.job.payload_bytes > self.job.payload.len()).then_some(EXCERPT);
        let owner = self.envelope.owner.clone();
        Settlement::Dead { receipt: Arc::new(receipt), announced: !self.is_second_pass(), excerpt, owner }
    }

    /// The number of this attempt; of one that died with its worker too often, which nobody made again, that of the last.
    fn attempt(&self, failure: &Failure) -> u32 {
        self.job.attempts + u32::from(!matches!(failure, Failure::Poison))
    }

    fn receipt(&self, status: Status) -> Receipt {
        let job = self.job;
        let mut receipt = Receipt::new(job.id.clone(), job.kind, status);
        receipt.attempts = job.attempts;
        receipt.deliveries = job.deliveries;
        receipt.enqueued_at = Some(job.enqueued_at);
        receipt.deletion = self.learnt.deletion.clone();
        receipt.timings_ms.queue = Some(job.claimed_at.unix_ms().saturating_sub(job.ready_at.unix_ms()));
        if self.learnt.owner_erased_at.is_some() {
            return receipt;
        }
        receipt.source = self.learnt.source.clone().or_else(|| self.named_source());
        receipt.visual = self.learnt.visual.clone();
        receipt.warnings = self.learnt.warnings.clone();
        let queue = receipt.timings_ms.queue;
        receipt.timings_ms = Timings { queue, ..self.learnt.timings.clone() };
        receipt.context = self.envelope.context.clone();
        receipt
    }

    /// What the payload tells of an original that nobody has seen.
    fn named_source(&self) -> Option<SourceFacts> {
        let source = self.envelope.source.as_ref()?;
        Some(SourceFacts { source_type: source.type_name().into(), ..SourceFacts::default() })
    }

    fn error(&self, failure: &Failure, verdict: &Verdict) -> ReceiptError {
        let code = failure.code();
        let (class, tries) = match verdict {
            Verdict::Permanent => (Class::Permanent, Some(1)),
            Verdict::Retry { tries: Some(tries) } => (Class::Conditional, Some(*tries)),
            _ => (Class::Transient, None),
        };
        ReceiptError {
            code,
            class,
            blame: code.blame(),
            attempt: self.attempt(failure),
            max_attempts: retry::max_attempts(self.job, tries, self.settings),
            message: failure.message(),
            hint: code.hint().into(),
            detail: failure.detail(self.job),
        }
    }
}

impl Failure {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Job(error) => error.code(),
            Self::Undecodable(error) => error.code,
            Self::Expired => ErrorCode::JobExpired,
            Self::Poison => ErrorCode::Poison,
            Self::TimedOut => ErrorCode::JobTimeout,
            Self::Panicked(_) => ErrorCode::Internal,
        }
    }

    /// The error and what caused it, once.
    fn message(&self) -> String {
        let error: &dyn std::error::Error = match self {
            Self::Job(error) => error,
            Self::Undecodable(error) => error,
            Self::Expired => return "claimed after its expires_at".into(),
            Self::Poison => return "the workers that ran it died, or were cut off, eight times".into(),
            Self::TimedOut => return "the job took longer than it may".into(),
            Self::Panicked(message) => return format!("the handler panicked: {message}"),
        };
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    fn detail(&self, job: &ClaimedJob) -> Option<Value> {
        match self {
            Self::Job(error) => error.detail(),
            Self::Undecodable(_) => {
                let raw = &job.payload[..job.payload.len().min(EXCERPT)];
                Some(json!({ "payload": String::from_utf8_lossy(raw) }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::retry::tests::settings;

    /// What `ask` finds at a delivery of a job with a note.
    fn asked<T>(kind: Kind, note: Option<&str>, ask: impl FnOnce(&Outcome<'_>) -> T) -> T {
        let job = ClaimedJob { note: note.map(str::to_owned), ..ClaimedJob::fresh(kind) };
        let (envelope, settings) = (Envelope::default(), settings());
        ask(&Outcome { job: &job, envelope: &envelope, learnt: Learnt::default(), settings: &settings })
    }

    #[test]
    fn a_picture_takes_its_note_back_and_a_deletion_keeps_its_progress() {
        let left =
            |kind, note: Option<&str>| asked(kind, None, |outcome| outcome.left(note.map(str::to_owned)));

        assert_eq!(left(Kind::Ingest, None).as_deref(), Some(""));
        assert_eq!(left(Kind::Ingest, Some("turns:1")).as_deref(), Some("turns:1"));
        assert_eq!(left(Kind::Delete, None), None);
    }

    #[test]
    fn however_the_second_pass_of_a_deletion_ends_nobody_is_told() {
        for (note, told) in [(None, true), (Some(SECOND_PASS), false)] {
            let ended = |failure| asked(Kind::Delete, note, |outcome| outcome.settlement(Err(failure)));

            let (dead, expired) = (ended(Failure::Poison), ended(Failure::Expired));

            assert!(
                matches!(dead, Some(Settlement::Dead { announced, .. }) if announced == told),
                "{note:?}: {dead:?}"
            );
            assert!(
                matches!(expired, Some(Settlement::Done { announced, .. }) if announced == told),
                "{note:?}: {expired:?}"
            );
        }
    }
}
