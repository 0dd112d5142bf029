//! Every so much real time.

use super::jitter::Jitter;
use super::window::{
    LAST_INSTANT, MICROS, Window, ceil_micros, floor_micros, instant, is_default, optional_time, readable,
};
use super::{TriggerError, TriggerErrorKind};
use crate::duration::Spelled;
use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// 1,000 years of 365.25 days: longer is a mistake in the unit.
const LONGEST: u64 = 365_250 * 86_400 * MICROS as u64;

/// Fires every so much real time, on a grid that is anchored once and never drifts.
///
/// An hour is an hour whatever the clocks on the wall do; for "each day at nine" use a calendar interval or cron.
/// The grid starts at [`starting_at`](Self::starting_at), else when the job is added: by default one period later
/// ([`First`]). Periods add up: `Interval::hours(1) + Interval::minutes(30)`.
///
/// ```
/// use chrono::{TimeDelta, TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Interval};
///
/// let start = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
/// let trigger = Trigger::from((Interval::hours(1) + Interval::minutes(30)).starting_at(start));
/// let late = start + TimeDelta::minutes(100);
/// assert_eq!(trigger.next(None, late)?, Some(start + TimeDelta::hours(3)));
/// assert_eq!(trigger.previous(late)?, Some(start + TimeDelta::minutes(90)));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "IntervalTrigger")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Interval {
    /// Microseconds; zero and more than the longest are told at the first use.
    period: u64,
    window: Window,
    /// The grid's origin, bound when the job is added without a start; the least number if it is not bound.
    anchor: i64,
    jitter: Jitter,
    first: First,
    rate: Rate,
}

/// From where a period counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rate {
    /// From fire time to fire time.
    #[default]
    Fixed,
    /// From the end of a run to the next fire time.
    AfterEnd,
}

const UNBOUND: i64 = i64::MIN;

/// When an [`Interval`] without a start fires first. The default is after one interval, as in APScheduler.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{First, Interval}};
///
/// let now = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
/// let trigger = Trigger::from(Interval::hours(1).first(First::Now));
/// assert_eq!(trigger.next(None, now)?, Some(now));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// One period after the job is added.
    #[default]
    AfterOneInterval,
    /// When the job is added.
    Now,
}

impl Interval {
    /// Fires once per period. The shortest is a microsecond; what lies below is cut off.
    pub fn every(period: Duration) -> Self {
        Self::micros(u64::try_from(period.as_micros()).unwrap_or(u64::MAX))
    }

    /// Fires every `n` seconds.
    pub fn seconds(n: u64) -> Self {
        Self::micros(n.saturating_mul(MICROS as u64))
    }

    /// Fires every `n` minutes.
    pub fn minutes(n: u64) -> Self {
        Self::seconds(n.saturating_mul(60))
    }

    /// Fires every `n` hours.
    pub fn hours(n: u64) -> Self {
        Self::seconds(n.saturating_mul(3600))
    }

    /// Fires every `n` times 24 hours.
    pub fn days(n: u64) -> Self {
        Self::seconds(n.saturating_mul(86_400))
    }

    /// Fires every `n` times 168 hours.
    pub fn weeks(n: u64) -> Self {
        Self::seconds(n.saturating_mul(604_800))
    }

    fn micros(period: u64) -> Self {
        Self {
            period,
            window: Window::OPEN,
            anchor: UNBOUND,
            jitter: Jitter::default(),
            first: First::default(),
            rate: Rate::Fixed,
        }
    }

    /// Fires one period after the end of each run (a fixed delay), so that runs never overlap.
    ///
    /// A run that was lost or skipped counts as ended. Such a trigger needs `max_instances` 1 and cannot be part of a
    /// combination. [`Trigger::next`](super::Trigger::next) takes the end of the run as `previous`.
    ///
    /// ```
    /// use chrono::{TimeDelta, TimeZone, Utc};
    /// use scheduler_core::{Trigger, trigger::Interval};
    /// use std::time::Duration;
    ///
    /// let trigger = Trigger::from(Interval::after_end(Duration::from_secs(60)));
    /// assert!(trigger.waits_for_end());
    /// let ended = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 17).unwrap();
    /// assert_eq!(trigger.next(Some(ended), ended)?, Some(ended + TimeDelta::seconds(60)));
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    pub fn after_end(period: Duration) -> Self {
        Self { rate: Rate::AfterEnd, ..Self::every(period) }
    }

