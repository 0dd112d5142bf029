//! The rules: what each verb does to the part of a job that changes, and to the job's open runs.
//!
//! The rules are pure: a store loads a [`Head`] with its [`Runs`], lets a rule change them, and writes what has changed. They ask
//! no clock and no database. All stores of this crate share them.

mod places;
mod record;
mod settle;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
pub use scheduler_core::store::whole_micros;

pub use self::places::{Granted, Held, Places};
use scheduler_core::{
    BODY_VERSION, JobId, JobRow, JobState, NodeId, Run, RunState, TaskName, Totals, Uid, Verdict, Wait,
    store::{
        Cancelled, CancelledRun, Claim, Fate, Hint, OnClaim, Removed, RemovedAll, StoreError, StoreErrorKind, Update,
    },
};

/// What the verbs change of a job: its row without the definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The state of the job.
    pub state: JobState,
    /// The next fire time of the trigger.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// When a claim is to look at the job: at its next fire time, or at that of a waiting run.
    pub due: Option<DateTime<Utc>>,
    /// When a run of the job ended last.
    pub last_end: Option<DateTime<Utc>>,
    /// Whether the job waits for one of its runs to end, since it has as many as it may.
    pub blocked: bool,
    /// Whether a run has ended or been put off since the last claim, so that a decision from that claim has not seen it. The
    /// databases' name for it is `nudged`.
    pub claim_is_stale: bool,
    /// Grows with each change that a user asks for.
    pub revision: u64,
    /// Grows with each claim, and with each move that is applied.
    pub fence: u64,
    /// Who has claimed the job, if anybody.
    pub claim: Option<ClaimMark>,
    /// The fence of the last move that was applied; 0 before the first.
    pub settled_fence: u64,
    /// The number of the last run.
    pub last_seq: u64,
    /// How many runs have ended in which way.
    pub totals: Totals,
    /// Until when a job that is over stays known; none of one that is not over, or goes at once.
    pub retained_until: Option<DateTime<Utc>>,
    /// For how long the job stays known once it is over: what its definition says, and not one of the columns of a head.
    pub retention: Duration,
}

/// A claim of a job by a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMark {
    /// The node that has claimed it.
    pub owner: NodeId,
    /// When other nodes may claim it, unless it was moved on before.
    pub until: DateTime<Utc>,
}

/// The runs of one job, as far as a step can touch them.
pub trait Runs {
    /// The run with this number, if it is loaded.
    fn run(&self, seq: u64) -> Option<&Run>;
    /// The runs that have not ended, by number.
    fn open(&self) -> impl Iterator<Item = &Run>;
    /// Adds a run, or puts it in the place of the one with its number.
    fn put(&mut self, run: Run);
}

/// What becomes of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStep {
    /// It is written; the definition is the caller's to write.
    Written,
    /// It was written by an earlier sending of the same call.
    Repeated,
    /// Something else has touched the job; nothing is written.
    Conflict,
}

/// The open runs of a job that is removed.
#[derive(Debug)]
pub struct RunsOfRemoved {
    /// How many are running.
    pub running: usize,
    /// Those that waited, as they ended.
    pub cancelled: Vec<Run>,
}

impl RunsOfRemoved {
    /// What became of the job.
    pub fn outcome(self, uid: Option<Uid>, job: &JobId, task: &TaskName) -> Removed {
        let cancelled =
            self.cancelled.into_iter().map(|run| CancelledRun { job: job.clone(), task: task.clone(), run });
        Removed::Removed { uid, running: self.running, cancelled: cancelled.collect() }
    }
}

impl Head {
    /// A job as it is added: its numbers start at 0.
    pub fn inserted(row: &JobRow) -> Self {
        let mut head = Self {
            state: kept(&row.state),
            last_end: row.last_end.map(whole_micros),
            blocked: row.blocked,
            totals: row.totals,
            retention: row.body.options.retention,
            ..Self::active(row.next_fire_time.map(whole_micros), row.due.map(whole_micros))
        };
        head.keep_quarantined_undue();
        head
    }

