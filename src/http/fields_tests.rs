use darkroom_jobs::{Delete, Ingest, Job, Payload, Upload};
use serde_json::json;

use super::*;

const IMAGE: &str = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";

fn told<J: Job>(payload: &Value) -> Option<Value> {
    let error = Payload::<J>::decode(payload.to_string().as_bytes()).err()?;
    Some(serde_json::to_value(undecodable(J::KIND, payload, error)).unwrap())
}

fn field_of<J: Job>(payload: &Value) -> String {
    let problem = told::<J>(payload).unwrap_or_else(|| panic!("{payload} was taken"));
    problem["field"].as_str().unwrap().to_owned()
}

#[test]
fn the_wrong_or_missing_field_of_a_payload_is_named() {
    let url = json!({ "type": "url", "url": "https://example.com/a.jpg" });

    for (payload, field) in [
        (json!({ "user_id": "../x", "image_id": IMAGE, "source": url }), "user_id"),
        (json!({ "user_id": ["x"], "image_id": IMAGE, "source": url }), "user_id"),
        (json!({ "user_id": "x", "image_id": 7, "source": url }), "image_id"),
        (json!({ "image_id": IMAGE, "source": url }), "user_id"),
        (json!({ "user_id": "x", "image_id": IMAGE }), "source"),
        (json!({ "user_id": "x", "image_id": IMAGE, "source": "staging/a" }), "source"),
        (json!({ "user_id": "x", "image_id": IMAGE, "source": { "type": "url" } }), "source.url"),
        (json!({ "user_id": "x", "image_id": IMAGE, "source": { "url": "y" } }), "source.type"),
        (json!({ "user_id": "x", "image_id": IMAGE, "source": { "type": "pigeon" } }), "source.type"),
        (
            json!({ "user_id": "x", "image_id": IMAGE, "source": { "type": "staged", "key": "x" } }),
            "source.key",
        ),
        (json!({ "user_id": "x", "image_id": IMAGE, "source": url, "expires_at": "soon" }), "expires_at"),
        (
            json!({ "user_id": "x", "image_id": IMAGE, "source": url, "context": "x".repeat(5_000) }),
            "context",
        ),
        (json!({ "v": 2, "user_id": "x", "image_id": IMAGE, "source": url }), "v"),
        (json!({ "v": "1", "user_id": "x", "image_id": IMAGE, "source": url }), "v"),
        (json!("upload"), "body"),
    ] {
        assert_eq!(field_of::<Upload>(&payload), field, "{payload}");
    }
}

#[test]
fn the_wrong_field_of_a_deletion_is_named() {
    for (target, field) in [
        (json!({ "type": "user" }), "target.user_id"),
        (json!({ "type": "user", "user_id": "a/b" }), "target.user_id"),
        (json!({ "type": "planet" }), "target.type"),
        (json!(7), "target"),
    ] {
        assert_eq!(field_of::<Delete>(&json!({ "target": target })), field, "{target}");
    }
}

#[test]
fn a_message_says_what_the_field_is_and_what_was_given() {
    let source = json!({ "type": "staged", "key": 7 });
    let of = |payload: Value| told::<Ingest>(&payload).unwrap()["detail"].as_str().unwrap().to_owned();

    let key = of(json!({ "product_id": "p", "image_id": IMAGE, "source": source }));
    let missing = of(json!({ "product_id": "p", "source": source }));
    let long = of(json!("x".repeat(10_000)));

    assert!(
        key.starts_with("source.key is staging/ and 1 to 200 letters") && key.ends_with(", not 7"),
        "{key}"
    );
    assert!(missing.starts_with("image_id is missing: a UUID with hyphens"), "{missing}");
    assert!(long.chars().count() < 150, "{long}");
}

/// Each field of a payload with its path.
fn paths(value: &Value, prefix: &str, found: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{prefix}/{name}");
        if name != "context" {
            paths(inner, &path, found);
        }
        found.push(path);
    }
}

/// Whatever is done to one field: serde's words are never those of the answer, and its field is one that was touched.
fn is_told_in_words<J: Job>(payload: &Value) {
    let mut all = Vec::new();
    paths(payload, "", &mut all);
    for path in all {
        for wrong in
            [None, Some(json!(null)), Some(json!(-1.5)), Some(json!([])), Some(json!({})), Some(json!(""))]
        {
            let mut payload = payload.clone();
            match &wrong {
                Some(wrong) => *payload.pointer_mut(&path).unwrap() = wrong.clone(),
                None => {
                    let (parent, name) = path.rsplit_once('/').unwrap();
                    payload.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
                }
            }
            let Some(problem) = told::<J>(&payload) else { continue };
            let detail = problem["detail"].as_str().unwrap();
            let field = problem["field"].as_str().unwrap().replace('.', "/");
            assert!(
                format!("/{field}").starts_with(&path) || path.starts_with(&format!("/{field}")),
                "{path}: {problem}"
            );
            for word in ["expected", "invalid type", "variant", "struct", "enum", " line ", "unit"] {
                assert!(!detail.contains(word), "{path} = {wrong:?}: {detail}");
            }
        }
    }
}

#[test]
fn no_answer_has_the_words_of_a_deserializer() {
    let envelope = json!({
        "v": 1, "expires_at": "2026-11-24T10:00:00Z", "webhook": "shop", "traceparent": "00-x", "batch": "b", "context": {},
    });
    let with = |own: Value| {
        let mut payload = envelope.clone();
        payload.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        payload
    };
    for source in [
        json!({ "type": "staged", "key": "staging/a", "bytes": 1, "etag": "\"a\"", "sha256": "00" }),
        json!({ "type": "url", "url": "https://shop.example/a.jpg" }),
        json!({ "type": "inline", "base64": "aGk=" }),
    ] {
        is_told_in_words::<Upload>(&with(json!({ "user_id": "u", "image_id": IMAGE, "source": source })));
        is_told_in_words::<Ingest>(&with(json!({ "product_id": 7, "image_id": IMAGE, "source": source })));
    }
    for target in [
        json!({ "type": "user_photo", "user_id": "u", "image_id": IMAGE }),
        json!({ "type": "product_image", "product_id": "p", "image_id": IMAGE }),
        json!({ "type": "user", "user_id": "u" }),
        json!({ "type": "product", "product_id": "p" }),
    ] {
        is_told_in_words::<Delete>(&with(json!({ "target": target })));
    }
}