    /// Fires first at `start` and then on the grid that begins there. By default the grid begins when the job is added.
    #[doc(alias = "start_date")]
    #[must_use]
    pub fn starting_at<Z: TimeZone>(mut self, start: DateTime<Z>) -> Self {
        self.window.start = floor_micros(start.to_utc());
        self
    }

    /// Fires no later than `end`, which is itself allowed. By default it never ends.
    #[doc(alias = "end_date")]
    #[must_use]
    pub fn until<Z: TimeZone>(mut self, end: DateTime<Z>) -> Self {
        self.window.end = floor_micros(end.to_utc());
        self
    }

    /// Says when an interval without a start fires first. By default after one interval.
    #[must_use]
    pub fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }

    /// Starts each run up to so much later than its fire time, spread evenly and the same whenever it is computed.
    /// By default nothing is added.
    #[must_use]
    pub fn jitter(mut self, longest: Duration) -> Self {
        self.jitter = Jitter::up_to(longest);
        self
    }

    /// How long from one fire time to the next.
    pub fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// Looks whether the period can be used at all.
    ///
    /// # Errors
    ///
    /// [`Period`](TriggerErrorKind::Period) if it is zero, or longer than 1,000 years.
    pub fn check(&self) -> Result<(), TriggerError> {
        self.step().map(drop)
    }

    fn step(&self) -> Result<i64, TriggerError> {
        match self.period {
            0 => Err(TriggerError::new(
                TriggerErrorKind::Period,
                "interval: the period is zero; give at least one microsecond",
            )),
            1..=LONGEST => Ok(self.period as i64),
            _ => Err(TriggerError::new(
                TriggerErrorKind::Period,
                "interval: the period is longer than 1,000 years; check its unit",
            )),
        }
    }

    /// Where the grid begins, if that is known already.
    fn origin(&self) -> Option<i64> {
        let origin = if self.window.start == i64::MIN { self.anchor } else { self.window.start };
        (origin != UNBOUND).then_some(origin)
    }

    fn origin_from(&self, now: i64) -> i64 {
        let origin = match self.first {
            First::AfterOneInterval => now.saturating_add(self.period.min(LONGEST) as i64),
            First::Now => now,
        };
        // At the end of the calendar there is no later instant.
        origin.min(LAST_INSTANT)
    }

    pub(super) fn waits_for_end(&self) -> bool {
        self.rate == Rate::AfterEnd
    }

    pub(super) fn is_bound(&self) -> bool {
        self.origin().is_some()
    }

    pub(super) fn window(&self) -> (Jitter, Window) {
        (self.jitter, self.window)
    }

    pub(super) fn bind(mut self, now: DateTime<Utc>) -> Self {
        if !self.is_bound() {
            self.anchor = self.origin_from(ceil_micros(now));
        }
        self
    }

    pub(super) fn next(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let step = self.step()?;
        let now = ceil_micros(now);
        let next = match (self.origin(), previous, self.rate) {
            (None, None, _) => Some(self.origin_from(now)),
            (Some(origin), None, Rate::Fixed) => at_or_after(origin, step, now),
            (Some(origin), None, Rate::AfterEnd) => Some(origin.max(now)),
            (Some(origin), Some(previous), Rate::Fixed) => {
                at_or_after(origin, step, floor_micros(previous).saturating_add(1))
            }
            (_, Some(previous), _) => floor_micros(previous).checked_add(step),
        };
        Ok(next.filter(|&next| next <= self.window.end).and_then(instant))
    }

    pub(super) fn previous(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let step = self.step()?;
        let at = floor_micros(at).min(self.window.end);
        let Some(origin) = self.origin().filter(|&origin| origin <= at) else { return Ok(None) };
        Ok(match self.rate {
            Rate::Fixed => at.checked_sub(past_grid(origin, step, at)).and_then(instant),
            // Later ones depend on the ends of runs.
            Rate::AfterEnd => instant(origin),
        })
    }

    pub(super) fn count(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> Option<u64> {
        if self.waits_for_end() {
            return None;
        }
        let (step, origin) = (self.step().ok()?, self.origin()?);
        let last = floor_micros(last).min(self.window.end);
        let Some(first) = at_or_after(origin, step, ceil_micros(first)) else { return Some(0) };
        let periods = last.abs_diff(first).checked_div(step.unsigned_abs())?;
        Some(if first > last { 0 } else { periods.saturating_add(1) })
    }

    pub(super) fn unbound(mut self) -> Self {
        self.anchor = UNBOUND;
        self
    }

    /// Without the anchor if it was bound after an instant, by a clock that was ahead.
    pub(super) fn unbound_after(self, horizon: DateTime<Utc>) -> Self {
        let latest = self.origin_from(floor_micros(horizon));
        if self.anchor > latest { self.unbound() } else { self }
    }

    pub(super) fn never_fires(&self) -> bool {
        self.origin().is_some_and(|origin| origin > self.window.end)
    }
}

