//! Every so many days, weeks, months or years, at a time of day.

use super::combine::Budget;
use super::jitter::Jitter;
use super::window::{MICROS, Window, ceil_micros, date, floor_micros, instant, is_default, optional_zone};
use super::zone::{Spans, shown_date};
use super::{TriggerError, TriggerErrorKind};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// 10,000 years: longer is a mistake in the unit.
const LONGEST_DAYS: u32 = 3_652_425;

/// Fires every so many years, months, weeks and days, at one time of day on the clocks of a zone.
///
/// The first date is [`starting_on`](Self::starting_on), by default the day on which the job is added; from there on the day of the
/// month never drifts: from 31 January a monthly trigger goes to 31 March and skips February, or with
/// [`MonthEnd::Clamp`] goes to 28 February and then to 31 March. A time that the clocks skip counts as the first instant
/// after the gap; of a time that they show twice the first counts.
///
/// ```
/// use chrono::{NaiveDate, NaiveTime, TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::CalendarInterval};
///
/// let trigger = Trigger::from(
///     CalendarInterval::months(1)
///         .starting_on(NaiveDate::from_ymd_opt(2026, 1, 31).unwrap())
///         .at(NaiveTime::from_hms_opt(9, 0, 0).unwrap())
///         .timezone(chrono_tz::Europe::Berlin),
/// );
/// let next = trigger.next_n(Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap(), 3)?;
/// let days: Vec<_> = next.iter().map(|at| at.to_rfc3339()).collect();
/// assert_eq!(days, ["2026-01-31T08:00:00+00:00", "2026-03-31T07:00:00+00:00", "2026-05-31T07:00:00+00:00"]);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "CalendarIntervalTrigger")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct CalendarInterval {
    months: u32,
    days: u32,
    /// Seconds since midnight.
    time: u32,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    bound_start: Option<NaiveDate>,
    jitter: Jitter,
    zone: Option<Tz>,
    bound_zone: Option<Tz>,
    month_end: MonthEnd,
}

/// What becomes of a month that lacks the day. The default is to skip it, as in APScheduler.
///
/// ```
/// use chrono::{NaiveDate, TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{CalendarInterval, MonthEnd}};
///
/// let last_day = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
/// let trigger = Trigger::from(CalendarInterval::months(1).starting_on(last_day).month_end(MonthEnd::Clamp));
/// let next = trigger.next_n(Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap(), 3)?;
/// let days: Vec<_> = next.iter().map(|at| at.date_naive().to_string()).collect();
/// assert_eq!(days, ["2026-01-31", "2026-02-28", "2026-03-31"]);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonthEnd {
    /// Skip the month.
    #[default]
    Skip,
    /// Fire on its last day.
    Clamp,
}

impl CalendarInterval {
    /// Fires every `n` years.
    pub fn years(n: u32) -> Self {
        Self::months(n.saturating_mul(12))
    }

    /// Fires every `n` months.
    pub fn months(n: u32) -> Self {
        Self { months: n, ..Self::days(0) }
    }

    /// Fires every `n` weeks.
    pub fn weeks(n: u32) -> Self {
        Self::days(n.saturating_mul(7))
    }

    /// Fires every `n` days.
    pub fn days(n: u32) -> Self {
        Self {
            months: 0,
            days: n,
            time: 0,
            start: None,
            end: None,
            bound_start: None,
            jitter: Jitter::default(),
            zone: None,
            bound_zone: None,
            month_end: MonthEnd::Skip,
        }
    }

    /// The time of day, in whole seconds. By default midnight.
    #[must_use]
    pub fn at(mut self, time: NaiveTime) -> Self {
        self.time = time.num_seconds_from_midnight();
        self
    }

    /// The first date, from which all others count. By default the day on which the job is added.
    #[doc(alias = "start_date")]
    #[must_use]
    pub fn starting_on(mut self, start: NaiveDate) -> Self {
        self.start = Some(start);
        self
    }

    /// The last date, itself included. By default there is none.
    #[doc(alias = "end_date")]
    #[must_use]
    pub fn until(mut self, end: NaiveDate) -> Self {
        self.end = Some(end);
        self
    }

    /// The zone whose clocks count. By default the scheduler's, bound when the job is added.
    #[must_use]
    pub fn timezone(mut self, zone: Tz) -> Self {
        self.zone = Some(zone);
        self
    }

    /// What becomes of a month that lacks the day. By default it is skipped.
    #[must_use]
    pub fn month_end(mut self, month_end: MonthEnd) -> Self {
        self.month_end = month_end;
        self
    }

