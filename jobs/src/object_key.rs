//! Names of objects in the bucket. They are computed from validated ids; a producer never gives one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Kind,
    id::{ImageId, InvalidId, OwnerId, textual},
};

/// Name of an object, without the bucket and without `S3_PREFIX`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// `user_photos/{user_id}/{image_id}.jpg`
    pub fn user_photo(user_id: &OwnerId, image_id: &ImageId) -> Self {
        Self(format!("{}{image_id}.jpg", OwnerPrefix::user(user_id)))
    }

    /// `products/{product_id}/{image_id}.jpg`
    pub fn product_image(product_id: &OwnerId, image_id: &ImageId) -> Self {
        Self(format!("{}{image_id}.jpg", OwnerPrefix::product(product_id)))
    }

    /// An original under `staging/`.
    pub fn staged(key: &StagedKey) -> Self {
        Self(key.to_string())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that the object is in: its owner's.
    pub fn owner(&self) -> OwnerPrefix {
        let end = self.0.rfind('/').map_or(0, |slash| slash + 1);
        OwnerPrefix(self.0[..end].to_owned())
    }

    /// The name without `.jpg`: the image's variants, `{stem}_{variant}.jpg`, start with it.
    pub fn stem(&self) -> &str {
        self.0.strip_suffix(".jpg").unwrap_or(&self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidId;

    /// Reads back a name that one of the constructors made.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || {
            let expected = "a key is user_photos/{user_id}/{image_id}.jpg, \
                            products/{product_id}/{image_id}.jpg or staging/…";
            InvalidId::new(expected, text)
        };
        let parts: Vec<_> = text.split('/').collect();
        match parts[..] {
            [folder @ ("user_photos" | "products"), owner, file] => {
                let owner = owner.parse()?;
                let image = file.strip_suffix(".jpg").ok_or_else(wrong)?.parse()?;
                Ok(match folder {
                    "products" => Self::product_image(&owner, &image),
                    _ => Self::user_photo(&owner, &image),
                })
            }
            ["staging", ..] => Ok(Self::staged(&text.parse()?)),
            _ => Err(wrong()),
        }
    }
}

/// The folder of one owner; ends in `/`, so that `1` never matches `10`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OwnerPrefix(String);

impl OwnerPrefix {
    /// `user_photos/{user_id}/`
    pub fn user(user_id: &OwnerId) -> Self {
        Self(format!("user_photos/{user_id}/"))
    }

    /// `products/{product_id}/`
    pub fn product(product_id: &OwnerId) -> Self {
        Self(format!("products/{product_id}/"))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnerPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Key of a staged original: `^staging/[A-Za-z0-9/_.-]{1,200}$`, without `..` or `//`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StagedKey(String);

impl StagedKey {
    /// `staging/{kind}/{owner}/{image_id}`, where the deletion of the owner finds it.
    pub fn of(kind: Kind, owner: &OwnerId, image_id: ImageId) -> Self {
        Self(format!("staging/{kind}/{owner}/{image_id}"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StagedKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let name = text.strip_prefix("staging/").unwrap_or_default();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_.-".contains(&b);
        let fits = (1..=200).contains(&name.len()) && name.bytes().all(allowed);
        if fits && !text.contains("..") && !text.contains("//") {
            Ok(Self(text.to_owned()))
        } else {
            let expected = "a staged key is staging/ and 1 to 200 letters, digits, `/`, `_`, `.` \
                            or `-`, without `..` and `//`";
            Err(InvalidId::new(expected, text))
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StagedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

textual!(StagedKey: "^staging/[A-Za-z0-9/_.-]{1,200}$");
textual!(deserialize StagedKey ObjectKey);

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ObjectKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        crate::schema::text("^(user_photos|products|staging)/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_staged_key_of_the_longest_owner_is_one() {
        let longest = (1..).map(|length| "x".repeat(length).parse::<OwnerId>()).map_while(Result::ok).last();

        let key = StagedKey::of(Kind::Upload, &longest.unwrap(), ImageId::random());

        assert_eq!(key.as_str().parse(), Ok(key.clone()));
    }
}
