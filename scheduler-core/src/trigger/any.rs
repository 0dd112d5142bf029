//! The trigger of a job: one of them, whichever it is.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{
    And, CalendarInterval, Cron, Custom, Date, Except, Interval, Or, TriggerError,
    combine::{BUDGET, Budget},
    cron::BEFORE_CRON,
    jitter::Jitter,
    steps::Steps,
    window::Window,
};

/// Says when a job fires.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Cron};
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
    /// Every so many days, weeks, months or years, at a time of day.
    CalendarInterval(CalendarInterval),
    /// When all of several triggers fire.
    And(And),
    /// When any of several triggers fires.
    Or(Or),
    /// When a trigger fires, with exceptions.
    Except(Except),
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
            Self::CalendarInterval(_) | Self::And(_) | Self::Or(_) | Self::Except(_) => {
                self.search(previous, now, &mut Steps::of_one_search())
            }
        }
    }

    /// The next fire time of a trigger that knows fire times only as "the first at or after".
    pub(super) fn search(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        if !self.is_bound() {
            return self.clone().bind(previous.unwrap_or(now), Tz::UTC, "").search(previous, now, steps);
        }
        let from = match previous {
            Some(previous) => match previous.checked_add_signed(TimeDelta::microseconds(1)) {
                Some(from) => from,
                None => return Ok(None),
            },
            None => now,
        };
        self.search_after(from, previous.is_none(), steps)
    }

    /// The first fire time at or after an instant, a date included only if it is not past.
    pub(super) fn at_or_after(
        &self,
        from: DateTime<Utc>,
        budget: &mut Budget,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        budget.spend(1)?;
        match self {
            Self::Cron(cron) => {
                let found = cron.next(None, from);
                budget.spend_years(from, found)?;
                Ok(found)
            }
            Self::Interval(interval) => interval.next(None, from),
            Self::Date(date) => Ok(Some(date.instant()).filter(|&at| at >= from)),
            Self::CalendarInterval(interval) => interval.at_or_after(from, budget),
            Self::And(and) => and.at_or_after(from, budget),
            Self::Or(or) => or.at_or_after(from, budget),
            Self::Except(except) => except.at_or_after(from, budget),
            Self::Custom(custom) => custom.at_or_after(from),
        }
    }

    /// The last fire time at or before `at`, `None` if it is before the first.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn previous(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        self.at_or_before(at, &mut Budget::full())
    }

    pub(super) fn at_or_before(
        &self,
        to: DateTime<Utc>,
        budget: &mut Budget,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        budget.spend(1)?;
        match self {
            Self::Cron(cron) => {
                let found = cron.previous(to);
                budget.spend_years(to, found)?;
                Ok(found)
            }
            Self::Interval(interval) => interval.previous(to),
            Self::Date(date) => Ok(date.previous(to)),
            Self::CalendarInterval(interval) => interval.at_or_before(to, budget),
            Self::And(and) => and.at_or_before(to, budget),
            Self::Or(or) => or.at_or_before(to, budget),
            Self::Except(except) => except.at_or_before(to, budget),
            Self::Custom(custom) => custom.previous(to),
        }
    }

    /// How many fire times lie from `first` to `last`, both included, where that is cheap to say (interval, date).
    pub fn count(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> Option<u64> {
        match self {
            Self::Interval(interval) => interval.count(first, last),
            Self::Date(date) => Some(u64::from((first..=last).contains(&date.instant()))),
            Self::Cron(_)
            | Self::CalendarInterval(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Except(_)
            | Self::Custom(_) => None,
        }
    }

    /// Decides what is left open as written (an interval's anchor, the zone), once, when the job is first added. Again
    /// it changes nothing.
    #[must_use]
    pub fn bind(self, now: DateTime<Utc>, zone: Tz, job: &str) -> Self {
        match self {
            Self::Cron(cron) => Self::Cron(cron.bind(zone, job)),
            Self::Interval(interval) => Self::Interval(interval.bind(now)),
            Self::CalendarInterval(interval) => Self::CalendarInterval(interval.bind(now, zone)),
            Self::Except(except) => Self::Except(except.bind(now, zone, job)),
            Self::And(_) | Self::Or(_) => self.map_parts(|part| part.bind(now, zone, job)),
            Self::Date(_) | Self::Custom(_) => self,
        }
    }

    /// True if [`bind`](Self::bind) has nothing left to decide on which fire times depend.
    pub(super) fn is_bound(&self) -> bool {
        match self {
            Self::Interval(interval) => interval.is_bound(),
            Self::CalendarInterval(interval) => interval.is_bound(),
            Self::And(and) => and.parts().iter().all(Self::is_bound),
            Self::Or(or) => or.parts().iter().all(Self::is_bound),
            Self::Except(except) => except.is_bound(),
            // A zone that is not bound counts as UTC.
            Self::Cron(_) | Self::Date(_) | Self::Custom(_) => true,
        }
    }

    /// True if it takes next to nothing to say when it fires.
    pub(crate) fn is_simple(&self) -> bool {
        matches!(self, Self::Date(_) | Self::Interval(_) | Self::Cron(_))
    }

    /// Changes the parts of an `and` or `or`.
    fn map_parts(mut self, change: impl Fn(Self) -> Self) -> Self {
        let parts = match &mut self {
            Self::And(and) => and.parts_mut(),
            Self::Or(or) => or.parts_mut(),
            Self::Cron(_)
            | Self::Interval(_)
            | Self::Date(_)
            | Self::CalendarInterval(_)
            | Self::Except(_)
            | Self::Custom(_) => {
                return self;
            }
        };
        for part in parts {
            *part = change(part.clone());
        }
        self
    }

    /// True if both are written alike: what [`bind`](Self::bind) decided does not count.
    pub fn is_same_as_written(&self, other: &Self) -> bool {
        self.clone().unbound() == other.clone().unbound()
    }

    pub(super) fn unbound(self) -> Self {
        match self {
            Self::Cron(cron) => Self::Cron(cron.unbound()),
            Self::Interval(interval) => Self::Interval(interval.unbound()),
            Self::CalendarInterval(interval) => Self::CalendarInterval(interval.unbound()),
            Self::Except(except) => Self::Except(except.unbound()),
            Self::And(_) | Self::Or(_) => self.map_parts(Self::unbound),
            Self::Date(_) | Self::Custom(_) => self,
        }
    }

    /// Without what [`bind`](Self::bind) decided after an instant: an anchor that lies ahead is from a clock that was.
    #[must_use]
    pub(crate) fn unbound_after(self, horizon: DateTime<Utc>) -> Self {
        match self {
            Self::Interval(interval) => Self::Interval(interval.unbound_after(horizon)),
            Self::CalendarInterval(interval) => Self::CalendarInterval(interval.unbound_after(horizon)),
            Self::Except(except) => Self::Except(except.unbound_after(horizon)),
            Self::And(_) | Self::Or(_) => self.map_parts(|part| part.unbound_after(horizon)),
            // A zone is decided whenever it is.
            Self::Cron(_) | Self::Date(_) | Self::Custom(_) => self,
        }
    }

    /// True if its fire times depend on the rules of a zone whose clocks may be set.
    pub(crate) fn goes_by_zone(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.zone().is_some_and(|zone| zone != Tz::UTC),
            Self::CalendarInterval(interval) => interval.zone() != Tz::UTC,
            Self::And(and) => and.parts().iter().any(Self::goes_by_zone),
            Self::Or(or) => or.parts().iter().any(Self::goes_by_zone),
            Self::Except(except) => except.goes_by_zone(),
            Self::Interval(_) | Self::Date(_) | Self::Custom(_) => false,
        }
    }

    /// True if its fire times follow from an instant alone, again and again: not once, and not by code of the user's, which
    /// may go by its previous fire time.
    pub(crate) fn is_recurring(&self) -> bool {
        match self {
            Self::Cron(_) | Self::Interval(_) | Self::CalendarInterval(_) => true,
            Self::And(and) => and.parts().iter().all(Self::is_recurring),
            Self::Or(or) => or.parts().iter().all(Self::is_recurring),
            Self::Except(except) => except.is_recurring(),
            Self::Date(_) | Self::Custom(_) => false,
        }
    }

    /// The next `k` fire times after an instant, or fewer if there are no more. Together they may cost as much as ten searches
    /// that go as far as a search does.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn next_n(&self, after: DateTime<Utc>, k: usize) -> Result<Vec<DateTime<Utc>>, TriggerError> {
        let mut steps = Steps::up_to(u32::try_from(k).unwrap_or(u32::MAX).saturating_mul(100).max(10 * BUDGET));
        let (mut fires, mut found) = (self.fires(after), Vec::new());
        while found.len() < k
            && let Some(next) = fires.next_within(&mut steps)
        {
            found.push(next?);
        }
        Ok(found)
    }

    /// All fire times after an instant, one after the other; it ends with the last one or with an error.
    ///
    /// ```
    /// use chrono::{TimeZone, Utc};
    /// use scheduler_core::{Trigger, trigger::Cron};
    ///
    /// let trigger = Trigger::from(Cron::crontab("0 0 29 2 *")?);
    /// let leap_days = trigger.fires(Utc.with_ymd_and_hms(2097, 1, 1, 0, 0, 0).unwrap());
    /// let years: Vec<_> = leap_days.take(2).map(|at| at.map(|at| at.format("%Y").to_string())).collect::<Result<_, _>>()?;
    /// assert_eq!(years, ["2104", "2108"]);
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    pub fn fires(&self, after: DateTime<Utc>) -> Fires<'_> {
        Fires { trigger: self, after, previous: None, is_done: false }
    }

    /// The first fire time strictly after an instant that need not be a fire time itself.
    fn first_after(&self, after: DateTime<Utc>, steps: &mut Steps) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self.next_within(None, after, steps)? {
            Some(first) if first <= after => self.next_within(Some(first.max(after)), after, steps),
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
    /// use scheduler_core::{Trigger, trigger::Interval};
    /// use std::time::Duration;
    ///
    /// let trigger = Trigger::from(Interval::hours(1).jitter(Duration::from_secs(60)));
    /// let fire_time = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    /// assert!(trigger.jitter(7, fire_time) <= Duration::from_secs(60));
    /// assert_eq!(trigger.jitter(7, fire_time), trigger.jitter(7, fire_time));
    /// ```
    pub fn jitter(&self, uid: u128, fire_time: DateTime<Utc>) -> Duration {
        let (jitter, window) = self.window();
        jitter.delay(uid, fire_time, &window)
    }

    /// The jitter, and the window that it must not leave.
    pub(super) fn window(&self) -> (Jitter, Window) {
        match self {
            Self::Cron(cron) => cron.window(),
            Self::Interval(interval) => interval.window(),
            Self::CalendarInterval(interval) => interval.window(),
            Self::And(and) => and.window(),
            Self::Or(or) => or.window(),
            Self::Except(except) => except.window(),
            Self::Date(_) | Self::Custom(_) => (Jitter::NONE, Window::OPEN),
        }
    }

    /// The longest that a fire time can be delayed; zero without jitter.
    pub fn longest_jitter(&self) -> Duration {
        Duration::from_micros(self.window().0.longest())
    }

    /// True for a fixed delay ([`Interval::after_end`]): `next` then wants the end of the run as `previous`.
    pub fn waits_for_end(&self) -> bool {
        matches!(self, Self::Interval(interval) if interval.waits_for_end())
    }

    /// The zone by whose civil time the trigger goes; none if it goes by instants. Of a combination, that of its first part with one.
    ///
    /// ```
    /// use scheduler_core::{Trigger, trigger::{Cron, Interval}};
    ///
    /// let at_nine = Trigger::from(Cron::crontab("0 9 * * *")?.timezone(chrono_tz::Europe::Berlin));
    /// assert_eq!(at_nine.zone(), Some(chrono_tz::Europe::Berlin));
    /// assert_eq!(Trigger::from(Interval::hours(1)).zone(), None);
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    pub fn zone(&self) -> Option<Tz> {
        let mut zone = None;
        self.visit(&mut |part| {
            zone = zone.or_else(|| match part {
                Self::Cron(cron) => cron.zone(),
                Self::CalendarInterval(interval) => Some(interval.zone()),
                Self::Interval(_) | Self::Date(_) | Self::Custom(_) => None,
                // Their parts are visited, too.
                Self::And(_) | Self::Or(_) | Self::Except(_) => None,
            });
        });
        zone
    }

    /// Visits each custom trigger inside, so that its implementation can be looked up after decoding.
    pub fn custom_mut(&mut self, visit: &mut dyn FnMut(&mut Custom)) {
        let parts = match self {
            Self::Custom(custom) => return visit(custom),
            Self::Except(except) => return except.custom_mut(visit),
            Self::And(and) => and.parts_mut(),
            Self::Or(or) => or.parts_mut(),
            Self::Cron(_) | Self::Interval(_) | Self::Date(_) | Self::CalendarInterval(_) => return,
        };
        for part in parts {
            part.custom_mut(visit);
        }
    }

    /// True if it is certain that there is no fire time since 1970, as for 30 February.
    ///
    /// Triggers under `and` that never agree may exhaust the search before that is certain.
    pub fn never_fires(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.never_fires(),
            Self::Interval(interval) => interval.never_fires(),
            Self::Date(_) | Self::Custom(_) => false,
            Self::CalendarInterval(_) | Self::And(_) | Self::Or(_) | Self::Except(_) => {
                self.is_bound() && matches!(self.at_or_after(BEFORE_CRON, &mut Budget::full()), Ok(None))
            }
        }
    }

    /// Says what of the trigger is easily read in another way than it is meant: a sentence each, most often none.
    ///
    /// These are weekdays by number in Quartz's dialect, whose Sunday is 1; day of month and day of week in a crontab, either
    /// of which may match, where one of them always does or where Spring wants both; and steps beyond the range of a field,
    /// as in `*/90`. For those who check what is entered; nothing of it is an error.
    ///
    /// ```
    /// use scheduler_core::{Trigger, trigger::Cron};
    ///
    /// let pasted_from_spring = Trigger::from(Cron::quartz("0 0 1 * * 1-5")?);
    /// assert!(pasted_from_spring.lint()[0].contains("so that this is Monday to Thursday and Sunday"));
    /// assert!(Trigger::crontab("0 0 1 * * 1-5")?.lint().is_empty());
    /// # Ok::<(), scheduler_core::trigger::TriggerError>(())
    /// ```
    pub fn lint(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut |trigger| {
            if let Self::Cron(cron) = trigger {
                cron.lint(&mut found);
            }
        });
        found
    }

    /// True if the first version of the persisted form has no words for it.
    pub(crate) fn is_newer(&self) -> bool {
        let mut is_newer = false;
        self.visit(&mut |trigger| is_newer |= matches!(trigger, Self::Cron(cron) if cron.is_newer()));
        is_newer
    }

    /// Visits this trigger and all triggers in it.
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::And(and) => and.parts().iter().for_each(|part| part.visit(visit)),
            Self::Or(or) => or.parts().iter().for_each(|part| part.visit(visit)),
            Self::Except(except) => except.parts().for_each(|part| part.visit(visit)),
            Self::Date(_) | Self::Interval(_) | Self::Cron(_) | Self::CalendarInterval(_) | Self::Custom(_) => {}
        }
    }

    /// Says in a sentence what the trigger does.
    pub fn describe(&self) -> String {
        match self {
            Self::Date(date) => format!("once, on {}", date.instant()),
            Self::Interval(interval) => format!("{interval}, in real time"),
            Self::Cron(cron) => cron.describe(),
            Self::CalendarInterval(interval) => {
                format!("{interval}; in civil time, right after a gap and at the first of two equal times")
            }
            Self::And(and) => format!("when all of these fire: {}", descriptions(and.parts())),
            Self::Or(or) => format!("when any of these fires: {}", descriptions(or.parts())),
            Self::Except(except) => except.describe(),
            Self::Custom(custom) => format!("whenever the custom trigger `{}` says", custom.name),
        }
    }
}

