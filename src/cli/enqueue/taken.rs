//! What became of the jobs so far: printed as it is known.

use std::path::PathBuf;

use darkroom_jobs::{EnqueueError, ErrorCode, JobId, ObjectKey};
use serde::Serialize;

use crate::cli::out;

/// Where a job comes from.
#[derive(Clone, Debug)]
pub enum Place {
    /// The options.
    Call,
    /// A line of a file, from 1.
    Line(usize),
    /// A file.
    File(PathBuf),
}

/// Why a job was not taken.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The stable word.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
}

/// The jobs so far.
pub struct Taken {
    /// Whether JSON is printed.
    pub json: bool,
    /// Those that were taken, and where they come from.
    pub jobs: Vec<(JobId, Place)>,
    /// Whether all were.
    pub all: bool,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a ObjectKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Taken {
    /// Nothing so far.
    pub fn new(json: bool) -> Self {
        Self { json, jobs: Vec::new(), all: true }
    }

    /// Prints and flushes the id, or says on standard error what was refused and why.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn note(
        &mut self,
        place: &Place,
        answer: Result<(JobId, Option<ObjectKey>), Refusal>,
    ) -> anyhow::Result<()> {
        match answer {
            Ok((id, key)) => {
                self.jobs.push((id.clone(), place.clone()));
                out::line(self.told(place, &id, key.as_ref()))
            }
            Err(refusal) => {
                self.all = false;
                eprintln!("{}", self.refused(place, &refusal));
                Ok(())
            }
        }
    }

    fn told(&self, place: &Place, id: &JobId, key: Option<&ObjectKey>) -> String {
        match place {
            _ if self.json => Told { job_id: Some(id), key, ..Told::at(place) }.json(),
            Place::File(file) => format!("{id}  {}", file.display()),
            Place::Call | Place::Line(_) => id.to_string(),
        }
    }

    fn refused(&self, place: &Place, refusal: &Refusal) -> String {
        let Refusal { code, message } = refusal;
        if self.json {
            let (code, hint) = (Some(*code), Some(code.hint()));
            return Told { code, message: Some(message), hint, ..Told::at(place) }.json();
        }
        let place = match place {
            Place::Call => String::new(),
            Place::Line(number) => format!("line {number}: "),
            Place::File(file) => format!("{}: ", file.display()),
        };
        format!("{place}{code}: {message}. {}", code.hint())
    }
}

impl Told<'_> {
    fn at(place: &Place) -> Self {
        let (line, file) = match place {
            Place::Call => (None, None),
            Place::Line(number) => (Some(*number), None),
            Place::File(file) => (None, Some(file.display().to_string())),
        };
        Self { line, file, job_id: None, key: None, code: None, message: None, hint: None }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("words and numbers are JSON")
    }
}

impl Refusal {
    /// Says that the job may have been taken all the same.
    pub fn perhaps(self, id: &JobId) -> Self {
        let message = format!("{}; job {id} may be in the queue", self.message);
        Self { message, ..self }
    }
}

impl From<EnqueueError> for Refusal {
    fn from(error: EnqueueError) -> Self {
        let code = error.code();
        Self { code, message: format!("{:#}", anyhow::Error::from(error)) }
    }
}
