//! Why a job did, did not, or will (not) run at a time.
//!
//! A pure function of what a store keeps: the job's row, and its runs around that time.

mod clocks;
#[cfg(test)]
mod tests;
mod text;

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

pub use self::clocks::ClockChange;
use crate::{
    Coalesce, JobId, JobRow, JobState, LimitKey, NodeId, Outdated, Pause, Run, RunState, TaskName, Trigger, Verdict,
    Wait,
    options::{exact_seconds, seconds},
    outdated::outdated,
    plan::due_of,
    store::KeyLimit,
    trigger::{TriggerError, window::optional_zone},
};

/// Why a job did, did not, or will (not) run at a time. Says so in a sentence when displayed, and in fields.
///
/// Times in the sentence are those of the trigger's zone, or UTC if it has none.
///
/// ```
/// use chrono::{TimeZone, Utc};
/// use scheduler_core::{Answer, Explanation};
///
/// fn print(explanation: &Explanation) {
///     println!("{explanation}");
///     if let Answer::Missed { late, grace } = &explanation.answer {
///         println!("{late:?} late, {grace:?} allowed");
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// The time that was asked about.
    pub at: DateTime<Utc>,
    /// The fire time that is meant: that time, or the only one within that whole second. None if there is none.
    pub fire_time: Option<DateTime<Utc>>,
    /// Why.
    #[serde(flatten)]
    pub answer: Answer,
    /// The fire times that were given up together with this one.
    pub together: Option<Together>,
    /// When a claim looks at the fire time at the earliest, if the trigger has jitter.
    pub due: Option<DateTime<Utc>>,
    /// Why the job is paused, if it is and that was said.
    pub pause: Option<Pause>,
    /// A change of the clocks that has to do with it.
    pub clocks: Option<ClockChange>,
    /// What is wrong with the next fire time that the job has kept, if something is: until it is computed anew, the job
    /// fires then, and at no time before.
    pub outdated: Option<Outdated>,
    /// The zone of the trigger.
    #[serde(serialize_with = "optional_zone::serialize")]
    pub zone: Option<Tz>,
}

/// A range of fire times that were given up together.
///
/// ```
/// use scheduler_core::{Explanation, Together};
///
/// fn print(explanation: &Explanation) {
///     if let Some(Together { first, last, count }) = explanation.together {
///         let number = count.map_or("some".to_owned(), |count| count.to_string());
///         println!("{number} fire times from {first} to {last} were given up together");
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Together {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many there are, where that is cheap to know.
    pub count: Option<u64>,
}