/// The fire times of a trigger; made by [`Trigger::fires`], see there.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::Cron};
///
/// let fridays = Trigger::from(Cron::crontab("0 12 * * fri")?);
/// let from = Utc.with_ymd_and_hms(2026, 11, 1, 0, 0, 0).unwrap();
/// let in_november = fridays.fires(from).map_while(Result::ok).take_while(|at| at.to_string().starts_with("2026-11"));
/// assert_eq!(in_november.count(), 4);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fires<'a> {
    trigger: &'a Trigger,
    after: DateTime<Utc>,
    previous: Option<DateTime<Utc>>,
    is_done: bool,
}

impl Fires<'_> {
    fn next_within(&mut self, steps: &mut Steps) -> Option<Result<DateTime<Utc>, TriggerError>> {
        if self.is_done {
            return None;
        }
        let next = match self.previous {
            None => self.trigger.first_after(self.after, steps),
            Some(_) => self.trigger.next_within(self.previous, self.after, steps),
        };
        match next {
            Ok(Some(next)) => self.previous = Some(next),
            Ok(None) | Err(_) => self.is_done = true,
        }
        next.transpose()
    }
}

impl Iterator for Fires<'_> {
    type Item = Result<DateTime<Utc>, TriggerError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_within(&mut Steps::up_to(2 * BUDGET))
    }
}

