//! Durations as people write them in a configuration: `"90s"`, `"1h 30m"`, `"250ms"`, or a number of seconds.
//!
//! For fields of serde; [`given`] is for one that may be left out, and [`or_none`] for one that may also be `"none"`.
//!
//! ```
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Limits {
//!     #[serde(with = "scheduler_core::duration")]
//!     lease: Duration,
//!     #[serde(default, with = "scheduler_core::duration::given", skip_serializing_if = "Option::is_none")]
//!     accuracy: Option<Duration>,
//! }
//!
//! let limits: Limits = serde_json::from_str(r#"{"lease": "1m 30s", "accuracy": 0.5}"#)?;
//! assert_eq!(limits.lease, Duration::from_secs(90));
//! assert_eq!(serde_json::to_string(&limits)?, r#"{"lease":"1m 30s","accuracy":"0.5s"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, value::MapAccessDeserializer},
};

use crate::options::exact_seconds;

/// Writes a duration as text, in whole microseconds.
///
/// ```
/// use std::time::Duration;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Limits {
///     #[serde(serialize_with = "scheduler_core::duration::serialize")]
///     lease: Duration,
/// }
///
/// let json = serde_json::to_string(&Limits { lease: Duration::from_millis(90_250) })?;
/// assert_eq!(json, r#"{"lease":"1m 30.25s"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Spelled(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
}

/// Reads a duration, as text or as a number of seconds.
///
/// ```
/// use std::time::Duration;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Limits {
///     #[serde(deserialize_with = "scheduler_core::duration::deserialize")]
///     lease: Duration,
/// }
///
/// for json in [r#"{"lease": "1m 30s"}"#, r#"{"lease": 90}"#, r#"{"lease": 90.0}"#] {
///     assert_eq!(serde_json::from_str::<Limits>(json)?.lease, Duration::from_secs(90));
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// It is something else, or a text that is not understood.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Written;

    impl de::Visitor<'_> for Written {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration as in \"1h 30m\", or a number of seconds")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            let refuse = || E::custom(format!("`{text}` is no duration; write it as in 1d 2h 3m 4.5s or 250ms"));
            parse(text).ok_or_else(refuse)
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
            Ok(Duration::from_secs(seconds))
        }

        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
            self.visit_f64(seconds as f64)
        }

        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
            exact_seconds::duration(seconds)
        }
    }

    deserializer.deserialize_any(Written)
}

/// A duration that may be left out; the field has a default then.
pub mod given {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Written};

    /// As [`serialize`](super::serialize).
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(Written).serialize(serializer)
    }

    /// As [`deserialize`](super::deserialize).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Written>::deserialize(deserializer)?.map(|Written(duration)| duration))
    }
}

/// A duration that may be left out, which leaves it open, and that may be none: `"none"`, or `null`.
pub mod or_none {
    use super::{Deserialize, Deserializer, Duration, OrNone, Serialize, Serializer, Written};

    /// As [`serialize`](super::serialize); none becomes `"none"`.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Option<Duration>>, serializer: S) -> Result<S::Ok, S::Error> {
        OrNone(duration.flatten().map(Written)).serialize(serializer)
    }

    /// As [`deserialize`](super::deserialize).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Duration>>, D::Error> {
        Ok(Some(OrNone::<Written>::deserialize(deserializer)?.0.map(|Written(duration)| duration)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Written(#[serde(with = "self")] Duration);

/// A value, or `"none"`, since TOML and the environment have no `null`.
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

const NONE: &str = "none";

impl<T: Serialize> Serialize for OrNone<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(NONE),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        // What is not none is the value's own affair, its complaints included.
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Either<T> {
            type Value = OrNone<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or `none`")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(OrNone(None))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == NONE { self.visit_unit() } else { some(text) }
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                some(value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                some(value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                some(value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                some(value)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Some).map(OrNone)
            }
        }

        fn some<'de, T: Deserialize<'de>, E: de::Error>(value: impl IntoDeserializer<'de, E>) -> Result<OrNone<T>, E> {
            T::deserialize(value.into_deserializer()).map(Some).map(OrNone)
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// Microseconds as `1d 2h 3m 4.5s`.
pub(crate) struct Spelled(pub(crate) u64);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let mut gap = "";
        for (size, unit, wrap) in [(86_400, 'd', u64::MAX), (3600, 'h', 24), (60, 'm', 60)] {
            let n = seconds.checked_div(size).and_then(|n| n.checked_rem(wrap)).unwrap_or_default();
            if n != 0 {
                write!(f, "{gap}{n}{unit}")?;
                gap = " ";
            }
        }
        let seconds = seconds % 60;
        match micros {
            0 if seconds == 0 && !gap.is_empty() => Ok(()),
            0 => write!(f, "{gap}{seconds}s"),
            _ => write!(f, "{gap}{seconds}.{}s", format!("{micros:06}").trim_end_matches('0')),
        }
    }
}

/// A duration in parts, with or without spaces between them.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut micros = (!rest.is_empty()).then_some(0u64)?;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let end = rest[unit..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |length| unit.saturating_add(length));
        micros = micros.checked_add(part(&rest[..end])?)?;
        rest = rest[end..].trim_start();
    }
    Some(Duration::from_micros(micros))
}

/// One part of a duration, in microseconds.
pub(crate) fn part(word: &str) -> Option<u64> {
    let (number, unit) = word.split_at_checked(word.find(|c: char| c.is_ascii_alphabetic())?)?;
    let micros = match unit {
        "d" => 86_400_000_000u64,
        "h" => 3_600_000_000,
        "m" => 60_000_000,
        "s" => 1_000_000,
        "ms" => 1_000,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(micros),
        Some((whole, fraction)) if unit == "s" && (1..=6).contains(&fraction.len()) => {
            let scale = 10u64.pow(6u32.saturating_sub(fraction.len() as u32));
            let fraction = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
            whole.parse::<u64>().ok()?.checked_mul(micros)?.checked_add(fraction)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Spelled, parse};

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [0, 1, 500_000, 1_000_000, 61_000_000, 86_400_000_000, 93_784_500_000, u64::MAX] {
            let text = Spelled(micros).to_string();
            assert_eq!(parse(&text).unwrap().as_micros(), u128::from(micros), "{text}");
        }
    }

    #[test]
    fn people_write_durations_in_parts() {
        for (text, millis) in [
            ("250ms", 250),
            ("1h30m", 5_400_000),
            (" 1m  1s ", 61_000),
            ("1.5s", 1_500),
            ("2m 5ms", 120_005),
            ("0s", 0),
        ] {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
        for text in
            ["", " ", "5", "s", "m5", "1 h", "1.5m", "1.s", "-1s", "1s,", "1y", "1S", "1sm", "300000000000d", "١s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
