//! Every released shape still decodes: fixtures are added, never edited.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests may panic, start a server and ask the environment"
)]

use std::{fs, path::Path};

use darkroom_jobs::{
    Blame, BucketHealth, Class, DecodeError, Delete, ErrorCode, Event, EventType, Ingest, Job, Kind,
    MAX_PAYLOAD_VALUES, Payload, Receipt, Upload, WarningCode,
};
use serde_json::Value;

fn fixtures() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

/// Decodes and encodes again.
fn through<J: Job>(json: &str) -> Value {
    serde_json::to_value(Payload::<J>::decode(json.as_bytes()).unwrap()).unwrap()
}

fn code_of<J: Job>(json: &str) -> ErrorCode {
    Payload::<J>::decode(json.as_bytes()).unwrap_err().code
}

#[test]
fn every_released_shape_decodes_and_encodes_to_the_same() {
    for (name, json) in fixtures() {
        let encoded = match name.split('-').next().unwrap() {
            "upload" => through::<Upload>(&json),
            "ingest" => through::<Ingest>(&json),
            "delete" => through::<Delete>(&json),
            "bucket_health" => through::<BucketHealth>(&json),
            "receipt" => serde_json::to_value(serde_json::from_str::<Receipt>(&json).unwrap()).unwrap(),
            "event" => serde_json::to_value(serde_json::from_str::<Event>(&json).unwrap()).unwrap(),
            _ => panic!("{name} is named for no shape"),
        };

        let mut given: Value = serde_json::from_str(&json).unwrap();
        if !name.starts_with("receipt") && !name.starts_with("event") {
            // What a minimal payload leaves out or gives as an integer has one canonical form.
            given["v"] = 1.into();
            if let Some(id) = given.get("user_id").and_then(Value::as_u64) {
                given["user_id"] = id.to_string().into();
            }
        }
        assert_eq!(encoded, given, "{name}");
    }
}

#[test]
fn a_final_receipt_makes_the_event_of_its_kind_and_no_other_makes_one() {
    let fixtures: std::collections::BTreeMap<_, _> = fixtures().into_iter().collect();
    let receipt = |name: &str| serde_json::from_str::<Receipt>(&fixtures[name]).unwrap();
    let event_type = |receipt: &Receipt| Event::of_receipt(receipt).map(|event| event.event_type);

    let event: Event = serde_json::from_str(&fixtures["event-image_stored"]).unwrap();
    let stored: Receipt = serde_json::from_value(event.data.clone()).unwrap();

    assert_eq!(Event::of_receipt(&stored), Some(event));
    assert_eq!(event_type(&receipt("receipt-done")), Some(EventType::ImageStored));
    assert_eq!(event_type(&receipt("receipt-failed")), Some(EventType::ImageFailed));
    assert_eq!(event_type(&receipt("receipt-deleted")), Some(EventType::ImageDeleted));
    assert_eq!(event_type(&receipt("receipt-erased")), Some(EventType::OwnerErased));
    assert_eq!(event_type(&receipt("receipt-retrying")), None);
    assert_eq!(event_type(&Receipt { kind: Kind::BucketHealth, ..receipt("receipt-done") }), None);
}

#[test]
fn a_receipts_status_says_whether_it_is_final() {
    for (name, json) in fixtures().into_iter().filter(|(name, _)| name.starts_with("receipt")) {
        let receipt: Receipt = serde_json::from_str(&json).unwrap();
        assert_eq!(receipt.is_final, receipt.status.is_final(), "{name}");
        assert_eq!(receipt.is_final, receipt.finished_at.is_some(), "{name}");
    }
}

#[test]
fn every_kind_has_a_fixture() {
    let names: Vec<_> = fixtures().into_iter().map(|(name, _)| name).collect();

    for kind in Kind::ALL {
        let found = names.iter().any(|name| name.split('-').next() == Some(kind.as_str()));
        assert!(found, "add tests/wire/{kind}.json");
    }
}

