//! `darkroom schema`: the JSON Schemas of jobs, receipts and events.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use darkroom_jobs::schema;
use serde_json::{Map, Value};

use super::out;

/// Prints the JSON Schemas of everything on the wire.
#[derive(Args, Debug)]
pub struct Schema {
    /// upload, ingest, delete, bucket_health, receipt or event; left out, all in one object by their names.
    #[arg(value_parser = known)]
    name: Option<String>,
    /// Prints each on a line of its own.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(args: &Schema) -> anyhow::Result<ExitCode> {
    let wanted = |name: &str| args.name.as_deref().is_none_or(|asked| asked == name);
    let documents = documents()?.into_iter().filter(|(name, _)| wanted(name));
    if args.name.is_none() && !args.json {
        out::line(format_args!("{:#}", Value::from_iter(documents)))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (_, schema) in documents {
        out::line(if args.json { schema.to_string() } else { format!("{schema:#}") })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn documents() -> anyhow::Result<Map<String, Value>> {
    let named = |(file, schema): (&str, _)| {
        let name = file.trim_end_matches(".json").to_owned();
        Ok((name, serde_json::to_value(schema).context("a schema is JSON")?))
    };
    schema::documents().into_iter().map(named).collect()
}

fn known(name: &str) -> Result<String, String> {
    let names = schema::documents().map(|(file, _)| file.trim_end_matches(".json").to_owned());
    if names.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(format!("expected one of {}", names.join(", ")))
}