    /// An active job that nothing has happened to.
    pub fn active(next_fire_time: Option<DateTime<Utc>>, due: Option<DateTime<Utc>>) -> Self {
        Self {
            state: JobState::Active,
            next_fire_time,
            due,
            last_end: None,
            blocked: false,
            claim_is_stale: false,
            revision: 0,
            fence: 0,
            claim: None,
            settled_fence: 0,
            last_seq: 0,
            totals: Totals::default(),
            retained_until: None,
            retention: Duration::ZERO,
        }
    }

    /// Whether a claim may take the job; see [`is_free`].
    pub fn is_free(&self, claim: &Claim, now: DateTime<Utc>) -> bool {
        is_free(claim, self.claim.as_ref().map(|mark| (&mark.owner, mark.until)), now)
    }

    /// Whether a claim is to look at the job now.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        !matches!(self.state, JobState::Quarantined(_)) && self.due.is_some_and(|due| due <= now)
    }

    /// Claims the job.
    pub fn claim(&mut self, owner: &NodeId, until: DateTime<Utc>) {
        self.fence = grown(self.fence);
        self.claim_is_stale = false;
        self.claim = Some(ClaimMark { owner: owner.clone(), until });
    }

    /// Changes the job as its user wants it, if nothing has touched it since.
    ///
    /// `same_body` says whether the definition in the store is the one that the update carries, or it carries none.
    pub fn update(&mut self, runs: &mut impl Runs, update: &Update, same_body: bool, now: DateTime<Utc>) -> UpdateStep {
        if self.revision == grown(update.revision) && same_body && self.has_taken(runs, update) {
            return UpdateStep::Repeated;
        }
        if self.revision != update.revision || self.fence != update.fence {
            return UpdateStep::Conflict;
        }
        let is_claimed = self.claim.as_ref().is_some_and(|claim| claim.until > now);
        if is_claimed && update.on_claim == OnClaim::GiveWay {
            return UpdateStep::Conflict;
        }
        self.revision = grown(self.revision);
        self.claim = None;
        self.state = kept(&update.state);
        self.next_fire_time = update.next_fire_time.map(whole_micros);
        let was_due = std::mem::replace(&mut self.due, update.due.map(whole_micros));
        for run in &update.runs {
            let mut run = run.clone();
            if run.is_open() {
                // By the store's clock, since the caller's may be fast.
                run.due = run.due.min(now);
            }
            self.insert_run(runs, run, now);
        }
        if self.claim_is_stale {
            // Not later than before: changes without a pause would put the job off for as long as they last.
            self.due = earlier(was_due, Some(now));
        }
        // A user's request about a waiting run is carried out even if the job is paused.
        let asked = |run: &Run| match run.state {
            RunState::Waiting(_) if run.cancel_requested => Some(now),
            RunState::Waiting(Wait::Requested) => Some(run.due),
            _ => None,
        };
        if let Some(due) = runs.open().filter_map(asked).min() {
            self.make_due(due);
        }
        self.keep_quarantined_undue();
        UpdateStep::Written
    }

    /// Whether the job and its runs are as the update, applied before, has left them.
    fn has_taken(&self, runs: &impl Runs, update: &Update) -> bool {
        let Some(last) = update.runs.last().filter(|run| run.is_open()) else {
            return self.state == kept(&update.state)
                && self.next_fire_time == update.next_fire_time.map(whole_micros)
                && update.runs.last().is_none_or(|run| run.id.seq == self.last_seq);
        };
        // A claim may have moved the job on since, but the run is there. Another request has another fire time.
        runs.run(last.id.seq).is_some_and(|run| run.fire_time == whole_micros(last.fire_time))
    }

    /// Asks an open run to stop, and says what the other nodes are to know.
    pub fn cancel(&mut self, runs: &mut impl Runs, seq: u64, now: DateTime<Utc>) -> (Cancelled, Option<Hint>) {
        let Some(mut run) = runs.run(seq).cloned() else {
            return (Cancelled::Gone, None);
        };
        if !run.is_open() {
            return (Cancelled::Ended, None);
        }
        if run.cancel_requested {
            return (Cancelled::Asked, None);
        }
        run.cancel_requested = true;
        let hint = if run.state == RunState::Running {
            run.owner.clone().map(Hint::Cancel)
        } else {
            // The node that has claimed the job has seen a run that may start; its claim ends, so that it cannot start it.
            self.revision = grown(self.revision);
            self.claim = None;
            self.make_due(now);
            self.due.map(Hint::Due)
        };
        runs.put(run);
        (Cancelled::Asked, hint)
    }

    /// Removes the job: its waiting runs end, its running ones stay.
    pub fn remove(&mut self, runs: &mut impl Runs, now: DateTime<Utc>) -> RunsOfRemoved {
        let open: Vec<Run> = runs.open().cloned().collect();
        let (running, waiting): (Vec<Run>, Vec<Run>) = open.into_iter().partition(|run| run.state == RunState::Running);
        let cancelled: Vec<u64> = waiting.iter().map(|run| run.id.seq).collect();
        for run in waiting {
            self.end_run(runs, run, Verdict::Cancelled, None, now);
        }
        self.state = JobState::Removed;
        self.revision = grown(self.revision);
        self.claim = None;
        self.next_fire_time = None;
        self.due = None;
        self.blocked = false;
        let cancelled = cancelled.into_iter().filter_map(|seq| runs.run(seq).cloned()).collect();
        RunsOfRemoved { running: running.len(), cancelled }
    }

    /// Takes a running run from its node: it waits for another one, at once.
    pub fn take_from_node(&mut self, runs: &mut impl Runs, mut run: Run, wait: Wait, now: DateTime<Utc>) {
        // It stays due since when it was, and so comes before the runs of its job that were queued behind it.
        run.state = RunState::Waiting(wait);
        if wait == Wait::Orphan {
            run.takeovers = run.takeovers.saturating_add(1);
        }
        runs.put(run);
        self.claim_is_stale = true;
        self.make_due(now);
    }

    /// The job has had its last fire time. While it has an open run it is listed, and its id is taken, so that it stays
    /// active.
    fn exhaust(&mut self, now: DateTime<Utc>) {
        self.state = JobState::Active;
        self.next_fire_time = None;
        // A node of an earlier version asks the trigger for the fire time after this one: there is none.
        self.last_end = self.last_end.max(Some(now));
    }

    /// Ends a job that has had its last fire time and waits for nothing, once it has no open run. It stays known for its
    /// retention, and is not due any more.
    fn end_with_last_run(&mut self, runs: &impl Runs, now: DateTime<Utc>) {
        let is_exhausted = self.state == JobState::Active && self.next_fire_time.is_none();
        let is_over = is_exhausted && self.due.is_none() && !self.blocked || self.state == JobState::Ending;
        if is_over && runs.open().next().is_none() {
            self.state = JobState::Ending;
            if !self.retention.is_zero() {
                self.due = None;
                self.retained_until = Some(lease_end(now, self.retention));
            }
        }
    }

    /// What becomes of the job: whether it is over and has no open run.
    pub fn fate(&self, runs: &impl Runs) -> Fate {
        if self.state.is_live() || runs.open().next().is_some() {
            Fate::Stays
        } else if self.retained_until.is_some() {
            Fate::Finished
        } else {
            Fate::Deleted
        }
    }

    /// Whether the retention of a job that is over has passed.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        !self.state.is_live() && self.retained_until.is_some_and(|until| until <= now)
    }

    /// Makes the job due at this time at the latest. One that is quarantined is left alone.
    fn make_due(&mut self, at: DateTime<Utc>) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        self.keep_quarantined_undue();
    }

    fn keep_quarantined_undue(&mut self) {
        if matches!(self.state, JobState::Quarantined(_)) {
            self.due = None;
        }
    }

    fn insert_run(&mut self, runs: &mut impl Runs, mut run: Run, now: DateTime<Utc>) {
        run.fire_time = whole_micros(run.fire_time);
        run.first = run.first.map(whole_micros);
        run.due = whole_micros(run.due);
        run.started = run.started.map(whole_micros);
        run.duration = run.duration.map(|it| Duration::from_micros(it.as_micros() as u64));
        run.error = run.error.map(Run::error_text);
        if !run.is_open() {
            run.ended = Some(run.ended.map_or(now, whole_micros));
        }
        self.totals.add_run(&run);
        self.last_seq = run.id.seq;
        runs.put(run);
    }

    fn end_run(
        &mut self,
        runs: &mut impl Runs,
        mut run: Run,
        verdict: Verdict,
        error: Option<String>,
        now: DateTime<Utc>,
    ) {
        run.state = RunState::Ended(verdict);
        run.ended = Some(now);
        if error.is_some() {
            run.error = error.map(Run::error_text);
        }
        self.totals.add_run(&run);
        self.last_end = Some(now);
        runs.put(run);
    }
}

