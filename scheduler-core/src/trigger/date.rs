//! One instant.

use super::window::{MICROS, floor_micros, instant, readable, time};
use super::zone::Spans;
use super::{TriggerError, TriggerErrorKind};
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fires once, at one instant, even if that is already past when the job is added.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Date};
///
/// let at = Utc.with_ymd_and_hms(2027, 1, 1, 0, 0, 0).unwrap();
/// let trigger = Trigger::from(Date::at(at));
/// assert_eq!(trigger.next(None, at)?, Some(at));
/// assert_eq!(trigger.next(Some(at), at)?, None);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "DateTrigger")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Date {
    #[serde(with = "time")]
    at: DateTime<Utc>,
}

impl Date {
    /// Fires at this instant, cut to whole microseconds.
    #[doc(alias = "run_date")]
    pub fn at<Z: TimeZone>(at: DateTime<Z>) -> Self {
        let at = at.to_utc();
        Self { at: instant(floor_micros(at)).unwrap_or(at) }
    }

    /// Fires when the clocks of a zone show this date and time: the first instant after it if they skip it, the first
    /// of both if they show it twice.
    ///
    /// ```
    /// use chrono::NaiveDate;
    /// use scheduler_core::trigger::Date;
    ///
    /// let skipped = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(2, 30, 0).unwrap();
    /// let date = Date::civil(skipped, chrono_tz::Europe::Berlin)?;
    /// assert_eq!(date.instant().to_rfc3339(), "2026-03-29T01:00:00+00:00");
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](TriggerErrorKind::OutOfRange) for a year that no instant can hold.
    pub fn civil(civil: NaiveDateTime, zone: Tz) -> Result<Self, TriggerError> {
        let resolved = Spans::first_at(zone, civil.and_utc().timestamp());
        let subsec = i64::from(civil.and_utc().timestamp_subsec_micros());
        // Past a gap there is no fraction to keep: the first instant after it is a whole second.
        let fraction = if resolved.exists { subsec } else { 0 };
        let micros = resolved.instant.checked_mul(MICROS).and_then(|micros| micros.checked_add(fraction));
        let at = micros.and_then(instant).ok_or_else(|| {
            TriggerError::new(TriggerErrorKind::OutOfRange, format!("date {civil}: outside the years that can be kept"))
        })?;
        Ok(Self { at })
    }

    /// The instant.
    pub fn instant(&self) -> DateTime<Utc> {
        self.at
    }

    pub(super) fn next(&self, previous: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        previous.is_none().then_some(self.at)
    }

    pub(super) fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (self.at <= at).then_some(self.at)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "date {}", readable(self.at))
    }
}
