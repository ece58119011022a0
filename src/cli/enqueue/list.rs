//! A merchant's list: a table of products and addresses, each row of which becomes a job and a row of the result.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, IsTerminal as _, Read as _, Seek as _, SeekFrom},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use darkroom_jobs::{ErrorCode, ImageId, JobId, Kind, ObjectKey, OwnerId, Producer, Source};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};

use super::{Owner, WAIT, push, taken::Refusal};
use crate::{
    cli::{WrongCall, connect},
    config,
};
use report::Report;

mod report;

/// Most rows of a list: they are remembered until their receipts are there.
const MAX_ROWS: usize = 100_000;
/// Rows that are pushed together.
const TOGETHER: usize = 500;
/// Most bytes of an idempotency key: one of 255 has room for the number of a row behind it.
const MAX_KEY: usize = 240;

/// A list, and what is wanted of it.
pub struct List<'a> {
    /// The table.
    pub path: &'a Path,
    /// Where its result is written.
    pub result: Option<&'a Path>,
    /// What the idempotency key of each row begins with; without one a list that is run again is enqueued anew.
    pub key: Option<&'a str>,
    /// Whether the result says what became of the jobs, and not only that they were taken.
    pub wait: bool,
    /// Whether the summary is JSON.
    pub json: bool,
}

/// A row of the list that can be pushed.
struct Row {
    number: u64,
    payload: String,
    key: ObjectKey,
}

/// A job that was taken.
struct Pushed {
    number: u64,
    id: JobId,
    key: ObjectKey,
}

/// Where the columns are.
struct Columns {
    product_id: usize,
    url: usize,
    image_id: Option<usize>,
}

impl List<'_> {
    /// Enqueues each row, and writes what became of it; 1 when one was refused or, with `wait`, is not done. Doing it
    /// again enqueues the same pictures under the same keys, which is harmless; with an idempotency key it enqueues
    /// only what is not there, and every row is told with the job that it has.
    ///
    /// # Errors
    ///
    /// When the call is wrong, a file cannot be read or written, or Redis does not answer.
    pub async fn enqueue(
        &self,
        redis: &config::Redis,
        attempts: &config::Attempts,
    ) -> anyhow::Result<ExitCode> {
        if let Some(key) = self.key.filter(|key| !(1..=MAX_KEY).contains(&key.len())) {
            let length = key.len();
            bail!(WrongCall(format!("--idempotency-key of a list has 1 to {MAX_KEY} bytes, got {length}")));
        }
        let mut table = self.open()?;
        let columns = columns(table.headers().context("could not read the heading of the list")?)?;
        let size = self.open()?.records().take(MAX_ROWS + 1).count();
        if size > MAX_ROWS {
            bail!(WrongCall(format!("a list has at most {MAX_ROWS} rows: split it")));
        }
        let producer = &attempts.given_by(connect::producer_let_in(redis).await?);
        let result = self.result.map_or_else(|| self.path.with_added_extension("result.csv"), Path::to_owned);
        let mut report = Report::create(&result, self.key.is_some())?;
        let (mut pushed, mut rows) = (Vec::new(), Vec::new());
        let bar = bar(size, "rows");
        for record in table.records() {
            report.rows += 1;
            match readable(record)?.and_then(|record| columns.row(&record)) {
                Ok(row) => rows.push(row),
                Err((number, refusal)) => report.refused(number, &refusal)?,
            }
            if rows.len() == TOGETHER {
                self.push(producer, std::mem::take(&mut rows), &mut report, &mut pushed).await?;
            }
            bar.inc(1);
        }
        self.push(producer, rows, &mut report, &mut pushed).await?;
        bar.finish_and_clear();
        if self.wait {
            wait(producer, pushed, &mut report).await?;
        }
        report.end(self)
    }

    /// A table whose cells are parted by commas, or by semicolons as some spreadsheets do.
    fn open(&self) -> anyhow::Result<csv::Reader<BufReader<File>>> {
        let unreadable =
            |error: std::io::Error| WrongCall(format!("could not open {}: {error}", self.path.display()));
        let mut file = File::open(self.path).map_err(unreadable)?;
        let mut start = [0; 1024];
        let bytes = file.read(&mut start).map_err(unreadable)?;
        let has_mark = start.starts_with(b"\xef\xbb\xbf");
        file.seek(SeekFrom::Start(if has_mark { 3 } else { 0 })).map_err(unreadable)?;
        let heading = start[..bytes].split(|b| *b == b'\n').next().unwrap_or_default();
        let delimiter = if heading.contains(&b';') && !heading.contains(&b',') { b';' } else { b',' };
        let mut table = ReaderBuilder::new();
        table.flexible(true).trim(Trim::All).delimiter(delimiter);
        Ok(table.from_reader(BufReader::new(file)))
    }

    async fn push(
        &self,
        producer: &Producer,
        rows: Vec<Row>,
        report: &mut Report,
        pushed: &mut Vec<Pushed>,
    ) -> anyhow::Result<()> {
        let job = |row: &Row| push::Job {
            payload: row.payload.clone(),
            idempotency_key: self.key.map(|key| format!("{key}/{}", row.number)),
        };
        let jobs = rows.iter().map(job).collect();
        let (answers, answered) = match push::many(producer, Kind::Ingest, jobs).await {
            Ok(answers) => (answers, true),
            Err(refusals) => (refusals.into_iter().map(Err).collect::<Vec<_>>(), false),
        };
        let last = rows.last().map_or(0, |row| row.number);
        for (row, answer) in rows.into_iter().zip(answers) {
            match answer {
                Ok(id) => {
                    let job = Pushed { number: row.number, id, key: row.key };
                    if self.wait {
                        pushed.push(job);
                    } else {
                        report.taken(&job)?;
                    }
                }
                Err(refusal) => report.refused(row.number, &refusal)?,
            }
        }
        let again = if self.key.is_some() { "; run it again, no row is enqueued twice" } else { "" };
        ensure!(answered, "rows after row {last} were not tried{again}");
        Ok(())
    }
}

