//! What is wrong with JSON from outside, in the words of whoever wrote it: serde's are about types of Rust, and through its
//! flattening it does not say where.

use axum::http::StatusCode;
use darkroom_jobs::{
    DecodeError, ErrorCode, ImageId, Kind, OwnerId, Source, SourceError, StagedKey, Timestamp,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;

/// Most characters of a wrong value that are repeated.
const SHOWN: usize = 80;

/// A field, whether a value of it can be read, and what it is to a person.
pub struct Field {
    name: &'static str,
    required: bool,
    reads: fn(&Value) -> bool,
    is: &'static str,
}

impl Field {
    /// A field that has to be there.
    pub const fn required(name: &'static str, reads: fn(&Value) -> bool, is: &'static str) -> Self {
        Self { name, required: true, reads, is }
    }

    /// A field that may be missing, or null when `reads` says so.
    pub const fn optional(name: &'static str, reads: fn(&Value) -> bool, is: &'static str) -> Self {
        Self { name, required: false, reads, is }
    }
}

/// Whether a value is a `T`.
pub fn reads<T: DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

/// What is wrong, and where.
type Wrong = (String, String);

const USER_ID: Field = Field::required("user_id", reads::<OwnerId>, OWNER);
const PRODUCT_ID: Field = Field::required("product_id", reads::<OwnerId>, OWNER);
const IMAGE_ID: Field = Field::required(
    "image_id",
    reads::<ImageId>,
    "a UUID with hyphens, like 3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4",
);
const OWNER: &str =
    "1 to 128 letters, digits, `_` or `-`, a letter or digit first, or an integer that is not negative";

const ENVELOPE: [Field; 5] = [
    Field::optional("expires_at", reads::<Option<Timestamp>>, "a time like 2026-11-24T10:00:00Z"),
    Field::optional("webhook", reads::<Option<String>>, "the name of an endpoint, a string"),
    Field::optional("traceparent", reads::<Option<String>>, "a trace context of W3C, a string"),
    Field::optional("batch", reads::<Option<String>>, "a string"),
    Field::optional("v", |v| *v == 1, "the version of the payload, 1"),
];
const STAGED: [Field; 4] = [
    Field::required(
        "key",
        reads::<StagedKey>,
        "staging/ and 1 to 200 letters, digits, `/`, `_`, `.` or `-`, without `..` and `//`",
    ),
    Field::optional("bytes", reads::<Option<u64>>, "the size of the original in bytes, a whole number"),
    Field::optional("etag", reads::<Option<String>>, "the ETag of the original, a string"),
    Field::optional("sha256", reads::<Option<String>>, "64 hexadecimal digits, a string"),
];
const URL: [Field; 1] =
    [Field::required("url", reads::<String>, "an address like https://shop.example/a.jpg")];
const INLINE: [Field; 1] = [Field::required("base64", reads::<String>, "the original in base64, a string")];

/// The types of a union, and the fields of each.
type Types = &'static [(&'static str, &'static [Field])];

const SOURCES: Types = &[("staged", &STAGED), ("url", &URL), ("inline", &INLINE)];
const TARGETS: Types = &[
    ("user_photo", &[USER_ID, IMAGE_ID]),
    ("product_image", &[PRODUCT_ID, IMAGE_ID]),
    ("user", &[USER_ID]),
    ("product", &[PRODUCT_ID]),
];

/// Says what a payload that does not decode gets wrong.
pub fn undecodable(kind: Kind, payload: &Value, error: DecodeError) -> Problem {
    // What a newer shape looks like is not ours to judge.
    if error.code == ErrorCode::JobVersionUnsupported {
        return Problem::from(error).of("v");
    }
    let Some((field, detail)) = wrong_in_payload(kind, payload) else {
        // The rest is said of the context, or of the whole.
        let field = if error.message.starts_with("context") { "context" } else { "body" };
        return Problem::from(error).of(field);
    };
    Problem::job(StatusCode::UNPROCESSABLE_ENTITY, error.code, detail).of(field)
}

/// Refuses a job that can only fail.
///
/// # Errors
///
/// 422 with the code that its receipt would have.
pub fn check_source(source: Option<&Source>) -> Result<(), Problem> {
    let refused = |SourceError { code, field, message }| {
        Problem::job(StatusCode::UNPROCESSABLE_ENTITY, code, message).of(format!("source.{field}"))
    };
    source.map_or(Ok(()), Source::check).map_err(refused)
}

/// Reads a body that has these fields.
///
/// # Errors
///
/// 422 that names the first field that is wrong.
pub fn read<T: DeserializeOwned>(body: Value, fields: &[Field]) -> Result<T, Problem> {
    if !body.is_object() {
        return Err(Problem::invalid("body", format!("the body is an object, not {}", shown(&body))));
    }
    if let Some((field, detail)) = wrong_in("", &body, fields) {
        return Err(Problem::invalid(&field, detail));
    }
    serde_json::from_value(body).map_err(|error| Problem::invalid("body", error.to_string()))
}

fn wrong_in_payload(kind: Kind, payload: &Value) -> Option<Wrong> {
    if !payload.is_object() {
        return Some(("body".into(), format!("a job is a JSON object, not {}", shown(payload))));
    }
    let own = match kind {
        Kind::Upload => wrong_in("", payload, &[USER_ID, IMAGE_ID]),
        Kind::Ingest => wrong_in("", payload, &[PRODUCT_ID, IMAGE_ID]),
        Kind::Delete | Kind::BucketHealth => None,
    };
    let union = || match kind {
        Kind::Upload | Kind::Ingest => {
            wrong_in_union("source", payload, SOURCES, r#"{"type":"staged","key":"staging/42/a"}"#)
        }
        Kind::Delete => wrong_in_union("target", payload, TARGETS, r#"{"type":"user","user_id":"42"}"#),
        Kind::BucketHealth => None,
    };
    own.or_else(union).or_else(|| wrong_in("", payload, &ENVELOPE))
}

fn wrong_in_union(name: &str, payload: &Value, types: Types, like: &str) -> Option<Wrong> {
    let union = &payload[name];
    if !union.is_object() {
        let detail = said(name, payload.get(name), &format!("an object, like {like}"));
        return Some((name.into(), detail));
    }
    let (path, tag) = (format!("{name}.type"), union.get("type"));
    match types.iter().find(|(word, _)| tag.is_some_and(|tag| tag == word)) {
        Some((_, fields)) => wrong_in(&format!("{name}."), union, fields),
        None => {
            let words: Vec<_> = types.iter().map(|(word, _)| *word).collect();
            let detail = said(&path, tag, &format!("one of {}", words.join(", ")));
            Some((path, detail))
        }
    }
}

/// The first field of an object that is missing or cannot be read.
fn wrong_in(prefix: &str, object: &Value, fields: &[Field]) -> Option<Wrong> {
    let is_wrong = |field: &&Field| match object.get(field.name) {
        None => field.required,
        Some(value) => !(field.reads)(value),
    };
    let field = fields.iter().find(is_wrong)?;
    let path = format!("{prefix}{}", field.name);
    let detail = said(&path, object.get(field.name), field.is);
    Some((path, detail))
}

fn said(path: &str, value: Option<&Value>, is: &str) -> String {
    match value {
        None => format!("{path} is missing: {is}"),
        Some(value) => format!("{path} is {is}, not {}", shown(value)),
    }
}

/// A value in short.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        scalar => {
            let text = scalar.to_string();
            match text.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