/// What became of all jobs, of what became of each.
pub fn all_removed(removed: impl IntoIterator<Item = Removed>) -> RemovedAll {
    let mut all = RemovedAll::default();
    for outcome in removed {
        if let Removed::Removed { mut cancelled, .. } = outcome {
            all.count += 1;
            all.cancelled.append(&mut cancelled);
        }
    }
    all
}

/// Whether the node of a claim can run a job of this task and version.
pub fn is_for(claim: &Claim, task: &str, v: i64) -> bool {
    v <= i64::from(claim.max_v) && claim.tasks.iter().any(|known| known.as_str() == task)
}

/// Whether a claim may take a job that is claimed like this: by no node, by its own, or by another one whose claim has lapsed, if
/// this one takes over what is others'.
pub fn is_free(claim: &Claim, mark: Option<(&NodeId, DateTime<Utc>)>, now: DateTime<Utc>) -> bool {
    let is_lapsed = |until: DateTime<Utc>| claim.lapsed_by(now).is_some_and(|by| until <= by);
    mark.is_none_or(|(owner, until)| *owner == claim.owner || is_lapsed(until))
}

/// Why a row of a newer version is not read.
pub fn newer(v: impl Into<i64>) -> String {
    let v = v.into();
    format!("version {v} is newer than {BODY_VERSION}, the newest that this build reads; a newer node can run it")
}

