//! The plan of a firing: what becomes of a claimed job's waiting runs and due fire times, and where it goes next.
//!
//! A pure function of what the claim reported and the store's time. In this order:
//!
//! 0. A paused job whose pause has an end that has passed goes on from there.
//! 1. Waiting runs that cannot be continued end; the others start as far as slots are free. One that was asked for and finds
//!    none is skipped, waits, or cancels its predecessors, as the overlap policy says.
//! 2. A due fire time that was computed under other rules of its zone, and is too early, is computed anew: it never was one. One
//!    that is too late is kept.
//! 3. Fire times later than the misfire grace time end as missed.
//! 4. Of the rest, coalescing picks those that run; the others end as coalesced.
//! 5. What has no free slot is skipped, waits, or cancels its predecessors, as the overlap policy says.
//! 6. The job moves on to its next fire time, waits for an end, or is over.
//!
//! A move that starts a run under a limit key is all or nothing: if the store finds no place for the run, nothing of
//! the move is written, and the job is planned anew when there is one, with the time that it is then.

mod fire_times;
#[cfg(test)]
mod tests;

pub use fire_times::{FireTimes, due_fire_times};
pub(crate) use fire_times::{JOB_STEPS, due_of};

use std::time::Duration;

use chrono::{DateTime, Utc};

use self::fire_times::Searches;
use crate::{
    Coalesce, Delivery, JobState, Outdated, Overlap, Run, RunId, RunState, Verdict, Wait, WhenFinished,
    now::{earlier, earliest},
    outdated::outdated_when_due,
    store::{ClaimedJob, Move, RunChange},
    trigger::{TriggerError, TriggerErrorKind},
};

/// The most runs of a job that wait after a catch-up under [`Coalesce::All`], and so the most fire times that one
/// settle takes on: a backlog of a year must neither fill the store nor hold up other jobs.
pub const CATCH_UP_LIMIT: usize = 100;

/// How often a run is taken over before it ends as lost: a task that kills its process must stop some time.
pub const TAKEOVER_LIMIT: u32 = 3;

/// How often the plan steps back through fire times whose jitter has not passed; more are left for the next claim.
const JITTER_STEPS: usize = 1_000;

/// Plans one firing.
///
/// # Errors
///
/// That of the trigger, in which case nothing of the job may be moved; [`SearchLimit`](TriggerErrorKind::SearchLimit) if it
/// takes too much to find the fire times.
pub fn plan(claimed: &ClaimedJob, now: DateTime<Utc>) -> Result<Move, TriggerError> {
    plan_counting(claimed, now).0.map(|planned| planned.to)
}

/// What becomes of a claimed job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    /// Where it goes.
    pub(crate) to: Move,
    /// What was wrong with the fire time that it leaves behind.
    pub(crate) outdated: Option<Outdated>,
}

impl From<Move> for Planned {
    fn from(to: Move) -> Self {
        Self { to, outdated: None }
    }
}

/// As [`plan`]; also says what was wrong with the fire time, and how many steps the searches for fire times have taken.
pub(crate) fn plan_counting(claimed: &ClaimedJob, now: DateTime<Utc>) -> (Result<Planned, TriggerError>, u32) {
    let mut plan = Plan::new(claimed, now);
    let next = plan.end_pause().and_then(|()| {
        plan.continue_waiting_runs();
        plan.fire()
    });
    let steps = plan.searches.steps.taken();
    (next.map(|next| plan.finish(next)), steps)
}

/// Where the fire times of a job stand after a firing.
enum Next {
    /// The fire times are not this firing's concern: the job is not active.
    Untouched,
    /// The job fires next at this time.
    At(DateTime<Utc>),
    /// As [`At`](Next::At), but that time is due already and has to wait until fewer runs are waiting.
    Full(DateTime<Utc>),
    /// The job fires next some time after the end of its run.
    AfterEnd,
    /// The job has no further fire time.
    Exhausted,
}

struct Plan<'a> {
    claimed: &'a ClaimedJob,
    searches: Searches<'a>,
    now: DateTime<Utc>,
    state: JobState,
    /// With which fire time the job goes on whose pause has ended; none of the first kind if none has.
    resumed: Option<Option<DateTime<Utc>>>,
    outdated: Option<Outdated>,
    seq: u64,
    running: usize,
    waiting: usize,
    /// Whether a run that is due waits for a slot.
    is_blocked: bool,
    /// Whether there may be due runs that wait but that the claim did not report: they come before new ones.
    has_unreported: bool,
    /// Whether the plan ends a run, which counts as its end for a fixed delay.
    has_ended_run: bool,
    /// The earliest start of a waiting run that is not due yet.
    waiting_due: Option<DateTime<Utc>>,
    changes: Vec<RunChange>,
}