    /// Starts each run up to so much later than its fire time, spread evenly and the same whenever it is computed.
    /// By default nothing is added.
    #[must_use]
    pub fn jitter(mut self, longest: Duration) -> Self {
        self.jitter = Jitter::up_to(longest);
        self
    }

    /// Looks whether the period can be used at all.
    ///
    /// # Errors
    ///
    /// [`Period`](TriggerErrorKind::Period) if it is zero, or longer than 10,000 years.
    pub fn check(&self) -> Result<(), TriggerError> {
        let error = |text: &str| Err(TriggerError::new(TriggerErrorKind::Period, text));
        match (self.months, self.days) {
            (0, 0) => error("calendar interval: the period is zero; give at least one day"),
            (0..=120_000, 0..=LONGEST_DAYS) => Ok(()),
            _ => error("calendar interval: the period is longer than 10,000 years; check its unit"),
        }
    }

    pub(crate) fn zone(&self) -> Tz {
        self.zone.or(self.bound_zone).unwrap_or(Tz::UTC)
    }

    pub(super) fn is_bound(&self) -> bool {
        self.start.or(self.bound_start).is_some() && self.zone.or(self.bound_zone).is_some()
    }

    pub(super) fn bind(mut self, now: DateTime<Utc>, zone: Tz) -> Self {
        if self.zone.or(self.bound_zone).is_none() {
            self.bound_zone = Some(zone);
        }
        if self.start.or(self.bound_start).is_none() {
            self.bound_start = Some(self.date_of(floor_micros(now)));
        }
        self
    }

    pub(super) fn unbound(mut self) -> Self {
        (self.bound_start, self.bound_zone) = (None, None);
        self
    }

    /// Without the first date if it was bound after an instant, by a clock that was ahead.
    pub(super) fn unbound_after(mut self, horizon: DateTime<Utc>) -> Self {
        let latest = self.date_of(floor_micros(horizon));
        self.bound_start = self.bound_start.filter(|start| *start <= latest);
        self
    }

    /// The jitter, and as far as it may go: to the end of the last date.
    pub(super) fn window(&self) -> (Jitter, Window) {
        let end = self.end.and_then(|end| end.succ_opt());
        let end = end.map_or(i64::MAX, |after| self.resolve(after, 0).saturating_sub(1));
        (self.jitter, Window { end, ..Window::OPEN })
    }

    /// The first fire time at or after an instant.
    pub(super) fn at_or_after(
        &self,
        from: DateTime<Utc>,
        budget: &mut Budget,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        self.check()?;
        let from = ceil_micros(from);
        if from > LATEST {
            return Ok(None);
        }
        let today = self.date_of(from);
        let start = self.start.or(self.bound_start).unwrap_or(today);
        // Earlier, for a gap can push a time into a later date.
        let mut target = today.checked_sub_days(DAYS_OF_GAP).unwrap_or(today);
        loop {
            let Some(date) = self.on_or_after(start, target, budget)? else { return Ok(None) };
            if date > self.last_date() {
                return Ok(None);
            }
            let at = self.resolve(date, self.time);
            if at >= from {
                return Ok(instant(at));
            }
            let Some(later) = date.succ_opt() else { return Ok(None) };
            target = later;
        }
    }

    /// The last fire time at or before an instant.
    pub(super) fn at_or_before(
        &self,
        to: DateTime<Utc>,
        budget: &mut Budget,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        self.check()?;
        let Some(start) = self.start.or(self.bound_start) else { return Ok(None) };
        let to = floor_micros(to);
        if to < EARLIEST {
            return Ok(None);
        }
        let today = self.date_of(to);
        let mut target = today.checked_add_days(DAYS_OF_GAP).unwrap_or(today).min(self.last_date());
        loop {
            let Some(date) = self.on_or_before(start, target, budget)? else { return Ok(None) };
            let at = self.resolve(date, self.time);
            if at <= to {
                return Ok(instant(at));
            }
            let Some(earlier) = date.pred_opt() else { return Ok(None) };
            target = earlier;
        }
    }

    /// The last date that can be one of the trigger's.
    fn last_date(&self) -> NaiveDate {
        self.end.map_or(LAST_DATE, |end| end.min(LAST_DATE))
    }

    /// The date that the clocks of the zone show, within the years of the calendar.
    fn date_of(&self, micros: i64) -> NaiveDate {
        let utc = instant(micros.clamp(EARLIEST, LATEST));
        utc.and_then(|utc| shown_date(self.zone(), utc)).expect("years 68 to 9999 are chrono's, too")
    }