/// What became, or becomes, of a time at which a job was expected to run. Durations are seconds when serialised.
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::Answer;
///
/// /// Whether somebody should look at it.
/// fn is_alarming(answer: &Answer) -> bool {
///     match answer {
///         Answer::Missed { .. } | Answer::Quarantined { .. } | Answer::TriggerFailed { .. } => true,
///         // No node has the task, or all of them are down.
///         Answer::Due { late, .. } => *late > Duration::from_secs(60),
///         _ => false,
///     }
/// }
///
/// assert!(is_alarming(&Answer::Due { late: Duration::from_secs(300), grace: None, task: "report".into() }));
/// assert!(!is_alarming(&Answer::Next));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It ran, and ended so.
    Ran {
        /// How.
        verdict: Verdict,
        /// When its last attempt started.
        started: DateTime<Utc>,
        /// How late that was; only of a first attempt.
        #[serde(with = "seconds")]
        late: Option<Duration>,
        /// How long that attempt took, if its node lived to tell.
        #[serde(with = "seconds")]
        took: Option<Duration>,
        /// The last attempt.
        attempt: u32,
        /// The node that ran it last.
        node: Option<NodeId>,
        /// What went wrong.
        error: Option<String>,
    },
    /// It is running, or about to: a node has it, whose executor may not have room yet.
    Running {
        /// Since when the node has it.
        started: DateTime<Utc>,
        /// The attempt.
        attempt: u32,
        /// Where.
        node: Option<NodeId>,
    },
    /// Its run waits.
    Waiting {
        /// For what.
        wait: Wait,
        /// The earliest start.
        until: DateTime<Utc>,
        /// The attempt that ran last, or starts.
        attempt: u32,
        /// What went wrong with that.
        error: Option<String>,
    },
    /// It was given up, since it was later than the misfire grace time.
    Missed {
        /// How late it was; unknown if the store does not say when that was decided.
        #[serde(with = "seconds")]
        late: Option<Duration>,
        /// The misfire grace time as it is now.
        #[serde(with = "seconds")]
        grace: Option<Duration>,
    },
    /// It was given up for another fire time that was due at once.
    Coalesced {
        /// Which; none if it is not in the history any more.
        into: Option<DateTime<Utc>>,
    },
    /// It was given up, since as many runs as may be were running.
    Skipped {
        /// As many as may be now.
        max_instances: u32,
    },
    /// It was cancelled before it started.
    Cancelled {
        /// Why.
        why: Option<String>,
    },
    /// It is due, and no node has taken it.
    Due {
        /// For how long.
        #[serde(with = "exact_seconds")]
        late: Duration,
        /// The misfire grace time.
        #[serde(with = "seconds")]
        grace: Option<Duration>,
        /// The task that a node needs for it.
        task: TaskName,
    },
    /// It is due, and waits, since as many runs are running under the limit key of its job as may.
    NoPlace {
        /// The key.
        key: LimitKey,
        /// How many may be running at once.
        limit: NonZeroU32,
        /// How many places are taken.
        running: usize,
        /// For how long it has been due; unknown of a run that was running before or was asked for.
        #[serde(with = "seconds")]
        late: Option<Duration>,
        /// The misfire grace time, after which a fire time is missed, though it waits.
        #[serde(with = "seconds")]
        grace: Option<Duration>,
    },
    /// It will run: it is the job's next fire time.
    Next,
    /// It will run: it is one of the job's later fire times.
    Later {
        /// The next one.
        next: DateTime<Utc>,
    },
    /// The trigger, as it is now, does not fire then.
    NotAFireTime {
        /// The last fire time before.
        before: Option<DateTime<Utc>>,
        /// The first fire time after.
        after: Option<DateTime<Utc>>,
    },
    /// It fires next when its run has ended: when that is, cannot be known.
    AfterRun,
    /// The trigger names it, but the job was not to fire then: it was added, resumed or rescheduled only afterwards.
    NotThen,
    /// The history does not reach back that far.
    Forgotten {
        /// The oldest fire time in it.
        oldest: Option<DateTime<Utc>>,
        /// How many runs it keeps.
        history: u32,
    },
    /// The job is paused.
    Paused,
    /// The job has had its last fire time.
    Over {
        /// Its last run in the history.
        last: Option<DateTime<Utc>>,
    },
    /// The job is put aside until it is repaired.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// The trigger cannot say.
    TriggerFailed {
        /// Why.
        error: String,
    },
}

/// How many fire times of a custom trigger are walked along to reach the time in question.
const WALK_LIMIT: usize = 10_000;

/// Explains why a job did, did not, or will (not) run at a time.
///
/// `runs` are the job's runs, open ones and history, at least from the newest back to `at`; in any order.
///
/// ```
/// # use chrono::{TimeZone, Utc};
/// # use scheduler_core::{JobRow, JobState, Totals, Uid};
/// use scheduler_core::explain;
/// # let row = serde_json::json!({
/// #     "uid": Uid(1), "id": "hourly", "state": JobState::Active, "next_fire_time": "2026-11-21T10:00:00Z",
/// #     "due": null, "last_end": null, "blocked": false, "revision": 0, "fence": 0, "last_seq": 0,
/// #     "totals": Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "cron", "dialect": "crontab", "expression": "0 * * * *"}},
/// # });
/// # let job: JobRow = serde_json::from_value(row).unwrap();
///
/// let at = |hour, minute| Utc.with_ymd_and_hms(2026, 11, 21, hour, minute, 0).unwrap();
/// assert_eq!(
///     explain(&job, &[], at(9, 30), at(10, 0)).to_string(),
///     "`hourly` at 2026-11-21 10:00:00 UTC: it will run; that is its next fire time",
/// );
/// assert_eq!(
///     explain(&job, &[], at(9, 30), at(10, 10)).to_string(),
///     "`hourly` at 2026-11-21 10:10:00 UTC: that is not a fire time; the trigger fires at 2026-11-21 10:00:00 UTC before \
///      it and at 2026-11-21 11:00:00 UTC after it",
/// );
/// ```
pub fn explain(job: &JobRow, runs: &[Run], now: DateTime<Utc>, at: DateTime<Utc>) -> Explanation {
    let question = Question { job, runs, now, at };
    let trigger = &job.body.trigger;
    let (fire_time, answer, together) = question.answer().unwrap_or_else(|error| {
        let error = error.to_string();
        (None, Answer::TriggerFailed { error }, None)
    });
    let due = fire_time.map(|fire_time| due_of(trigger, job.uid, fire_time)).filter(|due| Some(*due) != fire_time);
    let (zone, clocks) = clocks::around(trigger, at);
    let (outdated, pause) = (outdated(job, now), job.current_pause().cloned());
    Explanation { job: job.id.clone(), at, fire_time, answer, together, due, pause, clocks, outdated, zone }
}

