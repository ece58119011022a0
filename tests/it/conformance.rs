//! What each server does with what S3 promises, seen by a client with nothing of ours in it: the table in docs/storage.md
//! is this test's, and fails it when a server does otherwise. `UPDATE_GOLDEN=1` writes the server's column anew.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{
    conformance_credentials as credentials, conformance_objects as objects, conformance_table as table,
    conformance_versions as versions, on_each_server,
    support::served::{ServedBucket, Server},
};

on_each_server! {
    what_a_server_does_is_what_the_table_says
}

/// A question, what AWS documents, and what was seen.
pub struct Seen {
    pub what: &'static str,
    pub aws: &'static str,
    pub here: String,
}

pub fn seen(what: &'static str, aws: &'static str, here: impl Into<String>) -> Seen {
    Seen { what, aws, here: here.into() }
}

async fn what_a_server_does_is_what_the_table_says(server: Server) {
    let bucket = ServedBucket::on(server).await;

    let seen = [
        objects::conditions(&bucket).await,
        objects::checksums(&bucket).await,
        objects::many_deletions(&bucket).await,
        versions::of(&bucket).await,
        objects::presigned_puts(&bucket).await,
        credentials::error_bodies(&bucket).await,
        credentials::of(&bucket).await,
    ];

    table::compare(server.name(), &seen.into_iter().flatten().collect::<Vec<_>>());
}

/// `done`, or status and S3's word for the refusal.
pub fn told<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let Err(error) = answer else { return "done".into() };
    let status = error.raw_response().unwrap_or_else(|| panic!("no answer: {error:?}")).status().as_u16();
    if status < 300 {
        return format!("{status}, not to be read");
    }
    let word = error.as_service_error().and_then(ProvideErrorMetadata::code);
    // For a HEAD the SDK makes one of the status.
    match word.filter(|word| *word != "NotFound") {
        Some(word) => format!("{status} {word}"),
        None => status.to_string(),
    }
}

/// As [`told`], for a request that should be refused.
pub fn refused<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    if answer.is_ok() { "ignored".into() } else { told(answer) }
}

/// As [`told`], of an answer to a client without the SDK.
pub async fn told_by(answer: reqwest::Response) -> String {
    let status = answer.status();
    let body = answer.text().await.expect("it is text");
    let word = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    match word {
        _ if status.is_success() => "done".into(),
        Some((word, _)) => format!("{} {word}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
