//! The contract: generated from the routes, with the schemas that `darkroom_jobs` publishes.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use darkroom_jobs::{ErrorCode, schema};
use serde_json::{Map, Value, json};
use utoipa::{
    IntoResponses,
    openapi::{self, Content, OpenApi, Ref, RefOr, ResponseBuilder},
};

use super::{
    problem::{HttpCode, PROBLEM_JSON},
    state::App,
};

/// The contract (OpenAPI 3.1).
#[utoipa::path(
    get, path = "/openapi.json", tag = "contract",
    responses((status = 200, description = "This document", body = Object))
)]
pub async fn contract(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.contract.clone()).into_response()
}

/// What every route may answer instead.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let of = |description: &str| {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem);
            RefOr::T(response.build())
        };
        let refused = of("The request is wrong, or not allowed");
        BTreeMap::from([("4XX".to_owned(), refused), ("5XX".to_owned(), of("Not now; see `Retry-After`"))])
    }
}

/// The routes' own description, completed with what they refer to.
pub fn document(routes: &OpenApi) -> String {
    let mut document = serde_json::to_value(routes).expect("a description of routes is JSON");
    document["info"] = json!({
        "title": "darkroom",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Normalizes pictures in the background, and keeps them in a bucket.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["security"] = json!([{ "token": [] }]);
    document["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "One of DARKROOM_API_TOKENS" }
    });
    rename_wildcards(&mut document["paths"]);
    constrain_parameters(&mut document["paths"]);
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in components() {
        schemas[name] = schema;
    }
    for field in ["user_id", "product_id", "image_id"] {
        schemas["PresignRequest"]["properties"][field] = form_of(field).unwrap_or_default();
    }
    document.to_string()
}

/// The form of a parameter or field, wherever it is: the types of `darkroom_jobs` say it.
fn form_of(name: &str) -> Option<Value> {
    let component = match name {
        "kind" => "Kind",
        "id" => "JobId",
        "status" => "Status",
        "code" => "ErrorCode",
        "user_id" | "product_id" => "OwnerId",
        "image_id" => "ImageId",
        "key" => "ObjectKey",
        _ => return None,
    };
    Some(json!({ "$ref": format!("#/components/schemas/{component}") }))
}

fn constrain_parameters(paths: &mut Value) {
    let operations = paths.as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = operations.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    let parameters =
        operations.filter_map(|operation| operation.get_mut("parameters")?.as_array_mut()).flatten();
    for parameter in parameters {
        if let Some(form) = parameter["name"].as_str().and_then(form_of) {
            parameter["schema"] = form;
        }
    }
}

/// axum writes a rest of the path as `{*key}`, OpenAPI knows `{key}` alone.
fn rename_wildcards(paths: &mut Value) {
    let Value::Object(paths) = paths else { return };
    let renamed: Map<_, _> =
        std::mem::take(paths).into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    *paths = renamed;
}

/// Schemas that the routes refer to by name.
fn components() -> Vec<(String, Value)> {
    let mut components = Vec::new();
    for (file, schema) in schema::documents() {
        let mut schema = schema.to_value();
        let inner = schema.as_object_mut().and_then(|schema| {
            schema.remove("$schema");
            schema.remove("$defs")
        });
        if let Some(Value::Object(inner)) = inner {
            components.extend(inner);
        }
        components.push((camel(file.trim_end_matches(".json")), schema));
    }
    for (_, schema) in &mut components {
        relocate(schema);
    }
    components.extend(ours());
    components
}

/// `bucket_health` → `BucketHealth`
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

/// Definitions are components here.
fn relocate(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace("#/$defs/", "#/components/schemas/");
            }
            fields.values_mut().for_each(relocate);
        }
        Value::Array(items) => items.iter_mut().for_each(relocate),
        _ => {}
    }
}

fn ours() -> Vec<(String, Value)> {
    let component = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
    let codes: Vec<_> = codes.chain(HttpCode::ALL.map(HttpCode::as_str)).collect();
    let problem = json!({
        "type": "object",
        "description": "RFC 9457. Branch on `code`, show `hint`, never parse `detail`.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "code": { "type": "string", "enum": codes },
            "detail": { "type": "string", "description": "What happened, for an engineer." },
            "hint": { "type": "string", "description": "What to do, for a person." },
            "field": { "type": "string", "description": "The part of the request that is wrong." },
            "job_id": { "type": "string", "description": "The job that stands in the way." },
        },
    });
    let item = json!({ "anyOf": [component("Taken"), component("Problem")] });
    let or_many = |one: Value, item: Value| {
        let many = json!({ "type": "array", "minItems": 1, "maxItems": 1000, "items": item });
        json!({ "anyOf": [one, many] })
    };
    let mut ours =
        vec![("Problem".to_owned(), problem), ("TakenOrMany".to_owned(), or_many(component("Taken"), item))];
    for job in ["Upload", "Ingest", "Delete"] {
        ours.push((format!("{job}OrMany"), or_many(component(job), component(job))));
    }
    ours
}
