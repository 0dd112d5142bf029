//! A trigger with exceptions: holidays, maintenance windows.

use super::combine::{Budget, Found, Frame, FrameForm, Horizon, check_part, frame};
use super::jitter::Jitter;
use super::window::{Window, ceil_micros, date, floor_micros, instant, is_default, optional_zone};
use super::zone::{Spans, shown_date};
use super::{Custom, Trigger, TriggerError};
use crate::duration::Spelled;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Fires when its trigger does, except on given dates, at the times of other triggers, or for a while after them.
///
/// ```
/// use chrono::{NaiveDate, TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{Cron, Except}};
/// use std::time::Duration;
///
/// let trigger = Trigger::from(
///     Except::new(Cron::fields().hour("9").build()?.into())?
///         .dates([NaiveDate::from_ymd_opt(2026, 12, 25).unwrap()])
///         .during(Cron::fields().day_of_week("sun").hour("8").build()?.into(), Duration::from_secs(4 * 3600))?,
/// );
/// let now = Utc.with_ymd_and_hms(2026, 12, 24, 12, 0, 0).unwrap();
/// let days: Vec<_> = trigger.next_n(now, 2)?.iter().map(|at| at.date_naive().to_string()).collect();
/// assert_eq!(days, ["2026-12-26", "2026-12-28"]);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ExceptForm", into = "ExceptForm")]
pub struct Except(Box<Excepted>);

#[derive(Debug, Clone, PartialEq)]
struct Excepted {
    trigger: Trigger,
    /// In order.
    dates: Vec<NaiveDate>,
    zone: Option<Tz>,
    bound_zone: Option<Tz>,
    pauses: Vec<Pause>,
    frame: Frame,
}

/// From each fire time of a trigger, for so many microseconds; at the fire times alone if that is zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pause {
    trigger: Trigger,
    #[serde(default, skip_serializing_if = "is_default")]
    lasting_us: u64,
}

/// A stretch in which nothing fires.
struct Stretch {
    since: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
}

impl Except {
    /// Begins with no exception at all.
    ///
    /// # Errors
    ///
    /// [`Combination`](super::TriggerErrorKind::Combination) if the trigger is a fixed delay or has a jitter of its own.
    pub fn new(trigger: Trigger) -> Result<Self, TriggerError> {
        check_part(&trigger)?;
        let (dates, pauses, frame) = (Vec::new(), Vec::new(), Frame::OPEN);
        Ok(Self(Box::new(Excepted { trigger, dates, zone: None, bound_zone: None, pauses, frame })))
    }

    /// Leaves out whole days, such as holidays.
    #[must_use]
    pub fn dates(mut self, dates: impl IntoIterator<Item = NaiveDate>) -> Self {
        self.0.dates.extend(dates);
        self.0.dates.sort_unstable();
        self.0.dates.dedup();
        self
    }

    /// The zone in which days begin and end. By default the scheduler's, bound when the job is added.
    #[must_use]
    pub fn timezone(mut self, zone: Tz) -> Self {
        self.0.zone = Some(zone);
        self
    }

    /// Leaves out the fire times of another trigger.
    ///
    /// # Errors
    ///
    /// [`Combination`](super::TriggerErrorKind::Combination) if that is a fixed delay or has a jitter.
    pub fn times(self, trigger: Trigger) -> Result<Self, TriggerError> {
        self.during(trigger, Duration::ZERO)
    }

    /// Leaves out all times from each fire time of another trigger on, for so long: a maintenance window. Its end does
    /// not belong to it.
    ///
    /// # Errors
    ///
    /// [`Combination`](super::TriggerErrorKind::Combination) if that trigger is a fixed delay or has a jitter.
    pub fn during(mut self, trigger: Trigger, lasting: Duration) -> Result<Self, TriggerError> {
        check_part(&trigger)?;
        let lasting_us = u64::try_from(lasting.as_micros()).unwrap_or(u64::MAX).min(i64::MAX as u64 / 4);
        self.0.pauses.push(Pause { trigger, lasting_us });
        Ok(self)
    }