    /// The first instant, in microseconds, of a time on a date, or the end of the gap that skips it.
    fn resolve(&self, date: NaiveDate, time: u32) -> i64 {
        let civil = date.and_time(NaiveTime::MIN).and_utc().timestamp().saturating_add(i64::from(time));
        Spans::first_at(self.zone(), civil).instant.saturating_mul(MICROS)
    }

    fn on_or_after(
        &self,
        start: NaiveDate,
        target: NaiveDate,
        budget: &mut Budget,
    ) -> Result<Option<NaiveDate>, TriggerError> {
        let mut dates = self.dates_from(start, target);
        while dates.date.is_some_and(|date| date < target) {
            budget.spend(1)?;
            dates.advance();
        }
        Ok(dates.date)
    }

    fn on_or_before(
        &self,
        start: NaiveDate,
        target: NaiveDate,
        budget: &mut Budget,
    ) -> Result<Option<NaiveDate>, TriggerError> {
        if target < start {
            return Ok(None);
        }
        let mut dates = self.dates_from(start, target);
        let mut last = None;
        while let Some(date) = dates.date.filter(|&date| date <= target) {
            budget.spend(1)?;
            last = Some(date);
            dates.advance();
        }
        // The jump may have landed behind the target, over months that lack the day.
        while last.is_none() {
            budget.spend(1)?;
            if dates.retreat().is_none() {
                return Ok(None);
            }
            last = dates.date.filter(|&date| date <= target);
        }
        Ok(last)
    }

    /// The dates of the trigger, from a little before the target on, wherever that can be computed without walking.
    fn dates_from(&self, start: NaiveDate, target: NaiveDate) -> Dates<'_> {
        let walks = self.month_end == MonthEnd::Skip && self.months > 0 && self.days > 0;
        // Never too far: a month has at most 31 days.
        let longest = i64::from(self.months).saturating_mul(31).saturating_add(i64::from(self.days));
        let days = target.signed_duration_since(start).num_days();
        let count = if walks { 0 } else { days.checked_div(longest).unwrap_or(0).max(0) };
        let mut dates = Dates { interval: self, start, count, date: None };
        dates.date = if count == 0 { Some(start) } else { dates.at(count) };
        if dates.date.is_none() {
            dates.advance();
        }
        dates
    }
}

/// A walk over the dates of an interval.
struct Dates<'a> {
    interval: &'a CalendarInterval,
    start: NaiveDate,
    count: i64,
    date: Option<NaiveDate>,
}

impl Dates<'_> {
    /// The date after so many periods; `None` if the month lacks the day, or past the last year.
    fn at(&self, count: i64) -> Option<NaiveDate> {
        let months = i64::from(self.interval.months).checked_mul(count)?;
        let date = add_months(self.start, months, self.interval.month_end)?;
        date.checked_add_signed(TimeDelta::try_days(i64::from(self.interval.days).checked_mul(count)?)?)
    }

    fn advance(&mut self) {
        let interval = self.interval;
        if interval.month_end == MonthEnd::Skip && interval.months > 0 && interval.days > 0 {
            self.date = self
                .date
                .and_then(|date| skip_months(date, interval.months))
                .and_then(|date| date.checked_add_signed(TimeDelta::days(i64::from(interval.days))))
                .filter(|date| date.year() <= LAST_YEAR);
            return;
        }
        loop {
            self.count = self.count.saturating_add(1);
            self.date = self.at(self.count).filter(|date| date.year() <= LAST_YEAR);
            let months = i64::from(interval.months).saturating_mul(self.count).saturating_add(months_of(self.start));
            if self.date.is_some() || interval.months == 0 || months > MOST_MONTHS {
                return;
            }
        }
    }

    fn retreat(&mut self) -> Option<()> {
        self.count = self.count.checked_sub(1).filter(|&count| count >= 0)?;
        self.date = self.at(self.count);
        Some(())
    }
}

/// How many days a gap can push a time into a later date, and a zone's date can differ from that of UTC, taken together.
const DAYS_OF_GAP: Days = Days::new(2);

/// Nothing fires later, in any calendar trigger.
const LAST_YEAR: i32 = 9999;

/// The end of that year, in months.
const MOST_MONTHS: i64 = (LAST_YEAR as i64 + 1) * 12;

const LAST_DATE: NaiveDate = NaiveDate::from_ymd_opt(LAST_YEAR, 12, 31).expect("a date");

