//! The clocks of the operating system.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use scheduler_core::Now;

/// The clocks of the operating system: the one place that reads them.
///
/// The monotonic clock starts with the first reading in this process. On Linux, Android and Windows it
/// counts the time for which the machine was suspended, so that a lease that ran out meanwhile is seen
/// to have run out. On macOS and the BSDs it stands still then; the wall clock shows a suspension
/// everywhere.
///
/// ```
/// use scheduler_runtime::SystemClock;
///
/// let earlier = SystemClock::now();
/// let later = SystemClock::now();
/// assert!(later.monotonic >= earlier.monotonic);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

impl SystemClock {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Now {
        Now { utc: wall_clock(), monotonic: monotonic() }
    }
}

fn monotonic() -> Duration {
    static START: OnceLock<Duration> = OnceLock::new();
    let reading = uptime();
    // Another thread may have set the start a moment after our reading.
    reading.saturating_sub(*START.get_or_init(|| reading))
}

/// Suspended time included, which std leaves out.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn uptime() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    Duration::try_from(clock_gettime(ClockId::Boottime)).expect("the system booted in the past")
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn uptime() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let reading = instant();
    reading.saturating_duration_since(*START.get_or_init(|| reading))
}

/// The present on the clock that sleeps are counted by.
#[expect(clippy::disallowed_methods, reason = "this is the clock of every runtime")]
pub(super) fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock of every runtime")]
fn wall_clock() -> DateTime<Utc> {
    whole_microseconds(SystemTime::now())
}

/// Rounds down, before 1970 too, and stays within the years that chrono can say.
fn whole_microseconds(time: SystemTime) -> DateTime<Utc> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros())
            .ok()
            .and_then(DateTime::from_timestamp_micros)
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
        Err(before) => i64::try_from(before.duration().as_nanos().div_ceil(1_000))
            .ok()
            .and_then(|micros| DateTime::from_timestamp_micros(-micros))
            .unwrap_or(DateTime::<Utc>::MIN_UTC),
    }
}

/// The instant `duration` from now, or none if the clock cannot say it.
pub(super) fn instant_after(duration: Duration) -> Option<Instant> {
    instant().checked_add(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_rounded_down_to_a_microsecond_on_either_side_of_1970() {
        let round = |time| whole_microseconds(time).timestamp_micros();

        assert_eq!(round(UNIX_EPOCH), 0);
        assert_eq!(round(UNIX_EPOCH + Duration::from_nanos(1_999)), 1);
        assert_eq!(round(UNIX_EPOCH - Duration::from_nanos(1)), -1);
        assert_eq!(round(UNIX_EPOCH - Duration::from_nanos(1_000)), -1);
        assert_eq!(round(UNIX_EPOCH - Duration::from_nanos(1_001)), -2);
    }

    #[test]
    fn a_wall_clock_beyond_the_calendar_is_held_at_its_end() {
        let far = Duration::from_secs(400_000 * 366 * 86_400);

        assert_eq!(whole_microseconds(UNIX_EPOCH + far), DateTime::<Utc>::MAX_UTC);
        assert_eq!(whole_microseconds(UNIX_EPOCH - far), DateTime::<Utc>::MIN_UTC);
    }
}
