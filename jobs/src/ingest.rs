use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ImageId, Job, Kind, ObjectKey, OwnerId, Source};

/// Asks for one product image to be fetched, normalized and kept as `products/{product_id}/{image_id}.jpg`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ingest {
    /// Product that the image shows.
    pub product_id: OwnerId,
    /// Chosen by the producer, which therefore knows the key before the job has run.
    pub image_id: ImageId,
    /// Where the original is; usually a merchant's URL.
    pub source: Source,
}

impl Job for Ingest {
    const KIND: Kind = Kind::Ingest;
    const MAX_ATTEMPTS: u32 = 18;
    const TIMEOUT: Duration = Duration::from_secs(120);

    fn object_key(&self) -> Option<ObjectKey> {
        Some(ObjectKey::product_image(&self.product_id, &self.image_id))
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.source)
    }
}
