//! The jobs of a request, cut out of its body and not read yet: many small values in memory are a hundred times their text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{body::parsed, problem::Problem};

/// Most jobs of one request.
const MOST_JOBS: usize = 1_000;

/// What a request enqueues, as it stands in the body.
#[derive(Debug)]
pub enum Items<'a> {
    /// Anything but an array.
    One(&'a RawValue),
    /// The items of an array, 1 to 1,000.
    Many(Vec<&'a RawValue>),
}

impl<'a> Items<'a> {
    /// Cuts a body. An array that is too long is read no further.
    ///
    /// # Errors
    ///
    /// 400 when it is no JSON, 422 for an array that is empty or too long.
    pub fn of(json: &'a [u8]) -> Result<Self, Problem> {
        if json.trim_ascii_start().first() == Some(&b'[') {
            parsed(json).map(|Array(items)| Self::Many(items))
        } else {
            parsed(json).map(Self::One)
        }
    }
}

struct Array<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Array<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cut;

        impl<'de> Visitor<'de> for Cut {
            type Value = Array<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of 1 to {MOST_JOBS} jobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Array<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = array.next_element()? {
                    if items.len() == MOST_JOBS {
                        return Err(A::Error::custom(format_args!("an array has at most {MOST_JOBS} jobs")));
                    }
                    items.push(item);
                }
                if items.is_empty() {
                    return Err(A::Error::custom("an array has at least one job"));
                }
                Ok(Array(items))
            }
        }

        deserializer.deserialize_seq(Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Result<Vec<&str>, Problem> {
        Ok(match Items::of(json.as_bytes())? {
            Items::One(item) => vec![item.get()],
            Items::Many(items) => items.into_iter().map(RawValue::get).collect(),
        })
    }

    #[test]
    fn items_are_the_text_of_the_body() {
        assert_eq!(texts(" [ {\"a\": 1}, 2 ] ").unwrap(), ["{\"a\": 1}", "2"]);
        assert_eq!(texts(" {\"a\":[]} ").unwrap(), ["{\"a\":[]}"]);
        assert_eq!(texts("[[1]]").unwrap(), ["[1]"]);
    }

    #[test]
    fn what_is_no_json_is_refused_and_an_array_that_is_too_long_not_read_to_its_end() {
        for broken in ["", "{", "[1", "[1,]", "{} {}", "[] []"] {
            assert!(texts(broken).is_err(), "{broken:?} was taken");
        }
        let long = format!("[{}no JSON", "1,".repeat(MOST_JOBS + 1));
        let refused = texts(&long).unwrap_err().to_string();
        assert!(refused.contains("at most 1000 jobs"), "{refused}");
    }
}
