//! Triggers: when a job fires.
//!
//! A trigger is a value without state of its own: from the previous fire time and the present it says the next one. All
//! fire times are instants of UTC in whole microseconds.
//!
//! # Persisted form
//!
//! JSON, readable and writable from any language. `type` says which trigger it is; what is not given has its default.
//! Times are RFC 3339 in UTC with microseconds, durations whole microseconds (names end in `_us`), zones names of the
//! tz database, never offsets. `bound` holds what was left open and decided when the job was added.
//!
//! ```json
//! {"type": "date", "at": "2027-01-01T00:00:00.000000Z"}
//! {"type": "interval", "every_us": 5400000000, "start": "…", "end": "…", "first": "now", "bound": {"anchor": "…"}}
//! {"type": "cron", "dialect": "fields", "fields": {"hour": "9"}, "timezone": "Europe/Berlin", "start": "…", "end": "…",
//!  "gap": "shift", "overlap": "both", "bound": {"timezone": "…"}}
//! {"type": "custom", "name": "tides", "args": {"harbour": "Cuxhaven"}}
//! ```

mod cron;
mod custom;
mod date;
mod error;
mod interval;
mod jitter;
mod window;
mod zone;

pub use cron::{Cron, CronFields, Dialect, Gap, Overlap, Weekdays};
pub use custom::{Custom, CustomTrigger};
pub use date::Date;
pub use error::{TriggerError, TriggerErrorKind};
pub use interval::{First, Interval};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Says when a job fires.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::trigger::{Cron, Trigger};
///
/// let trigger = Trigger::from(Cron::fields().day("last fri").hour("18").build()?);
/// let now = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
/// let next = trigger.next_n(now, 2)?;
/// assert_eq!(next[0], Utc.with_ymd_and_hms(2026, 1, 30, 18, 0, 0).unwrap());
/// assert_eq!(next[1], Utc.with_ymd_and_hms(2026, 2, 27, 18, 0, 0).unwrap());
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trigger {
    /// Once, at an instant.
    Date(Date),
    /// Every so much real time.
    Interval(Interval),
    /// When the clocks of a zone show what an expression says.
    Cron(Cron),
    /// Code of your own.
    Custom(Box<Custom>),
}

impl Trigger {
    /// The next fire time: without a previous one the first at or after `now`, else the first strictly after it,
    /// whatever `now`. `None` if there is none.
    ///
    /// A [`Date`] without a previous fire time fires even if it is past.
    ///
    /// # Errors
    ///
    /// A period that cannot be used; a custom trigger that is not registered, fails, panics, or goes backwards.
    #[doc(alias = "get_next_fire_time")]
    #[inline]
    pub fn next(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self {
            Self::Cron(cron) => Ok(cron.next(previous, now)),
            Self::Interval(interval) => interval.next(previous, now),
            Self::Date(date) => Ok(date.next(previous)),
            Self::Custom(custom) => custom.next(previous, now),
        }
    }