impl<'a> Plan<'a> {
    fn new(claimed: &'a ClaimedJob, now: DateTime<Utc>) -> Self {
        Self {
            claimed,
            searches: Searches::new(&claimed.job.body.trigger, now),
            now,
            state: claimed.job.state.clone(),
            resumed: None,
            outdated: None,
            seq: claimed.job.last_seq,
            running: claimed.running_count,
            waiting: claimed.waiting_count,
            is_blocked: false,
            has_unreported: false,
            has_ended_run: false,
            waiting_due: None,
            // What a firing changes, nearly always: one run.
            changes: Vec::with_capacity(1),
        }
    }

    /// Lets a paused job go on whose pause has ended: with the first fire time that is not before that, or one that had passed before
    /// and is open, as that of a one-shot.
    fn end_pause(&mut self) -> Result<(), TriggerError> {
        let job = &self.claimed.job;
        let Some((pause, until)) = job.current_pause().and_then(|pause| Some((pause, pause.until?))) else {
            return Ok(());
        };
        if until > self.now {
            return Ok(());
        }
        let (trigger, steps) = (&job.body.trigger, &mut self.searches.steps);
        let is_over = |next: &DateTime<Utc>| *next < until && !pause.leaves_open(*next, job.last_seq);
        let mut next = trigger.next_within(None, until, steps)?;
        while let Some(past) = next.filter(is_over) {
            next = trigger.next_within(Some(past), until, steps)?;
        }
        (self.state, self.resumed) = (JobState::Active, Some(next));
        Ok(())
    }

    fn continue_waiting_runs(&mut self) {
        let claimed = self.claimed;
        let is_paused = self.state == JobState::Paused;
        for run in &claimed.waiting {
            if let Some((verdict, error)) = self.hopeless(run) {
                self.end(run, verdict, error);
            } else if is_paused && !is_requested(run) {
                // It waits until the job is resumed.
            } else if run.due > self.now {
                self.waiting_due = earliest(self.waiting_due, Some(run.due));
            } else if self.has_slot() && !self.has_turn() {
                self.waiting_due = Some(self.now);
            } else if self.has_slot() {
                self.start(run);
            } else if is_requested(run) {
                self.fit_in(run);
            } else {
                self.is_blocked = true;
            }
        }
        // They are reported by due, so that after one that is not due there is none that is.
        let are_reported_settled = claimed.waiting.last().is_some_and(|run| run.due <= self.now);
        if claimed.waiting_count > claimed.waiting.len() && are_reported_settled {
            self.has_unreported = true;
            match (is_paused, self.has_slot()) {
                (true, _) if !self.has_ended_run => {}
                (true, _) | (false, true) => self.waiting_due = Some(self.now),
                (false, false) => self.is_blocked = true,
            }
        }
    }

    /// Why a waiting run cannot be continued, if it cannot.
    fn hopeless(&self, run: &Run) -> Option<(Verdict, &'static str)> {
        let job = &self.claimed.job;
        let is_orphan = run.state == RunState::Waiting(Wait::Orphan);
        if run.cancel_requested {
            Some((Verdict::Cancelled, "it was asked to stop"))
        } else if is_orphan && job.state == JobState::Removed {
            Some((Verdict::Lost, "its node died, and its job has been removed"))
        } else if job.state == JobState::Removed {
            Some((Verdict::Cancelled, "its job has been removed"))
        } else if is_orphan && job.body.options.delivery == Delivery::AtMostOnce {
            Some((Verdict::Lost, "its node died, and it is to run at most once"))
        } else if is_orphan && run.takeovers > TAKEOVER_LIMIT {
            Some((Verdict::Lost, "its node died once more after three takeovers"))
        } else {
            None
        }
    }

    /// Does with a run that was asked for and finds no free slot what the overlap policy says.
    fn fit_in(&mut self, run: &Run) {
        let is_waiting =
            |run: &&Run| !self.changes.iter().any(|change| is_start_of(change, run) || is_end_of(change, run));
        let before = self.claimed.waiting.iter().take_while(|other| other.id != run.id);
        match self.claimed.job.body.options.overlap {
            Overlap::Queue(places) if before.filter(is_waiting).count() < places as usize => self.is_blocked = true,
            Overlap::CancelPrevious => {
                self.cancel_previous(Some(run));
                if self.has_slot() { self.start(run) } else { self.is_blocked = true }
            }
            Overlap::Queue(_) | Overlap::Skip | Overlap::Allow => {
                self.end(run, Verdict::Skipped, "as many runs of its job were running or waiting as may be");
            }
        }
    }

