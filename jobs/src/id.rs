//! Identifiers that become parts of keys, checked when they are made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Every message of [`InvalidId`] starts with it: through serde's flattening only the text of an error survives.
pub(crate) const MARK: &str = "invalid id: ";

/// An identifier that is not of its form. The text says what was given and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MARK}{expected}, got {got:?}")]
pub struct InvalidId {
    expected: &'static str,
    got: String,
}

impl InvalidId {
    pub(crate) fn new(expected: &'static str, got: &str) -> Self {
        Self { expected, got: got.chars().take(80).collect() }
    }
}

/// Id of a user or a product: `^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`. On the wire a string or an integer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(String);

impl OwnerId {
    const EXPECTED: &'static str =
        "user_id and product_id are 1 to 128 letters, digits, `_` or `-`, a letter or digit first";

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OwnerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if first && rest && text.len() <= 128 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(Self::EXPECTED, text))
        }
    }
}

impl<'de> Deserialize<'de> for OwnerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = OwnerId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id (string or integer)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OwnerId, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<OwnerId, E> {
                Ok(OwnerId(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<OwnerId, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Id of one image: a UUID, lower-cased and hyphenated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(Uuid);

impl ImageId {
    /// A fresh random id (UUID version 4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id that belongs to a digest (UUID version 8): the same input names the same image.
    pub fn of_digest(digest: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }
}

impl From<Uuid> for ImageId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for ImageId {
    type Err = InvalidId;

    /// Takes the hyphenated form alone, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        uuid.map(Self).ok_or_else(|| InvalidId::new("image_id is a UUID with hyphens", text))
    }
}

/// Id of a job: `^[A-Za-z0-9_-]{1,64}$`. Ours are ULIDs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(String);

impl JobId {
    /// A fresh ULID.
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate().to_string())
    }

    /// The id as Redis keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if allowed && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            let expected = "a job id is 1 to 64 letters, digits, `_` or `-`";
            Err(InvalidId::new(expected, text))
        }
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ids read and write as their text.
macro_rules! textual {
    ($($id:ty: $pattern:literal)*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $id {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($id).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::text($pattern)
            }
        }
    )*};
    (deserialize $($id:ty)*) => {$(
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
pub(crate) use textual;

textual!(
    ImageId: "^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"
    JobId: "^[A-Za-z0-9_-]{1,64}$"
);
textual!(deserialize ImageId JobId);

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for OwnerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for OwnerId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OwnerId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A string or a non-negative integer.",
            "anyOf": [
                { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$" },
                { "type": "integer", "minimum": 0 }
            ]
        })
    }
}
