//! Payloads that are lines of a file, or of standard input.

use std::{io::BufRead, path::Path};

use anyhow::{Context, bail, ensure};
use darkroom_jobs::{ErrorCode, Kind, Producer};
use serde::Deserialize;

use super::{
    push,
    taken::{Place, Refusal, Taken},
};
use crate::cli::WrongCall;

/// Lines of a file that are pushed together.
const LINES: usize = 2_000;

/// Each line is enqueued as it arrives.
///
/// # Errors
///
/// When standard input cannot be read.
pub async fn from_stdin(producer: &Producer, kind: Option<Kind>, taken: &mut Taken) -> anyhow::Result<()> {
    let mut input = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tokio::io::stdin()));
    let mut number = 0;
    while let Some(line) = input.next_line().await.context("could not read standard input")? {
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match kind_of(&line, kind) {
            Ok(kind) => push::one(producer, kind, &line, None).await,
            Err(refusal) => Err(refusal),
        };
        taken.note(&Place::Line(number), answer.map(|id| (id, None)))?;
    }
    Ok(())
}

/// Lines of one kind that follow each other are pushed together.
///
/// # Errors
///
/// When the file cannot be read; when Redis does not answer, after it was said which jobs may be in the queue.
pub async fn from_file(
    producer: &Producer,
    kind: Option<Kind>,
    path: &Path,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) => bail!(WrongCall(format!("could not open {}: {error}", path.display()))),
    };
    let mut run: Option<(Kind, Vec<(usize, String)>)> = None;
    for (at, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("could not read line {} of {}", at + 1, path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let kind = match kind_of(&line, kind) {
            Ok(kind) => kind,
            Err(refusal) => {
                taken.note(&Place::Line(at + 1), Err(refusal))?;
                continue;
            }
        };
        if run.as_ref().is_some_and(|(other, lines)| *other != kind || lines.len() == LINES) {
            push_run(producer, run.take(), taken).await?;
        }
        run.get_or_insert_with(|| (kind, Vec::new())).1.push((at + 1, line));
    }
    push_run(producer, run, taken).await
}

async fn push_run(
    producer: &Producer,
    run: Option<(Kind, Vec<(usize, String)>)>,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let Some((kind, lines)) = run else { return Ok(()) };
    let job = |(number, payload)| (number, push::Job { payload, idempotency_key: None });
    let (numbers, jobs): (Vec<_>, Vec<_>) = lines.into_iter().map(job).unzip();
    let (answers, answered) = match push::many(producer, kind, jobs).await {
        Ok(answers) => (answers, true),
        Err(refusals) => (refusals.into_iter().map(Err).collect(), false),
    };
    let last = numbers.last().copied().unwrap_or_default();
    for (number, answer) in numbers.into_iter().zip(answers) {
        taken.note(&Place::Line(number), answer.map(|id| (id, None)))?;
    }
    ensure!(answered, "lines after line {last} were not tried");
    Ok(())
}

/// The command's kind, else the line's own.
fn kind_of(line: &str, kind: Option<Kind>) -> Result<Kind, Refusal> {
    #[derive(Deserialize)]
    struct Line {
        kind: Kind,
    }
    let own = || serde_json::from_str::<Line>(line).map(|line| line.kind);
    kind.map_or_else(own, Ok).map_err(|error| Refusal {
        code: ErrorCode::JobMalformed,
        message: format!("`kind` of the line: {error}"),
    })
}