impl std::iter::FusedIterator for Fires<'_> {}

fn descriptions(parts: &[Trigger]) -> String {
    parts.iter().map(|part| format!("({})", part.describe())).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(date) => date.fmt(f),
            Self::Interval(interval) => interval.fmt(f),
            Self::Cron(cron) => cron.fmt(f),
            Self::CalendarInterval(interval) => interval.fmt(f),
            Self::And(and) => and.fmt(f),
            Self::Or(or) => or.fmt(f),
            Self::Except(except) => except.fmt(f),
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

impl From<CalendarInterval> for Trigger {
    fn from(interval: CalendarInterval) -> Self {
        Self::CalendarInterval(interval)
    }
}

impl From<And> for Trigger {
    fn from(and: And) -> Self {
        Self::And(and)
    }
}

impl From<Or> for Trigger {
    fn from(or: Or) -> Self {
        Self::Or(or)
    }
}

impl From<Except> for Trigger {
    fn from(except: Except) -> Self {
        Self::Except(except)
    }
}

impl From<Custom> for Trigger {
    fn from(custom: Custom) -> Self {
        Self::Custom(Box::new(custom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_small_for_there_may_be_a_million() {
        assert!(size_of::<Trigger>() <= 64, "{}", size_of::<Trigger>());
        assert!(size_of::<Interval>() <= 48, "{}", size_of::<Interval>());
    }
}
