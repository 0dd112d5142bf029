//! Time as an argument: a reading of the wall clock and of the monotonic clock.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// One reading of both clocks.
///
/// Fire times, due times and leases kept in a store compare with [`utc`](Self::utc), which people
/// and time servers move at will. Spans that must not suffer from that, such as how long ago a
/// lease was asked for, compare with [`monotonic`](Self::monotonic). Both come from one reading, so
/// that a decision never mixes two moments.
///
/// ```
/// use std::time::Duration;
///
/// use chrono::DateTime;
/// use scheduler_core::Now;
///
/// let asked = Now {
///     utc: DateTime::from_timestamp_micros(1_767_225_600_000_000).unwrap(),
///     monotonic: Duration::from_secs(40),
/// };
/// // An operator sets the wall clock back by an hour; five seconds of real time pass.
/// let answered = Now {
///     utc: DateTime::from_timestamp_micros(1_767_222_005_000_000).unwrap(),
///     monotonic: Duration::from_secs(45),
/// };
///
/// assert_eq!(answered.monotonic - asked.monotonic, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, in whole microseconds, rounded down. It may go back.
    pub utc: DateTime<Utc>,
    /// The time since an arbitrary start. It never goes back.
    pub monotonic: Duration,
}