    frame!(0);

    pub(super) fn at_or_after(&self, from: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(mut from) = self.0.frame.from(from) else { return Ok(None) };
        loop {
            let Some(at) = self.0.trigger.at_or_after(from, budget)? else { return Ok(None) };
            if budget.is_past_horizon(at) {
                return Ok(None);
            }
            match self.pause_at(at, budget)? {
                None => return Ok(self.0.frame.within(at)),
                Some(pause) => {
                    let Some(later) = at.checked_add_signed(TimeDelta::microseconds(1)) else { return Ok(None) };
                    from = pause.until.max(later);
                }
            }
        }
    }

    pub(super) fn at_or_before(&self, to: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(mut to) = self.0.frame.to(to) else { return Ok(None) };
        loop {
            let Some(at) = self.0.trigger.at_or_before(to, budget)? else { return Ok(None) };
            if budget.is_past_horizon(at) {
                return Ok(None);
            }
            match self.pause_at(at, budget)? {
                None => return Ok(self.0.frame.within(at)),
                Some(pause) => {
                    let since = pause.since.min(at);
                    let Some(earlier) = since.checked_sub_signed(TimeDelta::microseconds(1)) else { return Ok(None) };
                    to = earlier;
                }
            }
        }
    }

    /// The pause in which an instant lies.
    fn pause_at(&self, at: DateTime<Utc>, budget: &mut Budget) -> Result<Option<Stretch>, TriggerError> {
        let zone = self.0.zone.or(self.0.bound_zone).unwrap_or(Tz::UTC);
        if let Some(date) = shown_date(zone, at)
            && self.0.dates.binary_search(&date).is_ok()
        {
            let begin = |date: NaiveDate| {
                let civil = date.and_time(NaiveTime::MIN).and_utc().timestamp();
                DateTime::from_timestamp(Spans::first_at(zone, civil).instant, 0)
            };
            let after = date.succ_opt().and_then(begin).unwrap_or(DateTime::<Utc>::MAX_UTC);
            return Ok(Some(Stretch { since: begin(date).unwrap_or(at), until: after }));
        }
        for pause in &self.0.pauses {
            if pause.lasting_us == 0 {
                let search = |budget: &mut Budget| pause.trigger.at_or_after(at, budget);
                if budget.as_far_as(Horizon::Until(at), search)? == Some(at) {
                    return Ok(Some(Stretch { since: at, until: at }));
                }
                continue;
            }
            let earliest = instant(floor_micros(at).saturating_sub(pause.lasting_us as i64));
            let search = |budget: &mut Budget| pause.trigger.at_or_before(at, budget);
            let horizon = Horizon::Since(earliest.unwrap_or(DateTime::<Utc>::MIN_UTC));
            if let Some(since) = budget.as_far_as(horizon, search)? {
                let until = instant(floor_micros(since).saturating_add(pause.lasting_us as i64));
                let until = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
                if at < until {
                    return Ok(Some(Stretch { since, until }));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn is_bound(&self) -> bool {
        let zone = self.0.dates.is_empty() || self.0.zone.or(self.0.bound_zone).is_some();
        zone && self.0.trigger.is_bound() && self.0.pauses.iter().all(|pause| pause.trigger.is_bound())
    }

    pub(super) fn bind(mut self, now: DateTime<Utc>, zone: Tz, job: &str) -> Self {
        if self.0.zone.or(self.0.bound_zone).is_none() {
            self.0.bound_zone = Some(zone);
        }
        self.map(|trigger| trigger.bind(now, zone, job))
    }

    pub(super) fn unbound(mut self) -> Self {
        self.0.bound_zone = None;
        self.map(Trigger::unbound)
    }

    pub(super) fn unbound_after(self, horizon: DateTime<Utc>) -> Self {
        self.map(|trigger| trigger.unbound_after(horizon))
    }

    /// Whether any of the triggers does, or the dates, which are those of a zone.
    pub(super) fn goes_by_zone(&self) -> bool {
        let zone = self.0.zone.or(self.0.bound_zone).filter(|_| !self.0.dates.is_empty());
        zone.is_some_and(|zone| zone != Tz::UTC)
            || self.0.trigger.goes_by_zone()
            || self.0.pauses.iter().any(|pause| pause.trigger.goes_by_zone())
    }

    pub(super) fn is_recurring(&self) -> bool {
        self.0.trigger.is_recurring()
    }

    fn map(mut self, change: impl Fn(Trigger) -> Trigger) -> Self {
        self.0.trigger = change(self.0.trigger);
        for pause in &mut self.0.pauses {
            pause.trigger = change(pause.trigger.clone());
        }
        self
    }

    /// The trigger, and those of the pauses.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Trigger> {
        std::iter::once(&self.0.trigger).chain(self.0.pauses.iter().map(|pause| &pause.trigger))
    }

    pub(super) fn custom_mut(&mut self, visit: &mut dyn FnMut(&mut Custom)) {
        self.0.trigger.custom_mut(visit);
        for pause in &mut self.0.pauses {
            pause.trigger.custom_mut(visit);
        }
    }

    /// What the exceptions are, for people.
    pub(super) fn describe(&self) -> String {
        let mut text = self.0.trigger.describe();
        if !self.0.dates.is_empty() {
            text += &format!("; but not on {}", comma_separated(&self.0.dates));
        }
        for pause in &self.0.pauses {
            let lasting = Spelled(pause.lasting_us);
            text += &match pause.lasting_us {
                0 => format!("; but not when this fires: {}", pause.trigger.describe()),
                _ => format!("; but not for {lasting} after this fires: {}", pause.trigger.describe()),
            };
        }
        text
    }
}

fn comma_separated(dates: &[NaiveDate]) -> String {
    dates.iter().map(NaiveDate::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Except {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "except({}", self.0.trigger)?;
        if !self.0.dates.is_empty() {
            write!(f, "; dates {}", comma_separated(&self.0.dates))?;
        }
        for pause in &self.0.pauses {
            match pause.lasting_us {
                0 => write!(f, "; times {}", pause.trigger)?,
                lasting => write!(f, "; during {} of {}", Spelled(lasting), pause.trigger)?,
            }
        }
        write!(f, ")")?;
        if let Some(zone) = self.0.zone {
            write!(f, " in {}", zone.name())?;
        }
        self.0.frame.fmt(f)
    }
}

#[derive(Serialize, Deserialize)]
struct ExceptForm {
    trigger: Trigger,
    #[serde(default, with = "dates", skip_serializing_if = "Vec::is_empty")]
    dates: Vec<NaiveDate>,
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    during: Vec<Pause>,
    #[serde(flatten)]
    frame: FrameForm,
    #[serde(default, skip_serializing_if = "is_default")]
    bound: Bound,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Bound {
    #[serde(default, with = "optional_zone", skip_serializing_if = "Option::is_none")]
    timezone: Option<Tz>,
}

impl From<Except> for ExceptForm {
    fn from(Except(except): Except) -> Self {
        Self {
            trigger: except.trigger,
            dates: except.dates,
            timezone: except.zone,
            during: except.pauses,
            frame: except.frame.into(),
            bound: Bound { timezone: except.bound_zone },
        }
    }
}

impl TryFrom<ExceptForm> for Except {
    type Error = TriggerError;

    fn try_from(form: ExceptForm) -> Result<Self, TriggerError> {
        let mut except = Self::new(form.trigger)?.dates(form.dates);
        for pause in form.during {
            except = except.during(pause.trigger, Duration::from_micros(pause.lasting_us))?;
        }
        except.0.frame = form.frame.into();
        (except.0.zone, except.0.bound_zone) = (form.timezone, form.bound.timezone);
        Ok(except)
    }
}

mod dates {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(dates: &[NaiveDate], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(dates.iter().map(NaiveDate::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NaiveDate>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| date::parse(text)).collect()
    }
}
