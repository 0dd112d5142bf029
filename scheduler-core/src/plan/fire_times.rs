//! The fire times of one job that are due together.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    Run, RunId, RunState, Trigger, Uid, Verdict,
    trigger::{TriggerError, steps::Steps},
};

/// How many fire times the plan walks along where a trigger cannot say which one comes before an instant; more are left
/// for the next claim.
const WALK_LIMIT: usize = 10_000;

/// How many steps the searches of one job's plan may take together: two searches that go as far as one does, in some ten
/// milliseconds. A job that needs more cannot be planned, for the loop has others to look after.
pub(crate) const JOB_STEPS: u32 = 200_000;

/// The fire times of `trigger` from `first` to the latest one that is due at `now`, for a job that gives them up.
///
/// None if `first` is not due.
///
/// # Errors
///
/// That of the trigger, and [`SearchLimit`](crate::trigger::TriggerErrorKind::SearchLimit) if it takes too much to find them.
pub fn due_fire_times(
    trigger: &Trigger,
    first: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<FireTimes>, TriggerError> {
    Searches::new(trigger, now).due_fire_times(first)
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
        Ok(Searches::new(trigger, at).previous_from(at, self.first)?.map(|last| Self { last, ..self }))
    }
}

/// When a fire time is due: with its jitter.
pub(crate) fn due_of(trigger: &Trigger, uid: Uid, fire_time: DateTime<Utc>) -> DateTime<Utc> {
    let jitter = TimeDelta::from_std(trigger.jitter(uid.0, fire_time)).unwrap_or(TimeDelta::zero());
    fire_time.checked_add_signed(jitter).unwrap_or(fire_time)
}

/// The questions to the trigger of one job, which together may take so many steps.
pub(super) struct Searches<'a> {
    trigger: &'a Trigger,
    now: DateTime<Utc>,
    pub(super) steps: Steps,
    /// The first answer to what comes after a fire time, and the latest: they are asked for time and again.
    known: [Option<Known>; 2],
}

/// A fire time, and the one after it.
type Known = (DateTime<Utc>, Option<DateTime<Utc>>);

impl<'a> Searches<'a> {
    pub(super) fn new(trigger: &'a Trigger, now: DateTime<Utc>) -> Self {
        Self { trigger, now, steps: Steps::up_to(JOB_STEPS), known: [None; 2] }
    }

    /// The fire time after another.
    pub(super) fn after(&mut self, previous: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        if let Some((_, next)) = self.known.into_iter().flatten().find(|(asked, _)| *asked == previous) {
            return Ok(next);
        }
        let next = self.trigger.next_within(Some(previous), self.now, &mut self.steps)?;
        let place = usize::from(self.known[0].is_some());
        self.known[place] = Some((previous, next));
        Ok(next)
    }

    /// The fire time after another, or the first one.
    pub(super) fn next(&mut self, previous: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match previous {
            Some(previous) => self.after(previous),
            None => self.trigger.next_within(None, self.now, &mut self.steps),
        }
    }

    /// The fire times from `first` to the latest one up to now.
    pub(super) fn due_fire_times(&mut self, first: DateTime<Utc>) -> Result<Option<FireTimes>, TriggerError> {
        if first > self.now {
            return Ok(None);
        }
        Ok(Some(FireTimes { first, last: self.last_up_to(self.now, first)? }))
    }

    /// The fire time before `at`, if that is not before `first`.
    pub(super) fn previous_from(
        &mut self,
        at: DateTime<Utc>,
        first: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match at.checked_sub_signed(TimeDelta::microseconds(1)).filter(|_| at > first) {
            Some(before) => self.last_up_to(before, first).map(Some),
            None => Ok(None),
        }
    }

    /// The last fire time at or before `at`, of those that begin with `first`.
    fn last_up_to(&mut self, at: DateTime<Utc>, first: DateTime<Utc>) -> Result<DateTime<Utc>, TriggerError> {
        // `first` may be a time that the trigger does not know, one that the user chose; what follows it is for `next` to say.
        if self.trigger.waits_for_end() || self.after(first)?.is_none_or(|second| second > at) {
            return Ok(first);
        }
        if let Some(last) = self.trigger.previous_within(at, &mut self.steps)? {
            return Ok(last.max(first));
        }
        let mut last = first;
        for _ in 0..WALK_LIMIT {
            match self.after(last)? {
                Some(next) if next <= at => last = next,
                Some(_) | None => break,
            }
        }
        Ok(last)
    }
}