    fn end(&mut self, run: &Run, verdict: Verdict, error: &str) {
        self.waiting = self.waiting.saturating_sub(1);
        self.has_ended_run = true;
        self.changes.push(RunChange::End { seq: run.id.seq, verdict, error: Some(error.to_owned()) });
    }

    fn start(&mut self, run: &Run) {
        let is_another_attempt = matches!(run.state, RunState::Waiting(Wait::Orphan | Wait::Retry));
        self.waiting = self.waiting.saturating_sub(1);
        self.running = self.running.saturating_add(1);
        let attempt = run.attempt.saturating_add(u32::from(is_another_attempt));
        self.changes.push(RunChange::Start { seq: run.id.seq, attempt });
    }

    fn has_slot(&self) -> bool {
        let options = &self.claimed.job.body.options;
        options.overlap == Overlap::Allow || self.running < options.max_instances.get() as usize
    }

    /// Whether this plan may start one more run. Of a job with a limit key each plan starts one, since it needs a place for what it starts,
    /// all or nothing: the next one is due at once.
    fn has_turn(&self) -> bool {
        self.claimed.job.body.options.limit_key.is_none() || !self.changes.iter().any(is_start)
    }

    /// Whether a new run may start: one that has been waiting longer comes first.
    fn has_slot_for_new(&self) -> bool {
        let is_in_order = !self.has_unreported || self.claimed.job.body.options.overlap == Overlap::Allow;
        is_in_order && self.has_slot()
    }

    /// Gives each due fire time its run or its verdict.
    fn fire(&mut self) -> Result<Next, TriggerError> {
        let job = &self.claimed.job;
        if self.state != JobState::Active {
            return Ok(Next::Untouched);
        }
        if self.resumed == Some(None) {
            return Ok(Next::Exhausted);
        }
        let Some(kept) = self.resumed.flatten().or(job.next_fire_time) else {
            return if job.is_ending() { Ok(Next::Exhausted) } else { self.next_after(job.last_end) };
        };
        let is_due = self.due_of(kept) <= self.now;
        if is_due && self.resumed.is_none() {
            self.outdated = outdated_when_due(job, kept, self.now, &mut self.searches.steps)?;
        }
        let first = match self.outdated {
            Some(Outdated::OtherZoneRules { right, .. }) => right,
            _ => kept,
        };
        if self.has_slot_for_new() && !self.has_turn() {
            return Ok(Next::At(first));
        }
        let Some(due) = self.due_fire_times(first)? else {
            return Ok(Next::At(first));
        };
        let Some(due_in_time) = self.give_up_missed(due)? else {
            return self.next_after(Some(due.last));
        };
        match job.body.options.coalesce {
            Coalesce::Latest => {
                if let Some(before) = self.searches.previous_from(due_in_time.last, due_in_time.first)? {
                    self.give_up(FireTimes { first: due_in_time.first, last: before }, Verdict::Coalesced);
                }
                self.run(due_in_time.last);
            }
            Coalesce::Earliest => {
                self.run(due_in_time.first);
                if due_in_time.last > due_in_time.first
                    && let Some(after) = self.searches.after(due_in_time.first)?
                {
                    let rest = FireTimes { first: after.min(due_in_time.last), last: due_in_time.last };
                    self.give_up(rest, Verdict::Coalesced);
                }
            }
            Coalesce::All => return self.run_all(due_in_time),
        }
        self.next_after(Some(due.last))
    }

    /// The fire times from `first` to the latest one whose jitter has passed, too.
    fn due_fire_times(&mut self, first: DateTime<Utc>) -> Result<Option<FireTimes>, TriggerError> {
        if self.due_of(first) > self.now {
            return Ok(None);
        }
        let Some(mut due) = self.searches.due_fire_times(first)? else {
            return Ok(None);
        };
        for _ in 0..JITTER_STEPS {
            if self.due_of(due.last) <= self.now {
                return Ok(Some(due));
            }
            // The rest of the plan wants some of its steps, too.
            if self.searches.steps.left() < JOB_STEPS / 2 {
                break;
            }
            due.last = self.searches.previous_from(due.last, first)?.unwrap_or(first);
        }
        Ok(Some(FireTimes { first, last: first }))
    }