#[test]
fn a_failing_id_is_id_invalid_and_all_else_job_malformed() {
    let image = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";
    let upload = |user: &str, image: &str, key: &str| {
        format!(r#"{{"user_id":{user},"image_id":"{image}","source":{{"type":"staged","key":"{key}"}}}}"#)
    };

    for id in [r#""a/b""#, r#""..""#, r#""""#, r#""_a""#, "-1"] {
        assert_eq!(code_of::<Upload>(&upload(id, image, "staging/a")), ErrorCode::IdInvalid, "{id}");
    }
    for key in ["staging/../a", "staging//a", "products/1/a.jpg", "staging/"] {
        assert_eq!(code_of::<Upload>(&upload("1", image, key)), ErrorCode::IdInvalid, "{key}");
    }
    assert_eq!(code_of::<Upload>(&upload("1", "no-uuid", "staging/a")), ErrorCode::IdInvalid);
    for json in ["", "{", "[]", "{}", r#"{"v":0}"#, &upload("true", image, "staging/a")] {
        assert_eq!(code_of::<Upload>(json), ErrorCode::JobMalformed, "{json}");
    }
    assert_eq!(code_of::<BucketHealth>(&format!("{{}}{}", " ".repeat(5 << 20))), ErrorCode::JobMalformed);
    assert_eq!(code_of::<BucketHealth>(r#"{"v":2}"#), ErrorCode::JobVersionUnsupported);
}

#[test]
fn a_context_is_at_most_4_kib_and_32_levels_and_else_the_job_is_malformed() {
    let with = |context: &str| format!(r#"{{"context":{context}}}"#);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let string = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));

    for good in [string(4096), nested(32), r#"{"a":[1,{"b":null}]}"#.into()] {
        assert!(Payload::<BucketHealth>::decode(with(&good).as_bytes()).is_ok(), "{good}");
    }
    for bad in [string(4097), nested(33), nested(120), nested(4000)] {
        assert_eq!(code_of::<BucketHealth>(&with(&bad)), ErrorCode::JobMalformed, "{bad}");
    }
}

#[test]
fn a_payload_has_at_most_ten_thousand_values_and_strings_are_none_of_them() {
    let with = |unknown: &str| format!(r#"{{"unknown":{unknown}}}"#);
    // The object and the array count too.
    let numbers = |most: usize| format!("[{}]", vec!["0"; most].join(","));
    let string = format!(r#""\"{}\"""#, ",[{".repeat(10_000));

    for good in [numbers(MAX_PAYLOAD_VALUES - 2), string] {
        assert!(Payload::<BucketHealth>::decode(with(&good).as_bytes()).is_ok());
    }
    for bad in [numbers(MAX_PAYLOAD_VALUES), format!("[{}]", vec!["[]"; 5_001].join(","))] {
        assert_eq!(code_of::<BucketHealth>(&with(&bad)), ErrorCode::JobMalformed);
    }
}

#[test]
fn what_is_said_of_a_payload_names_no_type_of_rust() {
    let image = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";
    let source = format!(r#"{{"user_id":1,"image_id":"{image}","source":7}}"#);
    let said = |error: DecodeError| error.message;

    for message in [
        said(Payload::<Upload>::decode(b"[]").unwrap_err()),
        said(Payload::<Upload>::decode(source.as_bytes()).unwrap_err()),
        said(Payload::<Delete>::decode(br#"{"target":"u"}"#).unwrap_err()),
    ] {
        assert!(
            !["struct", "enum", "Version", "Source"].iter().any(|word| message.contains(word)),
            "{message}"
        );
    }
}

#[test]
fn what_is_said_of_a_payload_that_is_no_job_is_short() {
    let long = "ä".repeat(100_000);
    let source = format!(r#"{{"user_id":1,"image_id":"{long}","source":{{"type":"{long}"}}}}"#);

    for json in [format!("\"{long}\""), format!(r#"{{"v":"{long}"}}"#), source] {
        let error = Payload::<Upload>::decode(json.as_bytes()).unwrap_err();
        assert!(error.message.chars().count() <= 301, "{}", error.message);
    }
}

#[test]
fn words_of_a_newer_worker_are_read_and_named_by_no_schema() {
    let fixtures: std::collections::BTreeMap<_, _> = fixtures().into_iter().collect();
    let mut receipt: Value = serde_json::from_str(&fixtures["receipt-failed"]).unwrap();
    receipt["error"]["code"] = "new_code".into();
    receipt["warnings"] = serde_json::json!([{ "code": "new_warning", "message": "it is new" }]);
    let mut event: Value = serde_json::from_str(&fixtures["event-image_stored"]).unwrap();
    event["type"] = "image.new".into();

    let receipt: Receipt = serde_json::from_value(receipt).unwrap();
    let event: Event = serde_json::from_value(event).unwrap();

    assert_eq!(receipt.error.unwrap().code, ErrorCode::Unknown);
    assert_eq!(receipt.warnings[0].code, WarningCode::Unknown);
    assert_eq!(event.event_type, EventType::Unknown);
    assert!("unknown".parse::<ErrorCode>().is_err());
    for schema in [include_str!("../schema/receipt.json"), include_str!("../schema/event.json")] {
        assert!(!schema.contains("\"unknown\""));
    }
}

#[test]
fn unknown_fields_are_ignored() {
    through::<BucketHealth>(r#"{"v":1,"kind":"bucket_health","new":{"x":1}}"#);
}

/// The contract's table, written again: P permanent, T transient, a number: so many tries.
#[test]
fn every_error_code_has_the_blame_and_class_of_the_contract() {
    use Blame::{Image, Platform, Request, Source};
    let permanent = Some(1);
    let table: &[(Blame, Option<u32>, &str)] = &[
        (
            Request,
            permanent,
            "job_malformed id_invalid job_expired idempotency_conflict source_changed source_checksum_mismatch source_inline_too_large source_base64_invalid url_malformed url_too_long url_scheme url_userinfo url_port host_blocked address_blocked key_conflict",
        ),
        (Request, Some(2), "source_missing"),
        (Request, Some(3), "job_version_unsupported"),
        (Source, permanent, "redirect_limit redirect_blocked http_410 http_4xx content_encoding_unsupported"),
        (Source, Some(2), "dns_nxdomain http_401 http_404 http_status http_invalid_response"),
        (Source, Some(3), "http_403 tls_failed"),
        (
            Source,
            None,
            "dns_failed connect_failed connect_timeout http_429 http_5xx download_timeout download_too_slow download_incomplete",
        ),
        (
            Image,
            permanent,
            "not_an_image source_empty source_too_large unsupported_format image_dimensions image_too_complex image_truncated image_corrupt",
        ),
        (Image, Some(2), "decode_timeout decode_out_of_memory decode_crashed"),
        (Platform, None, "storage_unavailable storage_verify_failed queue_unavailable queue_full"),
        (Platform, Some(5), "storage_denied storage_misconfigured"),
        (Platform, Some(3), "internal job_timeout"),
        (Platform, Some(2), "encode_failed"),
        (Platform, permanent, "poison erasure_blocked"),
    ];

    let mut seen = 0;
    for (blame, tries, words) in table {
        for word in words.split_whitespace() {
            let code: ErrorCode = word.parse().unwrap();
            assert_eq!((code.blame(), code.tries()), (*blame, *tries), "{word}");
            assert_eq!(code.class() == Class::Permanent, *tries == permanent, "{word}");
            assert!(!code.hint().is_empty());
            seen += 1;
        }
    }
    assert_eq!(seen, ErrorCode::ALL.len());
}

/// `UPDATE_GOLDEN=1` writes the files anew.
#[cfg(feature = "schema")]
#[test]
fn the_schema_files_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, schema) in darkroom_jobs::schema::documents() {
        let now = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(folder.join(name), &now).unwrap();
        }
        let kept = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(kept, now, "schema/{name} is another: UPDATE_GOLDEN=1 cargo test");
    }
}
