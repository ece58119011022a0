//! `darkroom normalize`: the pixels alone, as a tool for pipes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use darkroom_jobs::{ErrorCode, MAX_SOURCE_BYTES, SourceFacts};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::{WrongCall, out};
use crate::{
    config, digest,
    imaging::PresetName,
    sandbox::{self, Photo, Priority, Sandbox},
};

/// Makes clean JPEGs of files, without a queue and a bucket.
///
/// Prints a JSON line for each, on stdout, or on stderr when it is refused.
#[derive(clap::Args, Clone, Debug)]
pub struct Normalize {
    /// Files to read; `-` alone is standard input.
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// File to write; with several inputs, a folder; `-` is standard output, and the JSON line goes to stderr.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// What becomes of the pictures.
    #[arg(long, value_enum, default_value_t = PresetArg::UserPhoto)]
    pub preset: PresetArg,
    /// Longest side of the results, in px, instead of the preset's.
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub max_dimension: Option<u32>,
    /// JPEG quality of the results, instead of the preset's.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: Option<u8>,
    /// Limits and memory.
    #[command(flatten)]
    pub imaging: config::Imaging,
}

/// The preset's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum PresetArg {
    /// For photos of users.
    UserPhoto,
    /// For product images.
    Product,
}

/// Why one input gave no output.
pub(super) struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    pub detail: Option<Value>,
}

/// Runs the command. Exit 1 when a file was refused, 2 when the call is wrong.
///
/// # Errors
///
/// When an output cannot be written.
pub async fn run(args: Normalize) -> anyhow::Result<ExitCode> {
    let several = args.inputs.len() > 1;
    if several && !args.output.is_dir() {
        let folder = args.output.display();
        bail!(WrongCall(format!("with several inputs, -o must be a folder that exists: {folder}")));
    }
    let is_missing = |input: &&PathBuf| !input.is_file() && (several || !is_pipe(input));
    if let Some(missing) = args.inputs.iter().find(is_missing) {
        bail!(WrongCall(format!("there is no file {}", missing.display())));
    }
    let targets = targets(&args)?;
    let sandbox = Sandbox::new(&settings(&args));
    let preset = match args.preset {
        PresetArg::UserPhoto => PresetName::UserPhoto,
        PresetArg::Product => PresetName::Product,
    };
    let mut code = ExitCode::SUCCESS;
    for (input, target) in args.inputs.iter().zip(targets) {
        match normalize(&sandbox, input, preset).await? {
            Ok((photo, line)) => {
                if is_pipe(&target) {
                    out::bytes(&photo.normalized.jpeg)?;
                    eprintln!("{line}");
                    continue;
                }
                fs::write(&target, &photo.normalized.jpeg)
                    .with_context(|| format!("could not write {}", target.display()))?;
                out::line(line)?;
            }
            Err(refusal) => {
                eprintln!("{}", refusal.line(several.then_some(input)));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

fn settings(args: &Normalize) -> config::Imaging {
    let mut settings = args.imaging.clone();
    for preset in [&mut settings.preset_user_photo, &mut settings.preset_product] {
        preset.max_side = args.max_dimension.unwrap_or(preset.max_side);
        preset.quality = args.quality.unwrap_or(preset.quality);
    }
    settings
}

/// What is written for each input.
///
/// # Errors
///
/// [`WrongCall`] when two would be one file, or an original would be overwritten.
fn targets(args: &Normalize) -> anyhow::Result<Vec<PathBuf>> {
    let several = args.inputs.len() > 1;
    let target = |input: &PathBuf| if several { inside(&args.output, input) } else { args.output.clone() };
    let targets: Vec<_> = args.inputs.iter().map(target).collect();
    // What is not there yet, or is a pipe, overwrites nothing.
    let place = |path: &PathBuf| path.canonicalize().ok();
    let originals: Vec<_> = args.inputs.iter().filter_map(place).collect();
    for (at, target) in targets.iter().enumerate() {
        let shown = target.display();
        if targets[..at].contains(target) {
            bail!(WrongCall(format!("two of the files would both be written to {shown}")));
        }
        if place(target).is_some_and(|target| originals.contains(&target)) {
            bail!(WrongCall(format!("the original {shown} would be overwritten")));
        }
    }
    Ok(targets)
}

/// `photos/a.png` in the folder `out` is `out/a.jpg`.
fn inside(folder: &Path, input: &Path) -> PathBuf {
    folder.join(input.file_stem().unwrap_or_default()).with_added_extension("jpg")
}

async fn normalize(
    sandbox: &Sandbox,
    input: &Path,
    preset: PresetName,
) -> anyhow::Result<Result<(Photo, Value), Refusal>> {
    let original = read(input).await.with_context(|| format!("could not read {}", input.display()))?;
    if original.len() as u64 > MAX_SOURCE_BYTES {
        let message = format!("the file has more than {MAX_SOURCE_BYTES} bytes");
        return Ok(Err(Refusal { code: ErrorCode::SourceTooLarge, message, detail: None }));
    }
    let made = sandbox.normalize(original.clone(), preset, Priority::Upload, |_| {}).await;
    Ok(made.map_err(Refusal::from).map(|photo| {
        let line = line(&photo, "file", None, &original);
        (photo, line)
    }))
}

/// The whole file, or one byte more than is taken.
async fn read(input: &Path) -> std::io::Result<Bytes> {
    let mut original = Vec::new();
    let most = MAX_SOURCE_BYTES + 1;
    if is_pipe(input) {
        tokio::io::stdin().take(most).read_to_end(&mut original).await?;
    } else {
        tokio::fs::File::open(input).await?.take(most).read_to_end(&mut original).await?;
    }
    Ok(original.into())
}

/// What a receipt would say.
pub(super) fn line(
    photo: &Photo,
    source_type: &str,
    declared_type: Option<String>,
    original: &[u8],
) -> Value {
    let normalized = &photo.normalized;
    let facts = &normalized.facts;
    let source = SourceFacts {
        source_type: source_type.into(),
        detected_type: Some(facts.detected_type.into()),
        declared_type,
        size: Some(original.len() as u64),
        sha256: Some(digest::sha256(original)),
        width: Some(facts.width),
        height: Some(facts.height),
        orientation: Some(facts.orientation),
        icc: facts.icc.clone(),
        frames: Some(facts.frames),
        had_gps: Some(facts.had_gps),
    };
    json!({
        "source": source,
        "object": {
            "content_type": "image/jpeg",
            "size": normalized.jpeg.len(),
            "width": normalized.width,
            "height": normalized.height,
            "sha256": photo.sha256,
            "encoding": normalized.encoding,
        },
        "visual": { "thumbhash": facts.thumbhash, "dominant": facts.dominant },
        "warnings": normalized.warnings,
    })
}

impl From<sandbox::Error> for Refusal {
    fn from(error: sandbox::Error) -> Self {
        let message = match &error {
            sandbox::Error::Imaging(cause) => cause.to_string(),
            other => other.to_string(),
        };
        Self { code: error.code(), message, detail: error.detail() }
    }
}

impl Refusal {
    pub fn line(&self, input: Option<&PathBuf>) -> Value {
        let mut line = json!({
            "code": self.code,
            "message": self.message,
            "hint": self.code.hint(),
            "detail": self.detail,
        });
        if let Some(input) = input {
            line["input"] = json!(input);
        }
        line
    }
}
