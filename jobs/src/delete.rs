use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ImageId, Job, Kind, ObjectKey, OwnerId, OwnerPrefix};

/// Asks for one image, or for everything of one owner, to be removed for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delete {
    /// What to remove.
    pub target: Target,
}

/// What a [`Delete`] removes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", expecting = "a target, which is an object with a `type`")]
pub enum Target {
    /// One photo of a user.
    UserPhoto {
        /// Owner of the photo.
        user_id: OwnerId,
        /// The photo.
        image_id: ImageId,
    },
    /// One image of a product.
    ProductImage {
        /// Product that the image shows.
        product_id: OwnerId,
        /// The image.
        image_id: ImageId,
    },
    /// Everything of one user, with proof.
    User {
        /// The user.
        user_id: OwnerId,
    },
    /// Everything of one product, with proof.
    Product {
        /// The product.
        product_id: OwnerId,
    },
}

impl Target {
    /// The object to remove, when the target is one image.
    pub fn object_key(&self) -> Option<ObjectKey> {
        match self {
            Self::UserPhoto { user_id, image_id } => Some(ObjectKey::user_photo(user_id, image_id)),
            Self::ProductImage { product_id, image_id } => {
                Some(ObjectKey::product_image(product_id, image_id))
            }
            Self::User { .. } | Self::Product { .. } => None,
        }
    }

    /// Whether it is everything of an owner.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::User { .. } | Self::Product { .. })
    }

    /// The owner whose objects the target is, or is one of.
    pub fn owner_prefix(&self) -> OwnerPrefix {
        match self {
            Self::UserPhoto { user_id, .. } | Self::User { user_id } => OwnerPrefix::user(user_id),
            Self::ProductImage { product_id, .. } | Self::Product { product_id } => {
                OwnerPrefix::product(product_id)
            }
        }
    }
}

impl Job for Delete {
    const KIND: Kind = Kind::Delete;
    const MAX_ATTEMPTS: u32 = 18;
    const TIMEOUT: Duration = Duration::from_secs(120);

    fn object_key(&self) -> Option<ObjectKey> {
        self.target.object_key()
    }
}
