//! Whether the next fire time that a job has kept is still one that its trigger gives.
//!
//! A next fire time is computed once and kept. It is from another time if the clock was ahead when it was computed and has
//! been put right since, or if the rules of its zone were others: then the next command or claim that looks at the job computes it anew.
//! A fire time that a user has [chosen](crate::JobBody::chosen_fire_time) is never outdated.

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::{
    JobRow, Trigger,
    trigger::{TriggerError, steps::Steps},
};

/// How far the clocks of nodes may be apart without the fire times that one has computed counting as those of a clock that
/// was ahead. A job stands still for no longer than this because of it.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// The most by which a change of a zone's rules moves a fire time, and the grid on which it does: those of the last
/// 50 years, but for the days that islands lost or gained at the date line.
const LONGEST_SHIFT: TimeDelta = TimeDelta::hours(3);
const SHIFT_GRID: i64 = 15 * 60;

/// How many steps it may take to find out whether a job is outdated: far more than nearly every trigger needs. A job for which
/// they do not suffice counts as one that is not.
const STEPS: u32 = 1_000;

/// Why a next fire time that a job has kept is not the one that its trigger gives.
///
/// ```
/// use scheduler_core::{EventKind, Outdated};
///
/// fn tell(kind: &EventKind) {
///     if let EventKind::FireTimeCorrected { job, outdated } = kind {
///         let cause = match outdated {
///             Outdated::ClockWasAhead { .. } => "a clock was ahead",
///             Outdated::OtherZoneRules { .. } => "its zone has new rules",
///             _ => "its zone has had other rules",
///         };
///         println!("{}: {} instead of {}, since {cause}", job.id, outdated.right(), outdated.kept());
///     }
/// }
/// # tell(&EventKind::SchedulerStarted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outdated {
    /// The fire time was computed when the clock was ahead: the trigger fires much earlier.
    ClockWasAhead {
        /// The next fire time as it was kept.
        kept: DateTime<Utc>,
        /// What the trigger gives now.
        right: DateTime<Utc>,
    },
    /// The fire time was computed when the zone of the trigger had other rules.
    OtherZoneRules {
        /// The next fire time as it was kept.
        kept: DateTime<Utc>,
        /// What the trigger gives now.
        right: DateTime<Utc>,
    },
    /// The fire time was computed when the zone of the trigger had other rules, and was due, too late, before it could be computed
    /// anew. It is kept, since the right one may or may not have had its run; the fire times after it are right.
    LateByOtherZoneRules {
        /// The fire time as it was kept.
        kept: DateTime<Utc>,
        /// What the trigger gives now.
        right: DateTime<Utc>,
    },
}

impl Outdated {
    /// The next fire time as it was kept.
    pub fn kept(&self) -> DateTime<Utc> {
        match self {
            Self::ClockWasAhead { kept, .. }
            | Self::OtherZoneRules { kept, .. }
            | Self::LateByOtherZoneRules { kept, .. } => *kept,
        }
    }

    /// What the trigger gives now.
    pub fn right(&self) -> DateTime<Utc> {
        match self {
            Self::ClockWasAhead { right, .. }
            | Self::OtherZoneRules { right, .. }
            | Self::LateByOtherZoneRules { right, .. } => *right,
        }
    }
}

/// What is wrong with the next fire time of a job, as far as its row tells; nothing if its trigger cannot say.
///
/// A fire time that is due is not: it is for a claim to look at, which may have to catch up on it.
pub(crate) fn outdated(job: &JobRow, now: DateTime<Utc>) -> Option<Outdated> {
    let kept = job.next_fire_time.filter(|kept| *kept > now && !job.body.is_chosen(*kept))?;
    let trigger = &job.body.trigger;
    if !trigger.is_recurring() {
        return None;
    }
    let mut steps = Steps::up_to(STEPS);
    let right = first_after(&rebound(job, now), now, &mut steps).ok()??;
    let is_known = trigger.waits_for_end() || is_fire_time(trigger, kept, &mut steps).ok()?;
    if is_known {
        return (kept > right.checked_add_signed(SLACK)?).then_some(Outdated::ClockWasAhead { kept, right });
    }
    is_shifted(trigger, kept, right).then_some(Outdated::OtherZoneRules { kept, right })
}

/// Whether a fire time that is due was computed under other rules of the trigger's zone.
///
/// One that is too early never was a fire time. One that is too late has to be kept: it cannot be told whether the right one
/// has had its run.
pub(crate) fn outdated_when_due(
    job: &JobRow,
    kept: DateTime<Utc>,
    now: DateTime<Utc>,
    steps: &mut Steps,
) -> Result<Option<Outdated>, TriggerError> {
    let trigger = &job.body.trigger;
    if !trigger.goes_by_zone() || job.body.is_chosen(kept) || is_fire_time(trigger, kept, steps)? {
        return Ok(None);
    }
    let later = trigger.next_within(Some(kept), now, steps)?;
    if let Some(right) = later.filter(|right| is_shifted(trigger, kept, *right)) {
        return Ok(Some(Outdated::OtherZoneRules { kept, right }));
    }
    let mut few = Steps::up_to(steps.left().min(STEPS));
    // A late one is planned as any other. It is only to be told, so that a search that fails must not fail the plan.
    let earlier = trigger.previous_within(kept, &mut few).unwrap_or(None);
    steps.take(few.taken())?;
    let right = earlier.filter(|right| is_shifted(trigger, kept, *right));
    Ok(right.map(|right| Outdated::LateByOtherZoneRules { kept, right }))
}

/// The trigger of a job, with what was decided for it when the clock was ahead decided anew.
pub(crate) fn rebound(job: &JobRow, now: DateTime<Utc>) -> Trigger {
    let horizon = now.checked_add_signed(SLACK).unwrap_or(now);
    let trigger = job.body.trigger.clone().unbound_after(horizon);
    // What else is not bound stays so, and a zone that is not counts as UTC.
    if trigger == job.body.trigger { trigger } else { trigger.bind(now, Tz::UTC, job.id.as_str()) }
}

/// The first fire time after now of a trigger that counts from now, if it counts from anything.
fn first_after(
    trigger: &Trigger,
    now: DateTime<Utc>,
    steps: &mut Steps,
) -> Result<Option<DateTime<Utc>>, TriggerError> {
    match trigger.next_within(None, now, steps)? {
        Some(first) if first <= now => trigger.next_within(Some(now), now, steps),
        first => Ok(first),
    }
}

fn is_fire_time(trigger: &Trigger, at: DateTime<Utc>, steps: &mut Steps) -> Result<bool, TriggerError> {
    match at.checked_sub_signed(TimeDelta::microseconds(1)) {
        Some(before) => Ok(trigger.next_within(Some(before), at, steps)? == Some(at)),
        None => Ok(true),
    }
}

fn is_shifted(trigger: &Trigger, kept: DateTime<Utc>, right: DateTime<Utc>) -> bool {
    let shift = right.signed_duration_since(kept);
    trigger.goes_by_zone()
        && shift.abs() <= LONGEST_SHIFT
        && shift.subsec_nanos() == 0
        && shift.num_seconds() % SHIFT_GRID == 0
}
