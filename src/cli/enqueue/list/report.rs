//! The result of a list: a table with a row for each of its rows.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use csv::Writer;
use darkroom_jobs::{Receipt, Status};
use serde_json::json;

use super::{List, Pushed, Refusal};
use crate::cli::{WrongCall, out};

/// First row.
const HEADING: &str = "row,status,job_id,key,code,hint";

/// The file of results. It repeats nothing that the merchant wrote: spreadsheets take some text for formulas.
pub struct Report {
    path: PathBuf,
    file: Writer<File>,
    /// Rows of the list that were read.
    pub rows: usize,
    /// Those that came to what was wanted.
    good: usize,
}

impl Report {
    /// Begins a new file. `replaces`: or one that has the result of an earlier run, each row of which is told again.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is there and must not be written over.
    pub fn create(path: &Path, replaces: bool) -> anyhow::Result<Self> {
        let file = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !replaces {
                    bail!(WrongCall(already(path, "name another with --result, or remove it")));
                }
                if !is_result(path)? {
                    bail!(WrongCall(already(path, "it is no result of a list: name another with --result")));
                }
                File::create(path)
            }
            made => made,
        };
        let unmade = |error| WrongCall(format!("could not make {}: {error}; see --result", path.display()));
        let file = Writer::from_writer(file.map_err(unmade)?);
        let mut report = Self { path: path.to_owned(), file, rows: 0, good: 0 };
        report.write(HEADING.split(','))?;
        Ok(report)
    }

    /// A row that became no job.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; so the others.
    pub fn refused(&mut self, number: u64, refusal: &Refusal) -> anyhow::Result<()> {
        let code = refusal.code;
        self.write([&*number.to_string(), "refused", "", "", code.as_str(), code.hint()])
    }

    /// A row that became a job.
    pub fn taken(&mut self, job: &Pushed) -> anyhow::Result<()> {
        self.good += 1;
        self.write([&*job.number.to_string(), "queued", job.id.as_str(), job.key.as_str(), "", ""])
    }

    /// A row whose job came to an end.
    pub fn ended(&mut self, job: &Pushed, receipt: &Receipt) -> anyhow::Result<()> {
        let is_done = receipt.status == Status::Done;
        self.good += usize::from(is_done);
        let key = if is_done { job.key.as_str() } else { "" };
        let (code, hint) =
            receipt.error.as_ref().map_or(("", ""), |error| (error.code.as_str(), &*error.hint));
        self.write([&*job.number.to_string(), receipt.status.as_str(), job.id.as_str(), key, code, hint])
    }

    fn write<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
        let unwritable = || format!("could not write the result {} (--result)", self.path.display());
        self.file.write_record(cells).with_context(unwritable)?;
        // Waiting takes long, and may be broken off: what is known is written.
        self.file.flush().with_context(unwritable)
    }

    /// Says how it went.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn end(self, list: &List<'_>) -> anyhow::Result<ExitCode> {
        let Self { path, rows, good, .. } = self;
        let word = if list.wait { "done" } else { "queued" };
        if list.json {
            out::line(json!({ "rows": rows, word: good, "other": rows - good, "result": path }))?;
        } else {
            let (other, path) = (rows - good, path.display());
            out::line(format_args!("{rows} rows, {good} {word}, {other} not; see {path}"))?;
        }
        Ok(if good == rows { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn already(path: &Path, then: &str) -> String {
    format!("{} is there already; {then}", path.display())
}

/// Whether a file begins as a result does, or is empty because its run was killed before that.
fn is_result(path: &Path) -> anyhow::Result<bool> {
    let unreadable = |error| WrongCall(format!("could not read {}: {error}; see --result", path.display()));
    let mut start = Vec::new();
    let heading = HEADING.len() as u64;
    File::open(path).and_then(|file| file.take(heading).read_to_end(&mut start)).map_err(unreadable)?;
    Ok(start.is_empty() || start == HEADING.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_with_the_option_that_names_it() {
        let unwritable = File::open("/dev/null").unwrap();
        let file = Writer::from_writer(unwritable);
        let mut report = Report { path: "list.result.csv".into(), file, rows: 0, good: 0 };

        let error = report.write(["2"]).unwrap_err();

        assert_eq!(error.to_string(), "could not write the result list.result.csv (--result)");
    }
}