impl Explanation {
    /// The same, knowing how far the limit key of the job is used at `now`: what is due and finds no place waits for one.
    ///
    /// ```
    /// use scheduler_core::{Answer, Explanation, store::KeyLimit};
    /// # use chrono::{DateTime, Utc};
    ///
    /// fn why(explanation: Explanation, limit: &KeyLimit, now: DateTime<Utc>) -> String {
    ///     match explanation.with_key_limit(limit, now).answer {
    ///         Answer::NoPlace { key, running, .. } => format!("{running} runs are running under `{key}`"),
    ///         other => format!("{other:?}"),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn with_key_limit(mut self, of: &KeyLimit, now: DateTime<Utc>) -> Self {
        let no_place =
            |late, grace| Answer::NoPlace { key: of.key.clone(), limit: of.limit, running: of.running, late, grace };
        if of.free() > 0 {
            return self;
        }
        match self.answer {
            Answer::Due { late, grace, .. } => self.answer = no_place(Some(late), grace),
            // One that is queued waits for the runs of its own job.
            Answer::Waiting { wait, until, .. } if wait != Wait::Queued && until <= now => {
                self.answer = no_place(None, None)
            }
            _ => {}
        }
        self
    }
}

struct Question<'a> {
    job: &'a JobRow,
    runs: &'a [Run],
    now: DateTime<Utc>,
    at: DateTime<Utc>,
}

type Answered = (Option<DateTime<Utc>>, Answer, Option<Together>);

