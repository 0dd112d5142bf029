//! One reading of both clocks.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// What the clocks say at one moment. The core never reads a clock; it is told.
///
/// ```
/// use std::time::Duration;
/// use chrono::{DateTime, Utc};
/// use scheduler_core::Now;
///
/// let now = Now { utc: DateTime::<Utc>::UNIX_EPOCH, monotonic: Duration::ZERO };
/// assert_eq!(now.utc.timestamp(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock in whole microseconds, rounded down. It may be stepped in either direction.
    pub utc: DateTime<Utc>,
    /// The time since an arbitrary start. It never goes back.
    pub monotonic: Duration,
}