/// The first point of the grid at or after an instant; never before the origin.
fn at_or_after(origin: i64, step: i64, instant: i64) -> Option<i64> {
    if instant <= origin {
        return Some(origin);
    }
    match past_grid(origin, step, instant) {
        0 => Some(instant),
        past => instant.checked_add(step.saturating_sub(past)),
    }
}

/// How far an instant lies behind a point of the grid.
fn past_grid(origin: i64, step: i64, instant: i64) -> i64 {
    match instant.checked_sub(origin) {
        Some(past) => past.rem_euclid(step),
        // Further apart than a number can say; each remainder is less than a period.
        None => instant.rem_euclid(step).saturating_sub(origin.rem_euclid(step)).rem_euclid(step),
    }
}

/// Adds the periods; start, end and first are those of the left side.
impl Add for Interval {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.period = self.period.saturating_add(other.period);
        self
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {}", Spelled(self.period))?;
        if self.rate == Rate::AfterEnd {
            write!(f, " after the end")?;
        }
        if let Some(start) = self.window.start() {
            write!(f, " starting at {}", readable(start))?;
        } else if self.first == First::Now {
            write!(f, " starting now")?;
        }
        if let Some(end) = self.window.end() {
            write!(f, " until {}", readable(end))?;
        }
        self.jitter.fmt(f)
    }
}

/// The persisted form.
#[derive(Serialize, Deserialize)]
struct Form {
    every_us: u64,
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    start: Option<DateTime<Utc>>,
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    end: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "is_default")]
    first: First,
    #[serde(default, skip_serializing_if = "is_default")]
    rate: Rate,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter_us: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    bound: Bound,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Bound {
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    anchor: Option<DateTime<Utc>>,
}

impl From<Interval> for Form {
    fn from(interval: Interval) -> Self {
        Self {
            every_us: interval.period,
            start: interval.window.start(),
            end: interval.window.end(),
            first: interval.first,
            rate: interval.rate,
            jitter_us: interval.jitter.longest(),
            bound: Bound { anchor: (interval.anchor != UNBOUND).then(|| instant(interval.anchor)).flatten() },
        }
    }
}

impl TryFrom<Form> for Interval {
    type Error = TriggerError;

    fn try_from(form: Form) -> Result<Self, TriggerError> {
        let interval = Self {
            period: form.every_us,
            window: Window::of(form.start, form.end),
            anchor: form.bound.anchor.map_or(UNBOUND, floor_micros),
            jitter: Jitter::micros(form.jitter_us),
            first: form.first,
            rate: form.rate,
        };
        interval.check()?;
        Ok(interval)
    }
}