impl Question<'_> {
    fn answer(&self) -> Result<Answered, TriggerError> {
        if let Some((run, fire_time)) = self.run_for(&|fire_time| fire_time == self.at) {
            return Ok(self.answered_by(run, fire_time));
        }
        let named = self.named();
        let is_exact = named.as_ref().is_ok_and(|named| *named == Some(self.at));
        if !is_exact && let Some((run, fire_time)) = self.run_for(&|fire_time| self.is_same_second(fire_time)) {
            return Ok(self.answered_by(run, fire_time));
        }
        let Some(fire_time) = named? else {
            return Ok((None, self.of_unnamed()?, None));
        };
        if let Some(run) = self.range_with(fire_time) {
            return Ok(self.answered_by(run, fire_time));
        }
        let answer = self.of_named(fire_time)?;
        let is_fire_time = !matches!(answer, Answer::NotAFireTime { .. });
        Ok((is_fire_time.then_some(fire_time), answer, None))
    }

    fn answered_by(&self, run: &Run, fire_time: DateTime<Utc>) -> Answered {
        let together = run.first.map(|first| Together { first, last: run.fire_time, count: run.count });
        (Some(fire_time), self.of_run(run, fire_time), together)
    }

    /// The newest run for a fire time, or that begins or ends a range with it.
    fn run_for(&self, is_meant: &dyn Fn(DateTime<Utc>) -> bool) -> Option<(&Run, DateTime<Utc>)> {
        let meant = self.runs.iter().filter_map(|run| {
            let ends = [Some(run.fire_time), run.first].into_iter().flatten();
            ends.into_iter().find(|fire_time| is_meant(*fire_time)).map(|fire_time| (run, fire_time))
        });
        meant.max_by_key(|(run, _)| run.id.seq)
    }

    /// The fire times that were given up together, this one among them.
    fn range_with(&self, fire_time: DateTime<Utc>) -> Option<&Run> {
        let with = |run: &&Run| run.first.is_some_and(|first| first < fire_time) && fire_time < run.fire_time;
        self.runs.iter().filter(with).max_by_key(|run| run.id.seq)
    }

    /// The fire time that is meant, as the trigger or the job's row names it.
    fn named(&self) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let by_trigger = match self.trigger().waits_for_end() {
            true => None,
            false => self.following(self.right_before())?,
        };
        let is_meant = |fire_time: &DateTime<Utc>| *fire_time == self.at || self.is_same_second(*fire_time);
        Ok(self.job.next_fire_time.into_iter().chain(by_trigger).filter(is_meant).min())
    }

    /// What became, or becomes, of a fire time without a run.
    fn of_named(&self, fire_time: DateTime<Utc>) -> Result<Answer, TriggerError> {
        let is_settled = match self.job.next_fire_time {
            Some(next) => fire_time < next,
            None => fire_time <= self.now && self.newest().is_some_and(|newest| fire_time < newest),
        };
        if !is_settled {
            return match self.first_after_pause(fire_time)? {
                Some(next) if next == fire_time => Ok(Answer::Next),
                Some(next) => Ok(Answer::Later { next }),
                None => Ok(self.of_unsettled(fire_time)),
            };
        }
        if fire_time > self.now {
            // An update has moved the next fire time on.
            return self.of_unnamed();
        }
        let oldest = self.runs.iter().min_by_key(|run| run.id.seq);
        let is_forgotten = match oldest {
            Some(oldest) => oldest.id.seq > 1 && fire_time < oldest.first.unwrap_or(oldest.fire_time),
            None => self.job.last_seq > 0,
        };
        if is_forgotten {
            let oldest = oldest.map(|run| run.first.unwrap_or(run.fire_time));
            return Ok(Answer::Forgotten { oldest, history: self.job.body.options.history });
        }
        Ok(Answer::NotThen)
    }

    /// What becomes of a fire time that has no verdict yet.
    fn of_unsettled(&self, fire_time: DateTime<Utc>) -> Answer {
        if let Some(answer) = self.standstill() {
            return answer;
        }
        let body = &self.job.body;
        let due = due_of(&body.trigger, self.job.uid, fire_time);
        match self.job.next_fire_time {
            _ if due <= self.now && self.job.blocked => {
                Answer::Waiting { wait: Wait::Queued, until: due, attempt: 1, error: None }
            }
            _ if due <= self.now => Answer::Due {
                late: self.now.signed_duration_since(due).to_std().unwrap_or_default(),
                grace: body.options.misfire_grace_time,
                task: body.task.clone(),
            },
            Some(next) if next < fire_time => Answer::Later { next },
            _ => Answer::Next,
        }
    }

    /// The fire time with which the job goes on by itself after its pause, if that is over at this fire time.
    fn first_after_pause(&self, fire_time: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        let Some(until) = self.job.paused_until().filter(|until| *until <= fire_time && *until > self.now) else {
            return Ok(None);
        };
        Ok(self.trigger().next(None, until)?.filter(|next| *next <= fire_time).or(Some(fire_time)))
    }

    /// Why the job fires no more, or not now.
    fn standstill(&self) -> Option<Answer> {
        match (&self.job.state, self.job.next_fire_time) {
            (JobState::Paused, _) => Some(Answer::Paused),
            (JobState::Quarantined(reason), _) => Some(Answer::Quarantined { reason: reason.clone() }),
            (JobState::Active, None) if self.trigger().waits_for_end() => Some(Answer::AfterRun),
            (JobState::Kept | JobState::Ending | JobState::Removed, _) | (JobState::Active, None) => {
                Some(Answer::Over { last: self.newest() })
            }
            (JobState::Active, Some(_)) => None,
        }
    }

    /// Why a time is no fire time.
    fn of_unnamed(&self) -> Result<Answer, TriggerError> {
        let goes_on_by_then = self.job.paused_until().is_some_and(|until| until <= self.at);
        if self.at > self.now
            && !goes_on_by_then
            && let Some(answer) = self.standstill()
        {
            return Ok(answer);
        }
        let fire_times = || self.runs.iter().map(|run| run.fire_time).chain(self.job.next_fire_time);
        let before = fire_times().filter(|fire_time| *fire_time < self.at).max();
        if self.trigger().waits_for_end() {
            let after = fire_times().filter(|fire_time| *fire_time > self.at).min();
            let is_open = after.is_none() && self.job.state == JobState::Active;
            return Ok(if is_open { Answer::AfterRun } else { Answer::NotAFireTime { before, after } });
        }
        let after = match self.job.next_fire_time.filter(|next| *next > self.at) {
            // Between now and the next fire time there is none, whatever the trigger says.
            Some(next) if self.at >= self.now => Some(next),
            next => self.following(self.at)?.or(next),
        };
        Ok(Answer::NotAFireTime { before: self.trigger().previous(self.right_before())?.max(before), after })
    }

    fn of_run(&self, run: &Run, fire_time: DateTime<Utc>) -> Answer {
        let options = &self.job.body.options;
        let due = due_of(self.trigger(), self.job.uid, fire_time);
        let late = |at: DateTime<Utc>| at.signed_duration_since(due).to_std().unwrap_or_default();
        let error = run.error.clone();
        match (run.state, run.started) {
            (RunState::Running, started) => {
                Answer::Running { started: started.unwrap_or(run.due), attempt: run.attempt, node: run.owner.clone() }
            }
            (RunState::Waiting(wait), _) => Answer::Waiting { wait, until: run.due, attempt: run.attempt, error },
            (RunState::Ended(Verdict::Missed), _) => {
                Answer::Missed { late: run.ended.map(late), grace: options.misfire_grace_time }
            }
            (RunState::Ended(Verdict::Coalesced), _) => Answer::Coalesced { into: self.coalesced_into(run) },
            (RunState::Ended(Verdict::Skipped), _) => Answer::Skipped { max_instances: options.max_instances.get() },
            (RunState::Ended(verdict), Some(started)) => Answer::Ran {
                verdict,
                started,
                late: (run.attempt == 1).then(|| late(started)),
                took: run.duration,
                attempt: run.attempt,
                node: run.owner.clone(),
                error,
            },
            (RunState::Ended(_), None) => Answer::Cancelled { why: error },
        }
    }

    /// The fire time for which these were given up: the plan writes its row right after theirs, or right before.
    fn coalesced_into(&self, run: &Run) -> Option<DateTime<Utc>> {
        let seq = match self.job.body.options.coalesce {
            Coalesce::Earliest => run.id.seq.checked_sub(1)?,
            Coalesce::Latest | Coalesce::All => run.id.seq.checked_add(1)?,
        };
        self.runs.iter().find(|other| other.id.seq == seq).map(|other| other.fire_time)
    }

    fn trigger(&self) -> &Trigger {
        &self.job.body.trigger
    }

    /// The first fire time after a time.
    fn following(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TriggerError> {
        if !matches!(self.trigger(), Trigger::Custom(_)) {
            return self.trigger().next(Some(at), self.now);
        }
        // Code of the user's may go by its previous fire time, which then has to be one.
        let known = || self.runs.iter().map(|run| run.fire_time).chain(self.job.next_fire_time);
        let Some(mut fire_time) = known().filter(|known| *known <= at).max() else {
            return Ok(known().min());
        };
        for _ in 0..WALK_LIMIT {
            match self.trigger().next(Some(fire_time), self.now)? {
                Some(next) if next <= at => fire_time = next,
                next => return Ok(next),
            }
        }
        Ok(None)
    }

    fn right_before(&self) -> DateTime<Utc> {
        self.at.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(self.at)
    }

    /// The newest fire time in the history.
    fn newest(&self) -> Option<DateTime<Utc>> {
        self.runs.iter().map(|run| run.fire_time).max()
    }

    /// Whether a fire time lies in the whole second that was asked about, as people ask.
    fn is_same_second(&self, fire_time: DateTime<Utc>) -> bool {
        self.at.timestamp_subsec_nanos() == 0 && fire_time.timestamp() == self.at.timestamp()
    }
}