/// The end of that year, in microseconds: a walk to a later date would never end.
const LATEST: i64 = 253_402_300_800 * MICROS - 1;

/// The year 68, long before any clock; an earlier instant has nothing before it.
const EARLIEST: i64 = -60_000_000_000 * MICROS;

/// The month, counted from the year 0.
fn months_of(date: NaiveDate) -> i64 {
    i64::from(date.year()).saturating_mul(12).saturating_add(i64::from(date.month0()))
}

fn add_months(date: NaiveDate, months: i64, month_end: MonthEnd) -> Option<NaiveDate> {
    let months = months_of(date).saturating_add(months);
    let (year, month) = (i32::try_from(months.div_euclid(12)).ok()?, (months.rem_euclid(12) as u32).saturating_add(1));
    let exact = NaiveDate::from_ymd_opt(year, month, date.day());
    match month_end {
        MonthEnd::Skip => exact,
        MonthEnd::Clamp => exact.or_else(|| (28..31).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month, day))),
    }
}

/// The first month, so many or a multiple of it later, that has the day.
fn skip_months(date: NaiveDate, months: u32) -> Option<NaiveDate> {
    let left = MOST_MONTHS.saturating_sub(months_of(date));
    (1..)
        .map(|n: i64| n.saturating_mul(i64::from(months)))
        .take_while(|&n| n <= left)
        .find_map(|n| add_months(date, n, MonthEnd::Skip))
}

/// Adds the periods; all else is that of the left side.
impl Add for CalendarInterval {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.months = self.months.saturating_add(other.months);
        self.days = self.days.saturating_add(other.days);
        self
    }
}

impl fmt::Display for CalendarInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calendar")?;
        for (n, unit) in [(self.months / 12, 'y'), (self.months % 12, 'm'), (self.days / 7, 'w'), (self.days % 7, 'd')]
        {
            if n != 0 {
                write!(f, " {n}{unit}")?;
            }
        }
        let time = NaiveTime::from_num_seconds_from_midnight_opt(self.time, 0);
        let time = time.expect("a time of day is less than a day");
        write!(f, " at {time}")?;
        if self.month_end == MonthEnd::Clamp {
            write!(f, " clamp")?;
        }
        if let Some(zone) = self.zone {
            write!(f, " in {}", zone.name())?;
        }
        if let Some(start) = self.start {
            write!(f, " starting on {start}")?;
        }
        if let Some(end) = self.end {
            write!(f, " until {end}")?;
        }
        self.jitter.fmt(f)
    }
}

/// The persisted form.
#[derive(Serialize, Deserialize)]
struct Form {
    #[serde(default, skip_serializing_if = "is_default")]
    months: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    days: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    second_of_day: u32,
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
    #[serde(default, with = "date::optional", skip_serializing_if = "Option::is_none")]
    start: Option<NaiveDate>,
    #[serde(default, with = "date::optional", skip_serializing_if = "Option::is_none")]
    end: Option<NaiveDate>,
    #[serde(default, skip_serializing_if = "is_default")]
    month_end: MonthEnd,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter_us: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    bound: Bound,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Bound {
    #[serde(default, with = "date::optional", skip_serializing_if = "Option::is_none")]
    start: Option<NaiveDate>,
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
}

impl From<CalendarInterval> for Form {
    fn from(interval: CalendarInterval) -> Self {
        Self {
            months: interval.months,
            days: interval.days,
            second_of_day: interval.time,
            timezone: interval.zone,
            start: interval.start,
            end: interval.end,
            month_end: interval.month_end,
            jitter_us: interval.jitter.longest(),
            bound: Bound { start: interval.bound_start, timezone: interval.bound_zone },
        }
    }
}

impl TryFrom<Form> for CalendarInterval {
    type Error = TriggerError;

    fn try_from(form: Form) -> Result<Self, TriggerError> {
        if form.second_of_day >= 86_400 {
            return Err(TriggerError::new(
                TriggerErrorKind::OutOfRange,
                "calendar interval: `second_of_day` must be 0 to 86399",
            ));
        }
        let interval = Self {
            months: form.months,
            days: form.days,
            time: form.second_of_day,
            start: form.start,
            end: form.end,
            bound_start: form.bound.start,
            jitter: Jitter::micros(form.jitter_us),
            zone: form.timezone,
            bound_zone: form.bound.timezone,
            month_end: form.month_end,
        };
        interval.check()?;
        Ok(interval)
    }
}