    /// Ends the fire times that are later than the grace time; gives those that are not.
    fn give_up_missed(&mut self, due: FireTimes) -> Result<Option<FireTimes>, TriggerError> {
        let body = &self.claimed.job.body;
        let Some(grace) = body.options.misfire_grace_time else {
            return Ok(Some(due));
        };
        // Jitter is lateness on purpose, so it does not count.
        let cutoff = earlier(earlier(self.now, grace), body.trigger.longest_jitter());
        if due.first >= cutoff {
            return Ok(Some(due));
        }
        let first_in_time = match self.searches.after(due.first)? {
            Some(second) if second >= cutoff => Some(second),
            Some(_) => self.searches.after(earlier(cutoff, Duration::from_micros(1)))?,
            None => None,
        };
        let first_in_time = first_in_time.filter(|first| *first <= due.last);
        let last_missed = match first_in_time {
            Some(first) => self.searches.previous_from(first, due.first)?.unwrap_or(due.first),
            None => due.last,
        };
        self.give_up(FireTimes { first: due.first, last: last_missed }, Verdict::Missed);
        Ok(first_in_time.map(|first| FireTimes { first, last: due.last }))
    }

    /// Runs each fire time, in order, as far as [`CATCH_UP_LIMIT`] and the steps of the plan allow.
    fn run_all(&mut self, due: FireTimes) -> Result<Next, TriggerError> {
        let is_backlog = due.first != due.last || self.is_blocked || self.has_unreported;
        let mut next = Some(due.first);
        for _ in 0..CATCH_UP_LIMIT {
            let Some(fire_time) = next.filter(|next| *next <= due.last) else {
                break;
            };
            let is_full = !self.has_slot_for_new() && is_backlog && self.waiting >= CATCH_UP_LIMIT;
            if is_full {
                self.is_blocked = true;
                return Ok(Next::Full(fire_time));
            }
            if self.has_slot_for_new() && !self.has_turn() {
                return Ok(Next::At(fire_time));
            }
            // First of all, since a fire time can be given its run only if the one after it is known.
            next = match self.searches.after(fire_time) {
                Err(error) if error.kind() == TriggerErrorKind::SearchLimit && fire_time > due.first => {
                    return Ok(Next::At(fire_time));
                }
                next => next?,
            };
            if self.has_slot_for_new() || !is_backlog { self.run(fire_time) } else { self.queue(fire_time) }
        }
        match next {
            Some(next) if next <= due.last => Ok(Next::At(next)),
            _ => self.next_after(Some(due.last)),
        }
    }

    /// Runs a fire time, if a slot is free; otherwise does with it what the overlap policy says.
    fn run(&mut self, fire_time: DateTime<Utc>) {
        let overlap = self.claimed.job.body.options.overlap;
        if overlap == Overlap::CancelPrevious && !self.has_slot_for_new() {
            self.cancel_previous(None);
        }
        if self.has_slot_for_new() {
            self.running = self.running.saturating_add(1);
            let run = self.new_run(fire_time, RunState::Running);
            self.changes.push(RunChange::Insert(run));
            return;
        }
        match overlap {
            Overlap::Queue(places) if self.waiting < places as usize => self.queue(fire_time),
            Overlap::CancelPrevious => self.queue(fire_time),
            Overlap::Queue(_) | Overlap::Skip | Overlap::Allow => {
                self.give_up(FireTimes { first: fire_time, last: fire_time }, Verdict::Skipped);
            }
        }
    }

    fn queue(&mut self, fire_time: DateTime<Utc>) {
        self.waiting = self.waiting.saturating_add(1);
        self.is_blocked = true;
        let mut run = self.new_run(fire_time, RunState::Waiting(Wait::Queued));
        run.due = self.now.min(self.due_of(fire_time));
        self.changes.push(RunChange::Insert(run));
    }

