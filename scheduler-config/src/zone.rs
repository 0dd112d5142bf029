//! A zone by its name in the tz database.

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(crate) fn parse(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| format!("the tz database has no zone `{name}`; an example is `Europe/Berlin`"))
}

pub(crate) fn serialize<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
    zone.map(Tz::name).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tz>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| parse(&name).map_err(D::Error::custom)).transpose()
}
