use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ImageId, Job, Kind, ObjectKey, OwnerId, Source};

/// Asks for one photo of a user to be normalized and kept as `user_photos/{user_id}/{image_id}.jpg`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Upload {
    /// Owner of the photo.
    pub user_id: OwnerId,
    /// Chosen by the producer, which therefore knows the key before the job has run.
    pub image_id: ImageId,
    /// Where the original is.
    pub source: Source,
}

impl Job for Upload {
    const KIND: Kind = Kind::Upload;
    const MAX_ATTEMPTS: u32 = 18;
    const TIMEOUT: Duration = Duration::from_secs(90);

    fn object_key(&self) -> Option<ObjectKey> {
        Some(ObjectKey::user_photo(&self.user_id, &self.image_id))
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.source)
    }
}
