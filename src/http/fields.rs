//! Which field of a payload is the wrong one: through serde's flattening only the text of an error survives.

use darkroom_jobs::{ImageId, OwnerId, StagedKey, Timestamp};
use serde_json::Value;

use super::body::named;

/// The path of the field, like `source.key`; `body` when none can be blamed.
pub fn wrong_field(payload: &Value, message: &str) -> String {
    let Value::Object(_) = payload else { return "body".into() };
    let suspects = [("", payload), ("source.", &payload["source"]), ("target.", &payload["target"])];
    let wrong = suspects.iter().find_map(|(prefix, part)| Some(format!("{prefix}{}", wrong_in(part)?)));
    if let Some(path) = wrong {
        return path;
    }
    if let Some(field) = named(message) {
        let inside = ["source", "target"].into_iter().find(|part| {
            payload[*part].is_object() && payload[*part].get(&field).is_none() && belongs(part, &field)
        });
        return inside.map_or_else(|| field.clone(), |part| format!("{part}.{field}"));
    }
    // What is left is the shape of one of the two unions, or of the envelope.
    ["source", "target"].into_iter().find(|part| payload.get(part).is_some()).unwrap_or("body").into()
}

/// Whether a field that is missing is one of the union's.
fn belongs(part: &str, field: &str) -> bool {
    match part {
        "source" => ["type", "key", "url", "base64"].contains(&field),
        _ => ["type", "user_id", "product_id", "image_id"].contains(&field),
    }
}

/// A field, and whether a value of it can be read.
type Check = (&'static str, fn(&Value) -> bool);

/// The first field that cannot be read by itself.
fn wrong_in(part: &Value) -> Option<&'static str> {
    fn reads<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
        serde_json::from_value::<T>(value.clone()).is_ok()
    }
    let checks: [Check; 14] = [
        ("v", |v| v.as_u64().is_some_and(|v| v == 1)),
        ("user_id", reads::<OwnerId>),
        ("product_id", reads::<OwnerId>),
        ("image_id", reads::<ImageId>),
        ("key", reads::<StagedKey>),
        ("bytes", reads::<Option<u64>>),
        ("etag", reads::<Option<String>>),
        ("sha256", reads::<Option<String>>),
        ("url", reads::<String>),
        ("base64", reads::<String>),
        ("expires_at", reads::<Option<Timestamp>>),
        ("webhook", reads::<Option<String>>),
        ("traceparent", reads::<Option<String>>),
        ("batch", reads::<Option<String>>),
    ];
    let wrong = |(name, reads): &Check| part.get(name).is_some_and(|value| !reads(value)).then_some(*name);
    checks.iter().find_map(wrong)
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::{Delete, Payload, Upload};
    use serde_json::json;

    use super::*;

    fn of_upload(payload: Value) -> String {
        let error = Payload::<Upload>::decode(payload.to_string().as_bytes()).unwrap_err();
        wrong_field(&payload, &error.message)
    }

    #[test]
    fn the_wrong_or_missing_field_of_a_payload_is_named() {
        let image = "3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4";
        let url = json!({ "type": "url", "url": "https://example.com/a.jpg" });

        for (payload, field) in [
            (json!({ "user_id": "../x", "image_id": image, "source": url }), "user_id"),
            (json!({ "user_id": ["x"], "image_id": image, "source": url }), "user_id"),
            (json!({ "user_id": "x", "image_id": 7, "source": url }), "image_id"),
            (json!({ "image_id": image, "source": url }), "user_id"),
            (json!({ "user_id": "x", "image_id": image }), "source"),
            (json!({ "user_id": "x", "image_id": image, "source": { "type": "url" } }), "source.url"),
            (json!({ "user_id": "x", "image_id": image, "source": { "url": "y" } }), "source.type"),
            (json!({ "user_id": "x", "image_id": image, "source": { "type": "carrier_pigeon" } }), "source"),
            (
                json!({ "user_id": "x", "image_id": image, "source": { "type": "staged", "key": "x" } }),
                "source.key",
            ),
            (json!({ "user_id": "x", "image_id": image, "source": url, "expires_at": "soon" }), "expires_at"),
            (json!({ "v": 2, "user_id": "x", "image_id": image, "source": url }), "v"),
            (json!("upload"), "body"),
        ] {
            assert_eq!(of_upload(payload.clone()), field, "{payload}");
        }
    }

    #[test]
    fn the_wrong_field_of_a_deletion_is_named() {
        for (target, field) in [
            (json!({ "type": "user" }), "target.user_id"),
            (json!({ "type": "user", "user_id": "a/b" }), "target.user_id"),
            (json!({ "type": "planet" }), "target"),
        ] {
            let payload = json!({ "target": target });
            let error = Payload::<Delete>::decode(payload.to_string().as_bytes()).unwrap_err();
            assert_eq!(wrong_field(&payload, &error.message), field, "{payload}");
        }
    }
}
