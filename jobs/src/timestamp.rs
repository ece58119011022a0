use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The last millisecond of the year 9999: RFC 3339 can say nothing later.
const MAX_MS: u64 = 253_402_300_799_999;

/// A moment, to the millisecond. On the wire RFC 3339 in UTC; any offset is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Milliseconds since 1970, as Redis' `TIME` counts them; what is after the year 9999 becomes its end.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(if ms > MAX_MS { MAX_MS } else { ms })
    }

    /// Milliseconds since 1970.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        let (date, clock) = (time.date(), time.time());
        write!(
            f,
            "{date}T{:02}:{:02}:{:02}.{:03}Z",
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|error| format!("not an RFC 3339 time: {error}"))?;
        // Not by way of `to_offset`: in UTC the time may be in a year that the calendar does not have.
        match u64::try_from(time.unix_timestamp_nanos() / 1_000_000) {
            Err(_) => Err("a time before 1970".to_owned()),
            Ok(ms) if ms > MAX_MS => Err("a time after the year 9999".to_owned()),
            Ok(ms) => Ok(Self(ms)),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, String> {
        text.parse().map(Timestamp::unix_ms)
    }

    #[test]
    fn any_offset_is_read_and_utc_is_written_to_the_millisecond() {
        for text in
            ["2026-11-23T10:00:00.345Z", "2026-11-23T12:00:00.345678+02:00", "2026-11-23t10:00:00.345z"]
        {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), "2026-11-23T10:00:00.345Z", "{text}");
        }
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(read("1970-01-01T00:00:01Z"), Ok(1_000));
    }

    #[test]
    fn what_is_after_the_year_9999_in_utc_is_refused_and_every_number_can_be_written() {
        assert_eq!(read("9999-12-31T23:59:59.999Z"), Ok(MAX_MS));
        assert!(read("9999-12-31T23:59:59-01:00").is_err());
        assert!(read("0000-01-01T00:00:00+01:00").is_err());
        for ms in [MAX_MS, MAX_MS + 1, u64::MAX] {
            assert_eq!(Timestamp::from_unix_ms(ms).to_string(), "9999-12-31T23:59:59.999Z");
        }
    }

    #[test]
    fn what_is_no_time_and_what_was_before_1970_is_refused() {
        for text in
            ["", "yesterday", "2026-11-23", "2026-11-23T10:00:00", "1969-12-31T23:59:59Z", "1700000000"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
