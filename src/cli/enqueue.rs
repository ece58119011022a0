//! `darkroom enqueue`: puts jobs into the queues.

use std::{
    io::{BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use darkroom_jobs::{
    Delete, EnqueueError, EnqueueOptions, ImageId, Ingest, JobId, Kind, OwnerId, Payload, Producer, Source,
    Status, Target, Upload,
};
use serde::Deserialize;

use crate::{
    cli::jobs::{line, producer},
    config,
};

/// How long `--wait` waits for one job: longer than all its retries take.
const WAIT: Duration = Duration::from_secs(48 * 3600);
/// Lines of a file that are pushed together.
const LINES: usize = 2_000;

/// Enqueues jobs.
#[derive(Args, Debug)]
pub struct Enqueue {
    /// upload, ingest or delete; with --from-jsonl it may be left out when each line has a `kind`.
    kind: Option<Kind>,
    /// User who owns the photo.
    #[arg(long, conflicts_with = "product_id")]
    user_id: Option<OwnerId>,
    /// Product that the image shows.
    #[arg(long)]
    product_id: Option<OwnerId>,
    /// Id of the image, a UUID; left out, a fresh one, or for a deletion everything of the owner.
    #[arg(long)]
    image_id: Option<ImageId>,
    /// Where the original is.
    #[arg(long)]
    url: Option<String>,
    /// For 24 hours the same key with the same payload is the same job.
    #[arg(long, conflicts_with = "from_jsonl")]
    idempotency_key: Option<String>,
    /// Reads one payload from each line of a file, or with `-` from standard input as they arrive.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_id", "product_id", "image_id", "url"])]
    from_jsonl: Option<PathBuf>,
    /// Waits for the receipts; exits 0 only when all are done.
    #[arg(long)]
    wait: bool,
    /// Prints JSON, one object on each line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    redis: config::Redis,
}

/// Runs the command; 1 when a job was not taken or, with `--wait`, is not done.
///
/// # Errors
///
/// When the call is wrong, the file cannot be read, or Redis cannot be reached.
pub async fn run(args: Enqueue) -> anyhow::Result<ExitCode> {
    let producer = producer(&args.redis)?;
    let mut taken = Taken { json: args.json, ids: Vec::new(), all: true };

    match &args.from_jsonl {
        Some(path) if path == Path::new("-") => from_stdin(&producer, args.kind, &mut taken).await?,
        Some(path) => from_file(&producer, args.kind, path, &mut taken).await?,
        None => taken.note(None, one(&producer, &args).await)?,
    }

    let all_done = !args.wait || wait(&producer, &taken).await?;
    Ok(if taken.all && all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of the lines so far.
struct Taken {
    json: bool,
    ids: Vec<JobId>,
    all: bool,
}

impl Taken {
    /// Prints and flushes the id, or says which line was refused and why.
    fn note(&mut self, line: Option<usize>, answer: Result<JobId, EnqueueError>) -> anyhow::Result<()> {
        match answer {
            Ok(id) if self.json => {
                println!("{}", serde_json::json!({ "line": line, "job_id": self.keep(id) }))
            }
            Ok(id) => println!("{}", self.keep(id)),
            Err(error) => {
                self.all = false;
                let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                eprintln!("{place}{}: {error}. {}", error.code(), error.code().hint());
            }
        }
        std::io::stdout().flush().context("could not write the id")
    }

    fn keep(&mut self, id: JobId) -> JobId {
        self.ids.push(id.clone());
        id
    }
}

async fn one(producer: &Producer, args: &Enqueue) -> Result<JobId, EnqueueError> {
    let options = EnqueueOptions { idempotency_key: args.idempotency_key.clone(), ..Default::default() };
    match job(args) {
        Ok((kind, json)) => producer.enqueue_json(kind, &json, options).await,
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// The job that the options describe.
fn job(args: &Enqueue) -> anyhow::Result<(Kind, String)> {
    let image_id = args.image_id.unwrap_or_else(ImageId::random);
    let source = || Ok::<_, anyhow::Error>(Source::Url { url: args.url.clone().context("give --url")? });
    let json = match args.kind.context("give upload, ingest or delete, or --from-jsonl")? {
        Kind::Upload => {
            let user_id = args.user_id.clone().context("upload needs --user-id")?;
            serde_json::to_string(&Payload::from(Upload { user_id, image_id, source: source()? }))
        }
        Kind::Ingest => {
            let product_id = args.product_id.clone().context("ingest needs --product-id")?;
            serde_json::to_string(&Payload::from(Ingest { product_id, image_id, source: source()? }))
        }
        Kind::Delete => serde_json::to_string(&Payload::from(Delete { target: target(args)? })),
        Kind::BucketHealth => bail!("health checks enqueue themselves"),
    };
    Ok((args.kind.expect("looked at above"), json?))
}

fn target(args: &Enqueue) -> anyhow::Result<Target> {
    Ok(match (args.user_id.clone(), args.product_id.clone(), args.image_id) {
        (Some(user_id), _, Some(image_id)) => Target::UserPhoto { user_id, image_id },
        (Some(user_id), _, None) => Target::User { user_id },
        (None, Some(product_id), Some(image_id)) => Target::ProductImage { product_id, image_id },
        (None, Some(product_id), None) => Target::Product { product_id },
        (None, None, _) => bail!("delete needs --user-id or --product-id"),
    })
}

/// Each line is enqueued as it arrives.
async fn from_stdin(producer: &Producer, kind: Option<Kind>, taken: &mut Taken) -> anyhow::Result<()> {
    let mut input = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tokio::io::stdin()));
    let mut number = 0;
    while let Some(line) = input.next_line().await.context("could not read standard input")? {
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match kind_of(&line, kind) {
            Ok(kind) => producer.enqueue_json(kind, &line, EnqueueOptions::default()).await,
            Err(error) => Err(error),
        };
        taken.note(Some(number), answer)?;
    }
    Ok(())
}

/// Lines of one kind that follow each other are pushed together.
async fn from_file(
    producer: &Producer,
    kind: Option<Kind>,
    path: &Path,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut run: Option<(Kind, Vec<(usize, String)>)> = None;
    for (at, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("could not read line {} of {}", at + 1, path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let kind = match kind_of(&line, kind) {
            Ok(kind) => kind,
            Err(error) => {
                taken.note(Some(at + 1), Err(error))?;
                continue;
            }
        };
        if run.as_ref().is_some_and(|(other, lines)| *other != kind || lines.len() == LINES) {
            push(producer, run.take(), taken).await?;
        }
        run.get_or_insert_with(|| (kind, Vec::new())).1.push((at + 1, line));
    }
    push(producer, run, taken).await
}

async fn push(
    producer: &Producer,
    run: Option<(Kind, Vec<(usize, String)>)>,
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let Some((kind, lines)) = run else { return Ok(()) };
    let (numbers, lines): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
    let jobs = lines.into_iter().map(|line| (line, EnqueueOptions::default()));
    let answers = producer.enqueue_json_many(kind, jobs).await.with_context(|| {
        format!("lines {} to {} may be enqueued or not", numbers[0], numbers[numbers.len() - 1])
    })?;
    for (number, answer) in numbers.into_iter().zip(answers) {
        taken.note(Some(number), answer)?;
    }
    Ok(())
}

/// The command's kind, else the line's own.
fn kind_of(line: &str, kind: Option<Kind>) -> Result<Kind, EnqueueError> {
    #[derive(Deserialize)]
    struct Line {
        kind: Kind,
    }
    let own = || serde_json::from_str::<Line>(line).map(|line| line.kind);
    kind.map_or_else(own, Ok).map_err(|error| malformed(format!("`kind` of the line: {error}")))
}

fn malformed(message: String) -> EnqueueError {
    let code = darkroom_jobs::ErrorCode::JobMalformed;
    EnqueueError::Payload(darkroom_jobs::DecodeError { code, message })
}

/// Prints each receipt; whether all are done.
async fn wait(producer: &Producer, taken: &Taken) -> anyhow::Result<bool> {
    let mut all_done = true;
    for id in &taken.ids {
        let receipt = producer.wait(id, WAIT).await?;
        all_done &= receipt.status == Status::Done;
        println!("{}", if taken.json { serde_json::to_string(&receipt)? } else { line(&receipt) });
    }
    Ok(all_done)
}