/// Writes what became of each job, in the order of the list.
async fn wait(producer: &Producer, pushed: Vec<Pushed>, report: &mut Report) -> anyhow::Result<()> {
    let bar = bar(pushed.len(), "receipts");
    for job in pushed {
        let receipt = producer.wait(&job.id, WAIT).await?;
        report.ended(&job, &receipt)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// A row that is no UTF-8 is refused alone.
fn readable(record: csv::Result<StringRecord>) -> anyhow::Result<Result<StringRecord, (u64, Refusal)>> {
    let error = match record {
        Ok(record) => return Ok(Ok(record)),
        Err(error) => error,
    };
    match error.kind() {
        csv::ErrorKind::Utf8 { pos: Some(at), .. } => {
            let message = "the row is not UTF-8".to_owned();
            Ok(Err((at.record() + 1, Refusal { code: ErrorCode::JobMalformed, message })))
        }
        _ => Err(error).context("could not read a row of the list"),
    }
}

fn columns(heading: &StringRecord) -> anyhow::Result<Columns> {
    let at: HashMap<_, _> =
        heading.iter().enumerate().map(|(at, name)| (name.to_ascii_lowercase(), at)).collect();
    let column = |name: &str| at.get(name).copied();
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            WrongCall(format!("the list has no column {name}: its first row names the columns"))
        })
    };
    Ok(Columns { product_id: needed("product_id")?, url: needed("url")?, image_id: column("image_id") })
}

impl Columns {
    /// The job of a row; the heading is row 1.
    fn row(&self, record: &StringRecord) -> Result<Row, (u64, Refusal)> {
        let number = record.position().map_or(0, |at| at.record() + 1);
        let refused = |code, message: String| (number, Refusal { code, message });
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let (product, url) = (cell(self.product_id), cell(self.url));
        let product_id: OwnerId =
            product.parse().map_err(|_| refused(ErrorCode::IdInvalid, "product_id".into()))?;
        if url.is_empty() {
            return Err(refused(ErrorCode::UrlMalformed, "url is empty".into()));
        }
        let image_id = match self.image_id.map(cell).filter(|id| !id.is_empty()) {
            Some(id) => id.parse().map_err(|_| refused(ErrorCode::IdInvalid, "image_id".into()))?,
            None => image_id_of(product, url),
        };
        let owner = Owner::Product(product_id);
        let job = owner.job(image_id, Source::Url { url: url.to_owned() });
        let (payload, key) = job.map_err(|error| refused(ErrorCode::JobMalformed, error.to_string()))?;
        Ok(Row { number, payload, key })
    }
}

/// The same product and address are the same picture, however often a list is read: a UUID (version 8) of their hash.
fn image_id_of(product: &str, url: &str) -> ImageId {
    let digest = Sha256::digest(format!("darkroom list\n{product}\n{url}"));
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a SHA-256 has 32 bytes");
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let id = crate::digest::hex(&bytes);
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    id.parse().expect("it has the form of a UUID")
}

/// Shown on a terminal alone.
fn bar(length: usize, of: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {of}, {{eta}} left"));
    ProgressBar::new(length as u64).with_style(style.expect("our own template parses"))
}
