//! `--check`: what an address would give, without a queue and without a bucket.

use std::process::ExitCode;

use darkroom_jobs::Kind;
use serde_json::{Value, json};

use super::wrong;
use crate::{
    cli::{
        normalize::{Refusal, line},
        out,
    },
    config::{self, check::of_environment},
    handlers::keep::type_mismatch,
    imaging::PresetName,
    sandbox::{Priority, Sandbox},
    sources::{error::Error, url::Fetcher},
    worker::Fatal,
};

/// Fetches and normalizes what a job of this kind would, and prints what its receipt would say; 1 when it is refused.
///
/// # Errors
///
/// When the call or a setting is wrong, or standard output cannot be written.
pub async fn run(kind: Kind, url: &str, is_json: bool) -> anyhow::Result<ExitCode> {
    let preset = match kind {
        Kind::Upload => PresetName::UserPhoto,
        Kind::Ingest => PresetName::Product,
        _ => return Err(wrong("--check is for upload and ingest")),
    };
    let fetcher = Fetcher::new(&of_environment(config::Fetch::problems)?, None).map_err(Fatal::from)?;
    let sandbox = Sandbox::new(&of_environment(config::Imaging::problems)?);
    match look(&fetcher, &sandbox, url, preset).await {
        Ok(line) if is_json => out::line(line)?,
        Ok(line) => out::line(told(&line))?,
        Err(refusal) => {
            let Refusal { code, message, .. } = &refusal;
            match is_json {
                true => eprintln!("{}", refusal.line(None)),
                false => eprintln!("{code}: {message}. {}", code.hint()),
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(fetcher: &Fetcher, sandbox: &Sandbox, url: &str, preset: PresetName) -> Result<Value, Refusal> {
    let original = fetcher.fetch(url, None).await.map_err(Error::from)?;
    let photo = sandbox.normalize(original.bytes.clone(), preset, Priority::Ingest, |_| {}).await?;
    let detected = photo.normalized.facts.detected_type;
    let mut warnings = photo.normalized.warnings.clone();
    warnings.extend(type_mismatch(original.declared_type.as_deref(), detected));
    let mut line = line(&photo, "url", original.declared_type, &original.bytes);
    line["warnings"] = json!(warnings);
    Ok(line)
}

/// For a person.
fn told(line: &Value) -> String {
    let (source, object) = (&line["source"], &line["object"]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut told = format!(
        "{}, {} × {} px, {} bytes; it would be kept as a JPEG of {} × {} px, {} bytes",
        text(&source["detected_type"]),
        source["width"],
        source["height"],
        source["size"],
        object["width"],
        object["height"],
        object["size"],
    );
    for warning in line["warnings"].as_array().into_iter().flatten() {
        told += &format!("\n{}: {}", text(&warning["code"]), text(&warning["message"]));
    }
    told
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { code: error.code(), message: error.to_string(), detail: error.detail() }
    }
}
