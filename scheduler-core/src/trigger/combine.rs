//! Triggers made of triggers: and, or.

use super::jitter::Jitter;
use super::window::{Window, ceil_micros, floor_micros, instant, is_default, optional_time, readable};
use super::{Trigger, TriggerError, TriggerErrorKind};
use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How much a search may cost, in fire times of its parts: some ten milliseconds. Parts that agree more rarely count as
/// never agreeing.
pub(super) const BUDGET: u32 = 100_000;

/// What is left of a search.
pub(super) struct Budget {
    left: u32,
    horizon: Horizon,
}

/// How far a search need go, as something nearer is known already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Horizon {
    None,
    Until(DateTime<Utc>),
    Since(DateTime<Utc>),
}

impl Budget {
    pub(super) fn full() -> Self {
        Self::of(BUDGET)
    }

    pub(super) fn of(left: u32) -> Self {
        Self { left, horizon: Horizon::None }
    }

    pub(super) fn left(&self) -> u32 {
        self.left
    }

    pub(super) fn is_past_horizon(&self, at: DateTime<Utc>) -> bool {
        match self.horizon {
            Horizon::None => false,
            Horizon::Until(horizon) => at > horizon,
            Horizon::Since(horizon) => at < horizon,
        }
    }

    /// Searches as far as another horizon.
    pub(super) fn as_far_as<T>(&mut self, horizon: Horizon, search: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.horizon, horizon);
        let found = search(self);
        self.horizon = outer;
        found
    }

    /// Spends at most half of what is left.
    fn half<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut half = Self { left: self.left / 2, horizon: self.horizon };
        let done = work(&mut half);
        self.left = self.left.saturating_sub(self.left / 2).saturating_add(half.left);
        done
    }

    pub(super) fn spend(&mut self, cost: u32) -> Result<(), TriggerError> {
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => {
                return Err(TriggerError::new(
                    TriggerErrorKind::SearchLimit,
                    format!("no fire time among {BUDGET} of the parts; they agree too rarely, or never again"),
                ));
            }
        }
        Ok(())
    }

    /// For a search in the calendar that led from one time to another, or nowhere in its 400 years.
    pub(super) fn spend_years(
        &mut self,
        from: DateTime<Utc>,
        found: Option<DateTime<Utc>>,
    ) -> Result<(), TriggerError> {
        let years = found.map_or(400, |found| found.signed_duration_since(from).num_days().unsigned_abs() / 365);
        self.spend((years.min(400) as u32).saturating_mul(8).saturating_add(1))
    }
}

/// Fires when all of its triggers fire, at the same microsecond.
///
/// Triggers that never agree end with `None`: a search looks at 100,000 fire times of the parts.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{And, Cron}};
///
/// let friday_13 = Trigger::from(And::of([
///     Cron::fields().day("13").build()?.into(),
///     Cron::fields().day_of_week("fri").hour("0").build()?.into(),
/// ])?);
/// let now = Utc.with_ymd_and_hms(2026, 4, 1, 0, 0, 0).unwrap();
/// assert_eq!(friday_13.next(None, now)?, Some(Utc.with_ymd_and_hms(2026, 11, 13, 0, 0, 0).unwrap()));
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "AndTrigger")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct And(Parts);

/// Fires when any of its triggers fires.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Trigger, trigger::{Cron, Or}};
///
/// let trigger = Trigger::from(Or::of([
///     Cron::fields().day_of_week("mon-fri").hour("9").build()?.into(),
///     Cron::fields().day_of_week("sat,sun").hour("11").build()?.into(),
/// ])?);
/// let friday = Utc.with_ymd_and_hms(2026, 1, 2, 0, 0, 0).unwrap();
/// let hours: Vec<_> = trigger.next_n(friday, 2)?.iter().map(|at| at.format("%a %H").to_string()).collect();
/// assert_eq!(hours, ["Fri 09", "Sat 11"]);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[doc(alias = "OrTrigger")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Or(Parts);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PartsForm", into = "PartsForm")]
struct Parts {
    triggers: Box<[Trigger]>,
    frame: Frame,
}

/// Start, end and jitter of a combination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) window: Window,
    pub(super) jitter: Jitter,
}

impl Frame {
    pub(super) const OPEN: Self = Self { window: Window::OPEN, jitter: Jitter::NONE };
}