/// Refuses ids that some store could not keep; see [`JobId::check`].
///
/// # Errors
///
/// [`StoreErrorKind::Rejected`], with the reason.
pub fn check_id(id: &JobId) -> Result<(), StoreError> {
    id.check().map_err(|reason| StoreError::new(StoreErrorKind::Rejected, reason))
}

/// Whether the history of a job is to be pruned, now that this run has ended: seldom, so that it costs little a run.
pub fn is_time_to_prune(ended: &Run) -> bool {
    ended.id.seq.is_multiple_of(16)
}

/// A count and one more, as far as databases count. A row beyond that is put aside, and can still be removed.
fn grown(count: u64) -> u64 {
    count.saturating_add(1).min(i64::MAX as u64)
}

/// When a lease ends, a claim or a retention; the end of the calendar if that is earlier.
pub fn lease_end(now: DateTime<Utc>, lease: Duration) -> DateTime<Utc> {
    let lease = TimeDelta::from_std(lease).ok();
    whole_micros(lease.and_then(|lease| now.checked_add_signed(lease)).unwrap_or(DateTime::<Utc>::MAX_UTC))
}

/// The earlier of two times that may be none.
pub fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    a.into_iter().chain(b).min()
}

/// A state as it is kept: the reason of a quarantine is bounded as error texts are.
pub fn kept(state: &JobState) -> JobState {
    match state {
        JobState::Quarantined(reason) => JobState::Quarantined(Run::error_text(reason.clone())),
        state => state.clone(),
    }
}
