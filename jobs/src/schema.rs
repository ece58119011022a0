//! JSON Schemas of everything on the wire. The files in `schema/` are these, and a test compares them.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use crate::{BucketHealth, Delete, Event, Ingest, Payload, Receipt, Upload};

/// Every document's file name and schema.
pub fn documents() -> [(&'static str, Schema); 6] {
    [
        ("upload.json", document::<Payload<Upload>>()),
        ("ingest.json", document::<Payload<Ingest>>()),
        ("delete.json", document::<Payload<Delete>>()),
        ("bucket_health.json", document::<Payload<BucketHealth>>()),
        ("receipt.json", document::<Receipt>()),
        ("event.json", document::<Event>()),
    ]
}

fn document<T: JsonSchema>() -> Schema {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<T>()
}

/// A string of a pattern.
pub(crate) fn text(pattern: &str) -> Schema {
    schemars::json_schema!({ "type": "string", "pattern": pattern })
}