/// The options that each combination has.
macro_rules! frame {
    ($($to:tt)*) => {
        /// Fires no earlier than `start`, which is itself allowed. By default there is no bound.
        #[must_use]
        pub fn start<Z: TimeZone>(mut self, start: DateTime<Z>) -> Self {
            self.$($to)*.frame.window.start = ceil_micros(start.to_utc());
            self
        }

        /// Fires no later than `end`, which is itself allowed. By default there is no bound.
        #[must_use]
        pub fn end<Z: TimeZone>(mut self, end: DateTime<Z>) -> Self {
            self.$($to)*.frame.window.end = floor_micros(end.to_utc());
            self
        }

        /// Starts each run up to so much later than its fire time, spread evenly and the same whenever it is
        /// computed. By default nothing is added.
        #[must_use]
        pub fn jitter(mut self, longest: Duration) -> Self {
            self.$($to)*.frame.jitter = Jitter::up_to(longest);
            self
        }

        pub(super) fn window(&self) -> (Jitter, Window) {
            (self.$($to)*.frame.jitter, self.$($to)*.frame.window)
        }
    };
}

pub(super) use frame;

impl And {
    /// Combines triggers.
    ///
    /// # Errors
    ///
    /// [`Combination`](TriggerErrorKind::Combination) if there is none, or one is a fixed delay or has a jitter of its own.
    pub fn of(triggers: impl IntoIterator<Item = Trigger>) -> Result<Self, TriggerError> {
        Parts::of(triggers.into_iter().collect()).map(Self)
    }

    frame!(0);

    pub(super) fn parts(&self) -> &[Trigger] {
        &self.0.triggers
    }

    pub(super) fn parts_mut(&mut self) -> &mut [Trigger] {
        &mut self.0.triggers
    }

    pub(super) fn at_or_after(&self, from: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(mut at) = self.0.frame.from(from) else { return Ok(None) };
        let mut agreed = 0_usize;
        for part in self.0.triggers.iter().cycle() {
            let Some(next) = part.at_or_after(at, budget)? else { return Ok(None) };
            if budget.is_past_horizon(next) {
                return Ok(None);
            }
            agreed = if next == at { agreed.saturating_add(1) } else { 1 };
            at = next;
            if agreed == self.0.triggers.len() {
                break;
            }
        }
        Ok(self.0.frame.within(at))
    }

    pub(super) fn at_or_before(&self, to: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(mut at) = self.0.frame.to(to) else { return Ok(None) };
        let mut agreed = 0_usize;
        for part in self.0.triggers.iter().cycle() {
            let Some(previous) = part.at_or_before(at, budget)? else { return Ok(None) };
            if budget.is_past_horizon(previous) {
                return Ok(None);
            }
            agreed = if previous == at { agreed.saturating_add(1) } else { 1 };
            at = previous;
            if agreed == self.0.triggers.len() {
                break;
            }
        }
        Ok(self.0.frame.within(at))
    }
}

impl Or {
    /// Combines triggers.
    ///
    /// # Errors
    ///
    /// [`Combination`](TriggerErrorKind::Combination) if there is none, or one is a fixed delay or has a jitter of its own.
    pub fn of(triggers: impl IntoIterator<Item = Trigger>) -> Result<Self, TriggerError> {
        Parts::of(triggers.into_iter().collect()).map(Self)
    }

    frame!(0);

    pub(super) fn parts(&self) -> &[Trigger] {
        &self.0.triggers
    }

    pub(super) fn parts_mut(&mut self) -> &mut [Trigger] {
        &mut self.0.triggers
    }

    pub(super) fn at_or_after(&self, from: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(from) = self.0.frame.from(from) else { return Ok(None) };
        let earliest = self.nearest(budget, Horizon::Until, |part, budget| part.at_or_after(from, budget))?;
        Ok(earliest.and_then(|earliest| self.0.frame.within(earliest)))
    }

    pub(super) fn at_or_before(&self, to: DateTime<Utc>, budget: &mut Budget) -> Found {
        let Some(to) = self.0.frame.to(to) else { return Ok(None) };
        let latest = self.nearest(budget, Horizon::Since, |part, budget| part.at_or_before(to, budget))?;
        Ok(latest.and_then(|latest| self.0.frame.within(latest)))
    }