    /// Asks the running runs to stop, and drops those that wait for that or would start only now: all, or those before one
    /// that was asked for.
    fn cancel_previous(&mut self, of: Option<&Run>) {
        const WHY: &str = "a later one took its place";
        let claimed = self.claimed;
        for run in claimed.running.iter().filter(|run| !run.cancel_requested) {
            let cancel = RunChange::Cancel { seq: run.id.seq };
            if !self.changes.contains(&cancel) {
                self.changes.push(cancel);
            }
        }
        for run in claimed.waiting.iter().take_while(|run| of.is_none_or(|of| of.id != run.id)) {
            let start = self.changes.iter().position(|change| is_start_of(change, run));
            let is_ended = self.changes.iter().any(|change| is_end_of(change, run));
            if let Some(start) = start {
                self.changes.remove(start);
                self.running = self.running.saturating_sub(1);
                self.waiting = self.waiting.saturating_add(1);
                self.end(run, Verdict::Cancelled, WHY);
            } else if !is_ended && matches!(run.state, RunState::Waiting(Wait::Queued | Wait::Requested)) {
                self.end(run, Verdict::Cancelled, WHY);
            }
        }
    }

    fn give_up(&mut self, fire_times: FireTimes, verdict: Verdict) {
        self.seq = self.seq.saturating_add(1);
        let id = RunId { uid: self.claimed.job.uid, seq: self.seq };
        self.changes.push(RunChange::Insert(fire_times.given_up(id, verdict, &self.claimed.job.body.trigger)));
    }

    fn new_run(&mut self, fire_time: DateTime<Utc>, state: RunState) -> Run {
        self.seq = self.seq.saturating_add(1);
        Run::new(RunId { uid: self.claimed.job.uid, seq: self.seq }, fire_time, state)
    }

    fn next_after(&mut self, previous: Option<DateTime<Utc>>) -> Result<Next, TriggerError> {
        if !self.claimed.job.body.trigger.waits_for_end() {
            return Ok(self.searches.next(previous)?.map_or(Next::Exhausted, Next::At));
        }
        if self.has_open_runs() {
            return Ok(Next::AfterEnd);
        }
        // A fire time or a run that this plan gives up counts as a run that ends now; otherwise the last end counts.
        let has_fired = self.claimed.job.next_fire_time.is_some() || self.resumed.is_some();
        let is_given_up = has_fired || self.has_ended_run;
        // An end that lies ahead was noted by a clock that has been put right since.
        let end = if is_given_up { self.now } else { self.claimed.job.last_end.unwrap_or(self.now).min(self.now) };
        Ok(self.searches.after(end)?.map_or(Next::Exhausted, Next::At))
    }

    fn finish(mut self, next: Next) -> Planned {
        let job = &self.claimed.job;
        let has_open_runs = self.has_open_runs();
        let mut state = self.state.clone();
        let mut next_fire_time = job.next_fire_time;
        let mut due = self.waiting_due;
        match next {
            Next::Untouched => due = earliest(due, job.paused_until()),
            Next::At(at) => {
                next_fire_time = Some(at);
                due = earliest(due, Some(self.due_of(at).max(self.now)));
            }
            Next::Full(at) => next_fire_time = Some(at),
            Next::AfterEnd => {
                next_fire_time = None;
                self.is_blocked = true;
            }
            Next::Exhausted => {
                next_fire_time = None;
                state = match job.body.options.when_finished {
                    WhenFinished::Keep => JobState::Kept,
                    WhenFinished::Remove => JobState::Ending,
                };
            }
        }
        debug_assert!(has_open_runs || !self.is_blocked, "a job that waits for an end has a run");
        let to = Move {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            state,
            next_fire_time,
            due,
            blocked: self.is_blocked,
            limit_key: job.body.options.limit_key.clone(),
            runs: self.changes,
        };
        // One that has to wait for room is met again.
        let outdated = self.outdated.filter(|outdated| next_fire_time != Some(outdated.kept()));
        Planned { to, outdated }
    }

    fn has_open_runs(&self) -> bool {
        self.running > 0 || self.waiting > 0
    }

    fn due_of(&self, fire_time: DateTime<Utc>) -> DateTime<Utc> {
        due_of(&self.claimed.job.body.trigger, self.claimed.job.uid, fire_time)
    }
}

fn is_requested(run: &Run) -> bool {
    run.state == RunState::Waiting(Wait::Requested)
}

fn is_start(change: &RunChange) -> bool {
    match change {
        RunChange::Insert(run) => run.state == RunState::Running,
        RunChange::Start { .. } => true,
        RunChange::End { .. } | RunChange::Cancel { .. } => false,
    }
}

fn is_start_of(change: &RunChange, run: &Run) -> bool {
    matches!(change, RunChange::Start { seq, .. } if *seq == run.id.seq)
}

fn is_end_of(change: &RunChange, run: &Run) -> bool {
    matches!(change, RunChange::End { seq, .. } if *seq == run.id.seq)
}