    /// The last fire time at or before `at`, `None` if it is before the first.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn previous(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self {
            Self::Cron(cron) => Ok(cron.previous(at)),
            Self::Interval(interval) => interval.previous(at),
            Self::Date(date) => Ok(date.previous(at)),
            Self::Custom(custom) => custom.previous(at),
        }
    }

    /// How many fire times lie from `first` to `last`, both included, where that is cheap to say (interval, date).
    pub fn count(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> Option<u64> {
        match self {
            Self::Interval(interval) => interval.count(first, last),
            Self::Date(date) => Some(u64::from((first..=last).contains(&date.instant()))),
            Self::Cron(_) | Self::Custom(_) => None,
        }
    }

    /// Decides what is left open as written (an interval's anchor, the zone), once, when the job is first added. Again
    /// it changes nothing.
    #[must_use]
    pub fn bind(self, now: DateTime<Utc>, zone: Tz, job: &str) -> Self {
        match self {
            Self::Cron(cron) => Self::Cron(cron.bind(zone, job)),
            Self::Interval(interval) => Self::Interval(interval.bind(now)),
            other => other,
        }
    }

    /// True if both are written alike: what [`bind`](Self::bind) decided does not count.
    pub fn is_same_as_written(&self, other: &Self) -> bool {
        self.clone().unbound() == other.clone().unbound()
    }

    fn unbound(self) -> Self {
        match self {
            Self::Cron(cron) => Self::Cron(cron.unbound()),
            Self::Interval(interval) => Self::Interval(interval.unbound()),
            other => other,
        }
    }

    /// The next `k` fire times after an instant, or fewer if there are no more.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn next_n(&self, after: DateTime<Utc>, k: usize) -> Result<Vec<DateTime<Utc>>, TriggerError> {
        let mut fires = Vec::new();
        let mut previous = None;
        while fires.len() < k {
            let next = match previous {
                None => self.first_after(after)?,
                Some(_) => self.next(previous, after)?,
            };
            let Some(next) = next else { break };
            fires.push(next);
            previous = Some(next);
        }
        Ok(fires)
    }

    /// The first fire time strictly after an instant that need not be a fire time itself.
    fn first_after(&self, after: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self.next(None, after)? {
            Some(first) if first <= after => self.next(Some(first), after),
            first => Ok(first),
        }
    }

    /// How much later than `fire_time` a run of the job with this uid starts: from zero to the jitter of the trigger,
    /// never past its end, and always the same for the same job and fire time. Zero without jitter.
    ///
    /// Fire times never contain it, so it cannot add up.
    ///
    /// ```
    /// use chrono::{TimeZone, Utc};
    /// use scheduler_core::trigger::{Interval, Trigger};
    /// use std::time::Duration;
    ///
    /// let trigger = Trigger::from(Interval::hours(1).jitter(Duration::from_secs(60)));
    /// let fire_time = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    /// assert!(trigger.jitter(7, fire_time) <= Duration::from_secs(60));
    /// assert_eq!(trigger.jitter(7, fire_time), trigger.jitter(7, fire_time));
    /// ```
    pub fn jitter(&self, uid: u128, fire_time: DateTime<Utc>) -> Duration {
        let (jitter, window) = match self {
            Self::Cron(cron) => cron.window(),
            Self::Interval(interval) => interval.window(),
            Self::Date(_) | Self::Custom(_) => return Duration::ZERO,
        };
        jitter.delay(uid, fire_time, &window)
    }

    /// The longest that a fire time can be delayed; zero without jitter.
    pub fn longest_jitter(&self) -> Duration {
        match self {
            Self::Cron(cron) => Duration::from_micros(cron.window().0.longest()),
            Self::Interval(interval) => Duration::from_micros(interval.window().0.longest()),
            Self::Date(_) | Self::Custom(_) => Duration::ZERO,
        }
    }

    /// True for a fixed delay ([`Interval::after_end`]): `next` then wants the end of the run as `previous`.
    pub fn waits_for_end(&self) -> bool {
        matches!(self, Self::Interval(interval) if interval.waits_for_end())
    }

    /// Visits each custom trigger inside, so that its implementation can be looked up after decoding.
    pub fn custom_mut(&mut self, visit: &mut dyn FnMut(&mut Custom)) {
        if let Self::Custom(custom) = self {
            visit(custom);
        }
    }

    /// True if there is no fire time at all, as for 30 February. A custom trigger is believed to have one.
    pub fn never_fires(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.never_fires(),
            Self::Interval(interval) => interval.never_fires(),
            Self::Date(_) | Self::Custom(_) => false,
        }
    }

    /// Says in a sentence what the trigger does.
    pub fn describe(&self) -> String {
        match self {
            Self::Date(date) => format!("once, on {}", date.instant()),
            Self::Interval(interval) => format!("{interval}, in real time"),
            Self::Cron(cron) if cron.follows_real_time() => {
                format!("{cron}; follows real time where clocks are changed")
            }
            Self::Cron(cron) => format!("{cron}; fires once for each civil time where clocks are changed"),
            Self::Custom(custom) => format!("whenever the custom trigger `{}` says", custom.name),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(date) => date.fmt(f),
            Self::Interval(interval) => interval.fmt(f),
            Self::Cron(cron) => cron.fmt(f),
            Self::Custom(custom) => custom.fmt(f),
        }
    }
}

impl From<Date> for Trigger {
    fn from(date: Date) -> Self {
        Self::Date(date)
    }
}

impl From<Interval> for Trigger {
    fn from(interval: Interval) -> Self {
        Self::Interval(interval)
    }
}

impl From<Cron> for Trigger {
    fn from(cron: Cron) -> Self {
        Self::Cron(cron)
    }
}

impl From<Custom> for Trigger {
    fn from(custom: Custom) -> Self {
        Self::Custom(Box::new(custom))
    }
}
