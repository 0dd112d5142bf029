//! Virtual time: microseconds since the beginning of a simulation.

use chrono::{DateTime, TimeDelta, Utc};

pub(super) const MS: i64 = 1_000;
pub(super) const SECOND: i64 = 1_000_000;

/// The instant, by a true clock.
pub(super) fn utc(micros: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp_micros(1_795_000_000_000_000).expect("it is a time of 2026");
    start + TimeDelta::microseconds(micros)
}
