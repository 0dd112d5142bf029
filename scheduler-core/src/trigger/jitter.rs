//! Jitter: how much later than its fire time a run starts, so that a thousand jobs at midnight do not start at once.

use super::window::{Window, floor_micros};
use crate::duration::Spelled;
use chrono::{DateTime, Utc};
use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

/// The longest delay, in microseconds; zero for none. The same job and fire time always give the same delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Jitter(u64);

/// 100 years, as for a period, a longer one is a mistake in the unit; it also keeps sums far from overflow.
const LONGEST: u64 = 36_525 * 86_400 * 1_000_000;

impl Jitter {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn up_to(longest: Duration) -> Self {
        Self::micros(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn micros(longest: u64) -> Self {
        Self(longest.min(LONGEST))
    }

    pub(crate) fn longest(self) -> u64 {
        self.0
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// The delay of a fire time, uniform from zero to the longest and never past the end of the window.
    pub(crate) fn delay(self, uid: u128, fire_time: DateTime<Utc>, window: &Window) -> Duration {
        if self.is_none() {
            return Duration::ZERO;
        }
        let fire_time = floor_micros(fire_time);
        let mut hasher = SipHasher13::new();
        hasher.write(&uid.to_le_bytes());
        hasher.write(&fire_time.to_le_bytes());
        let delay = u128::from(hasher.finish()).saturating_mul(u128::from(self.0).saturating_add(1)) >> 64;
        let room = window.end.saturating_sub(fire_time).max(0) as u64;
        Duration::from_micros((delay as u64).min(room))
    }
}

/// As it stands at the end of a trigger's text.
impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { Ok(()) } else { write!(f, " jitter {}", Spelled(self.0)) }
    }
}
