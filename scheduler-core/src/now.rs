//! One reading of both clocks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

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

impl Now {
    /// What the clocks say after some time, if they are not set; at the end of the calendar the wall clock stands still.
    ///
    /// ```
    /// use std::time::Duration;
    /// use chrono::{DateTime, Utc};
    /// use scheduler_core::Now;
    ///
    /// let start = Now { utc: DateTime::<Utc>::UNIX_EPOCH, monotonic: Duration::ZERO };
    /// let later = start.after(Duration::from_secs(60));
    /// assert_eq!((later.utc.timestamp(), later.monotonic.as_secs()), (60, 60));
    /// ```
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self { utc: later(self.utc, passed), monotonic: self.monotonic.saturating_add(passed) }
    }
}

/// An instant and so much more; the end of the calendar if that is later.
pub(crate) fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let by = TimeDelta::from_std(by).ok();
    by.and_then(|by| at.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// An instant and so much less; the beginning of the calendar if that is earlier.
pub(crate) fn earlier(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let by = TimeDelta::from_std(by).ok();
    by.and_then(|by| at.checked_sub_signed(by)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// The earlier of two instants, if there are any.
pub(crate) fn earliest(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    a.into_iter().chain(b).min()
}