    /// The nearest of what the parts find. A part that is a search itself need not look further than what another part
    /// has found, and one that gives up does not keep the others from answering.
    fn nearest(
        &self,
        budget: &mut Budget,
        horizon: impl Fn(DateTime<Utc>) -> Horizon,
        search: impl Fn(&Trigger, &mut Budget) -> Found,
    ) -> Found {
        let outer = budget.horizon;
        let (mut nearest, mut gave_up) = (None, None);
        let mut take = |found: Option<DateTime<Utc>>, budget: &mut Budget| {
            if let Some(found) = found.filter(|&found| !budget.is_past_horizon(found)) {
                nearest = Some(found);
                budget.horizon = horizon(found);
            }
        };
        let is_search = |part: &&Trigger| matches!(part, Trigger::And(_) | Trigger::Or(_) | Trigger::Except(_));
        for part in self.0.triggers.iter().filter(|part| !is_search(part)) {
            take(search(part, budget)?, budget);
        }
        for part in self.0.triggers.iter().filter(is_search) {
            match budget.half(|half| search(part, half)) {
                Err(error) if error.kind() == TriggerErrorKind::SearchLimit => gave_up = Some(error),
                found => take(found?, budget),
            }
        }
        if let Some(error) = gave_up {
            if nearest.is_none() {
                return Err(error);
            }
            // Now that something is known, the others can say whether they have anything nearer.
            for part in self.0.triggers.iter().filter(is_search) {
                let found = search(part, budget)?;
                nearest = found.filter(|&found| !budget.is_past_horizon(found)).or(nearest);
                budget.horizon = nearest.map_or(outer, &horizon);
            }
        }
        budget.horizon = outer;
        Ok(nearest)
    }
}

pub(super) type Found = Result<Option<DateTime<Utc>>, TriggerError>;

impl Parts {
    fn of(triggers: Box<[Trigger]>) -> Result<Self, TriggerError> {
        if triggers.is_empty() {
            return Err(TriggerError::new(TriggerErrorKind::Combination, "combination: there is no trigger in it"));
        }
        triggers.iter().try_for_each(check_part)?;
        Ok(Self { triggers, frame: Frame::OPEN })
    }
}

pub(super) fn check_part(part: &Trigger) -> Result<(), TriggerError> {
    let error = |text| Err(TriggerError::new(TriggerErrorKind::Combination, text));
    if part.waits_for_end() {
        return error("combination: an interval after the end of runs cannot be part of one");
    }
    if !part.window().0.is_none() {
        return error("combination: a part has a jitter; give it to the combination instead");
    }
    Ok(())
}

impl Frame {
    /// The instant, or the start if that is later; none past the end.
    pub(super) fn from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = ceil_micros(from).max(self.window.start);
        if from > self.window.end { None } else { instant(from) }
    }

    pub(super) fn to(&self, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let to = floor_micros(to).min(self.window.end);
        if to < self.window.start { None } else { instant(to) }
    }

    pub(super) fn within(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.window.contains(floor_micros(at)).then_some(at)
    }
}

impl fmt::Display for And {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("and")?;
        self.0.fmt(f)
    }
}

impl fmt::Display for Or {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("or")?;
        self.0.fmt(f)
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, trigger) in self.triggers.iter().enumerate() {
            write!(f, "{}{trigger}", if i == 0 { "(" } else { "; " })?;
        }
        write!(f, "){}", self.frame)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(start) = self.window.start() {
            write!(f, " starting at {}", readable(start))?;
        }
        if let Some(end) = self.window.end() {
            write!(f, " until {}", readable(end))?;
        }
        self.jitter.fmt(f)
    }
}

#[derive(Serialize, Deserialize)]
struct PartsForm {
    triggers: Vec<Trigger>,
    #[serde(flatten)]
    frame: FrameForm,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FrameForm {
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    start: Option<DateTime<Utc>>,
    #[serde(default, with = "optional_time", skip_serializing_if = "Option::is_none")]
    end: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter_us: u64,
}

impl From<Frame> for FrameForm {
    fn from(frame: Frame) -> Self {
        Self { start: frame.window.start(), end: frame.window.end(), jitter_us: frame.jitter.longest() }
    }
}

impl From<FrameForm> for Frame {
    fn from(form: FrameForm) -> Self {
        Self { window: Window::of(form.start, form.end), jitter: Jitter::micros(form.jitter_us) }
    }
}

impl From<Parts> for PartsForm {
    fn from(parts: Parts) -> Self {
        Self { triggers: parts.triggers.into_vec(), frame: parts.frame.into() }
    }
}

impl TryFrom<PartsForm> for Parts {
    type Error = TriggerError;

    fn try_from(form: PartsForm) -> Result<Self, TriggerError> {
        Ok(Self { frame: form.frame.into(), ..Self::of(form.triggers.into())? })
    }
}
