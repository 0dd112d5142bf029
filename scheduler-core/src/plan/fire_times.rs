//! The fire times of one job that are due together.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Run, RunId, RunState, Trigger, Uid, Verdict, trigger::TriggerError};

/// How many fire times the plan walks along where a trigger cannot say which one comes before an instant; more are left
/// for the next claim.
const WALK_LIMIT: usize = 10_000;

/// The fire times of `trigger` from `first` to the latest one that is due at `now`, for a job that gives them up.
///
/// None if `first` is not due.
///
/// # Errors
///
/// That of the trigger.
pub fn due_fire_times(
    trigger: &Trigger,
    first: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<FireTimes>, TriggerError> {
    if first > now {
        return Ok(None);
    }
    Ok(Some(FireTimes { first, last: last_up_to(trigger, now, first)? }))
}

/// The fire times of a job from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FireTimes {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
}

impl FireTimes {
    /// The row that says how they were given up.
    pub fn given_up(self, id: RunId, verdict: Verdict, trigger: &Trigger) -> Run {
        let mut run = Run::new(id, self.last, RunState::Ended(verdict));
        if self.first != self.last {
            run.first = Some(self.first);
            run.count = self.count(trigger);
        }
        run
    }

    fn count(self, trigger: &Trigger) -> Option<u64> {
        let count = trigger.count(self.first, self.last)?;
        // The first one may be a time that the trigger does not know: one that the user chose.
        let is_chosen = trigger.previous(self.first).ok()? != Some(self.first);
        Some(count.saturating_add(u64::from(is_chosen)))
    }

    /// Those of the fire times that come before `at`.
    ///
    /// # Errors
    ///
    /// That of the trigger.
    pub(crate) fn before(self, at: DateTime<Utc>, trigger: &Trigger) -> Result<Option<Self>, TriggerError> {
        if self.last < at {
            return Ok(Some(self));
        }
        Ok(previous_from(trigger, at, self.first)?.map(|last| Self { last, ..self }))
    }
}

/// When a fire time is due: with its jitter.
pub(crate) fn due_of(trigger: &Trigger, uid: Uid, fire_time: DateTime<Utc>) -> DateTime<Utc> {
    let jitter = TimeDelta::from_std(trigger.jitter(uid.0, fire_time)).unwrap_or(TimeDelta::zero());
    fire_time.checked_add_signed(jitter).unwrap_or(fire_time)
}

/// The fire time before `at`, if that is not before `first`.
pub(super) fn previous_from(
    trigger: &Trigger,
    at: DateTime<Utc>,
    first: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, TriggerError> {
    match at.checked_sub_signed(TimeDelta::microseconds(1)).filter(|_| at > first) {
        Some(before) => last_up_to(trigger, before, first).map(Some),
        None => Ok(None),
    }
}

/// The last fire time at or before `at`, of those that begin with `first`.
fn last_up_to(trigger: &Trigger, at: DateTime<Utc>, first: DateTime<Utc>) -> Result<DateTime<Utc>, TriggerError> {
    // `first` may be a time that the trigger does not know, one that the user chose; what follows it is for `next` to say.
    if trigger.waits_for_end() || trigger.next(Some(first), at)?.is_none_or(|second| second > at) {
        return Ok(first);
    }
    if let Some(last) = trigger.previous(at)? {
        return Ok(last.max(first));
    }
    let mut last = first;
    for _ in 0..WALK_LIMIT {
        match trigger.next(Some(last), at)? {
            Some(next) if next <= at => last = next,
            Some(_) | None => break,
        }
    }
    Ok(last)
}
