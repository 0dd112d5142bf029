//! Whole microseconds of UTC, the start and end that every trigger may have, and how both are persisted.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) const MICROS: i64 = 1_000_000;

/// The last instant that can be kept, in microseconds since 1970.
pub(crate) const LAST_INSTANT: i64 = DateTime::<Utc>::MAX_UTC.timestamp_micros();

/// Microseconds since 1970; what lies between two of them counts as the earlier.
pub(crate) fn floor_micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// Microseconds since 1970; what lies between two of them counts as the later.
pub(crate) fn ceil_micros(at: DateTime<Utc>) -> i64 {
    let floor = at.timestamp_micros();
    if at.timestamp_subsec_nanos().is_multiple_of(1000) { floor } else { floor.saturating_add(1) }
}

/// The instant, if chrono can hold it (some 262,000 years either way).
pub(crate) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// The fire times that a trigger may use: from `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Window {
    pub(crate) const OPEN: Self = Self { start: i64::MIN, end: i64::MAX };

    pub(crate) fn start(&self) -> Option<DateTime<Utc>> {
        (self.start != i64::MIN).then(|| instant(self.start)).flatten()
    }

    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        (self.end != i64::MAX).then(|| instant(self.end)).flatten()
    }

    pub(crate) fn of(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Self {
        Self { start: start.map_or(i64::MIN, ceil_micros), end: end.map_or(i64::MAX, floor_micros) }
    }

    pub(crate) fn contains(&self, micros: i64) -> bool {
        (self.start..=self.end).contains(&micros)
    }
}

/// `2026-11-21T09:30:00.000000Z`: the one spelling of an instant in persisted JSON.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The shortest spelling that says the same, for people.
pub(crate) fn readable(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// serde for a [`DateTime<Utc>`], for use with `#[serde(with = ..)]`.
pub(crate) mod time {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = if text.starts_with(['+', '-']) {
            // RFC 3339 ends at 9999; what lies beyond is written, and read, with a sign.
            text.parse::<DateTime<Utc>>()
        } else {
            DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc())
        };
        read.map_err(|error| serde::de::Error::custom(format_args!("time `{text}`: {error}; write RFC 3339")))
    }
}

/// The same for an `Option<DateTime<Utc>>`.
pub(crate) mod optional_time {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => time::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "time")] DateTime<Utc>);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

/// serde for an optional zone, by its name in the tz database.
pub(crate) mod optional_zone {
    use super::*;
    use chrono_tz::Tz;

    pub(crate) fn serialize<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
        match zone {
            Some(zone) => serializer.serialize_str(zone.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tz>, D::Error> {
        let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        name.parse()
            .map(Some)
            .map_err(|_| serde::de::Error::custom(format_args!("time zone `{name}`: not a name of the tz database")))
    }
}

/// serde for dates, as `2026-11-21`.
pub(crate) mod date {
    use super::*;

    pub(crate) fn parse<E: serde::de::Error>(text: &str) -> Result<NaiveDate, E> {
        text.parse().map_err(|error| E::custom(format_args!("date `{text}`: {error}; write it as in 2026-11-21")))
    }

    pub(crate) mod optional {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(date: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
            match date {
                Some(date) => serializer.collect_str(date),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
            Option::<String>::deserialize(deserializer)?.map(|text| parse(&text)).transpose()
        }
    }
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
