//! What `settle`, `record` and `turn` carry.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Claim, Claimed};
use crate::{JobId, JobRow, JobState, LimitKey, NodeId, Run, RunId, RunOutput, RunState, Uid, Verdict};

/// A call of [`JobStore::settle`](crate::JobStore::settle).
///
/// ```
/// use std::time::Duration;
/// use chrono::Utc;
/// use scheduler_core::store::{Move, Settle};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// // The node has looked at the job and found nothing to do before its next fire time.
/// let to = Move::of(&job).with_due(job.next_fire_time);
/// let settle = Settle::new(Utc::now(), "node-1".into(), Duration::from_secs(15), vec![to]);
/// assert_eq!(settle.moves[0].fence, job.fence);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settle {
    /// The node's clock, for a store that has none.
    pub at: DateTime<Utc>,
    /// The node that claimed the jobs.
    pub owner: NodeId,
    /// How long its runs are to be left alone without a further sign of life.
    pub lease: Duration,
    /// The moves, each for another job.
    pub moves: Vec<Move>,
}

impl Settle {
    /// The moves of a node.
    pub fn new(at: DateTime<Utc>, owner: NodeId, lease: Duration, moves: Vec<Move>) -> Self {
        Self { at, owner, lease, moves }
    }
}

/// Moves one claimed job on.
///
/// ```
/// use chrono::TimeDelta;
/// use scheduler_core::{Run, RunState, store::{Move, RunChange}};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// // Starts a run for the fire time that is due, and goes on an hour later.
/// let fire_time = job.next_fire_time.unwrap();
/// let run = Run::new(job.next_run(), fire_time, RunState::Running);
/// let next = Some(fire_time + TimeDelta::hours(1));
/// let to = Move::of(&job).with_next_fire_time(next).with_due(next).with_runs(vec![RunChange::Insert(run)]);
/// assert_eq!(to.starts().collect::<Vec<_>>(), [1]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Move {
    /// The job.
    pub uid: Uid,
    /// The revision that the claim reported.
    pub revision: u64,
    /// The fence of the claim.
    pub fence: u64,
    /// The new state.
    pub state: JobState,
    /// The new next fire time.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// When a claim shall look next.
    pub due: Option<DateTime<Utc>>,
    /// Whether the job waits for the end of a run.
    pub blocked: bool,
    /// What becomes of its runs, in this order. Inserted ones are numbered from the job's `last_seq` + 1.
    pub runs: Vec<RunChange>,
    /// The limit key of the job, if it has one: under it count the runs that the move starts. A move that starts none says that the job
    /// does not wait for a place any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<LimitKey>,
}

impl Move {
    /// Leaves a claimed job as it is: active, with its next fire time, not due, not blocked, its runs untouched.
    pub fn of(job: &JobRow) -> Self {
        Self {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            state: JobState::Active,
            next_fire_time: job.next_fire_time,
            due: None,
            blocked: false,
            runs: Vec::new(),
            limit_key: None,
        }
    }

    /// The numbers of the runs that the move starts.
    pub fn starts(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().filter_map(|change| match change {
            RunChange::Insert(run) => (run.state == RunState::Running).then_some(run.id.seq),
            RunChange::Start { seq, .. } => Some(*seq),
            RunChange::End { .. } | RunChange::Cancel { .. } => None,
        })
    }

    setters! {
        /// The same to another state.
        with_state(state: JobState);
        /// The same to another next fire time.
        with_next_fire_time(next_fire_time: Option<DateTime<Utc>>);
        /// The same, due then.
        with_due(due: Option<DateTime<Utc>>);
        /// The same with these changes of runs.
        with_runs(runs: Vec<RunChange>);
        /// The same, whose runs count under this key.
        with_limit_key(limit_key: Option<LimitKey>);
    }
}

/// What a [`Move`] does to one run.
///
/// ```
/// use scheduler_core::{Run, RunId, RunState, Uid, Verdict, store::RunChange};
///
/// // Of two fire times that were due at once the later one runs.
/// let run = |seq, at: &str, state| Run::new(RunId { uid: Uid(7), seq }, at.parse().unwrap(), state);
/// let changes = [
///     RunChange::Insert(run(1, "2026-11-21T09:00:00Z", RunState::Ended(Verdict::Coalesced))),
///     RunChange::Insert(run(2, "2026-11-21T10:00:00Z", RunState::Running)),
/// ];
/// # let _ = changes;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "most changes add a run; boxing it would cost an allocation each")]
pub enum RunChange {
    /// Adds a run: waiting, ended, or running, in which case the store fills in owner, fence and start.
    Insert(Run),
    /// Starts a waiting run with this attempt; the store fills in owner, fence and start.
    Start {
        /// The run's number.
        seq: u64,
        /// The attempt that starts.
        attempt: u32,
    },
    /// Ends a waiting run.
    End {
        /// The run's number.
        seq: u64,
        /// How it ended.
        verdict: Verdict,
        /// Why.
        error: Option<String>,
    },
    /// Asks a running run to stop; its node learns of it.
    Cancel {
        /// The run's number.
        seq: u64,
    },
}

/// The answer to a [`Settle`].
///
/// ```
/// use scheduler_core::store::{Settle, SettleOutcome, Settled};
///
/// /// How many moves were written.
/// fn applied(settle: &Settle, settled: &Settled) -> usize {
///     let outcomes = settle.moves.iter().zip(&settled.outcomes);
///     outcomes.filter(|(_, outcome)| matches!(outcome, SettleOutcome::Applied { .. })).count()
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settled {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// What became of each move, in their order.
    pub outcomes: Vec<SettleOutcome>,
    /// The earliest `due` among the jobs that were written.
    pub next_due: Option<DateTime<Utc>>,
}

impl Settled {
    /// An answer by the store's time.
    pub fn new(now: DateTime<Utc>, outcomes: Vec<SettleOutcome>, next_due: Option<DateTime<Utc>>) -> Self {
        Self { now, outcomes, next_due }
    }
}

/// What became of a [`Move`].
///
/// ```
/// use scheduler_core::store::{Fate, SettleOutcome};
///
/// /// What a node may do that has sent a move which starts a run.
/// fn consequence(outcome: SettleOutcome) -> &'static str {
///     match outcome {
///         SettleOutcome::Applied { job: Fate::Stays } => "start the run",
///         SettleOutcome::Applied { .. } => "tell that the job is over",
///         SettleOutcome::Waits(_) => "wait for a place; the claim is given up",
///         SettleOutcome::Changed | SettleOutcome::Taken | SettleOutcome::Gone => "forget it",
///     }
/// }
///
/// assert_eq!(consequence(SettleOutcome::Taken), "forget it");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The move is written, by this call or by its first sending.
    Applied {
        /// What has become of the job with it.
        job: Fate,
    },
    /// No place of the move's limit key is free: nothing of the move was written, and the job waits for one. It is due again when a run
    /// ends that has one, and after a while in any case.
    Waits(Waits),
    /// The job was changed after the claim: nothing of the move was written.
    Changed,
    /// The job was taken by another node: nothing of the move was written.
    Taken,
    /// The job is not there: nothing of the move was written.
    Gone,
}

/// Whether it is news that a job waits for a place of its limit key.
///
/// ```
/// use scheduler_core::store::{SettleOutcome, Waits};
///
/// /// Whether listeners are told that the job waits: once, however often it looks for a place in vain.
/// fn is_news(outcome: SettleOutcome) -> bool {
///     outcome == SettleOutcome::Waits(Waits::Begin)
/// }
///
/// assert!(!is_news(SettleOutcome::Waits(Waits::GoOn)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// The job begins to wait.
    Begin,
    /// The job was waiting before.
    GoOn,
}

/// What has become of a job after a step.
///
/// ```
/// use scheduler_core::store::Fate;
///
/// // Whether the id can be given to a new job.
/// assert!(Fate::Finished.is_over() && Fate::Deleted.is_over());
/// assert!(!Fate::Stays.is_over());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The job goes on, or has an open run.
    Stays,
    /// The job is over: it has had its last fire time and has no open run. Its id is free, and it stays known for its
    /// [`retention`](crate::JobOptions::retention).
    Finished,
    /// The job was over or removed and had no open run, and is deleted.
    Deleted,
}

impl Fate {
    /// Whether the job is over, and its id free.
    pub fn is_over(self) -> bool {
        self != Self::Stays
    }
}

/// A call of [`JobStore::record`](crate::JobStore::record).
///
/// ```
/// use std::time::Duration;
/// use chrono::Utc;
/// use scheduler_core::store::Record;
///
/// // A node that has nothing to report says all the same that it lives, so that its runs are left to it.
/// let life_sign = Record::new(Utc::now(), "node-1".into(), Duration::from_secs(15), Vec::new());
/// assert!(life_sign.entries.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The node's clock, for a store that has none.
    pub at: DateTime<Utc>,
    /// The node that runs the runs.
    pub owner: NodeId,
    /// How long its runs are to be left alone without a further sign of life.
    pub lease: Duration,
    /// The reports; none for a mere life sign.
    pub entries: Vec<Entry>,
}

impl Record {
    /// The reports of a node; none for a mere life sign.
    pub fn new(at: DateTime<Utc>, owner: NodeId, lease: Duration, entries: Vec<Entry>) -> Self {
        Self { at, owner, lease, entries }
    }
}

/// A report about one running run.
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::{RunId, Uid, Verdict, store::{Entry, RunReport}};
///
/// let run = RunId { uid: Uid(7), seq: 1 };
/// let took = Duration::from_millis(250);
/// let end = RunReport::End { verdict: Verdict::Ok, error: None, duration: took, output: None };
/// // Its place goes to a job that waits.
/// let entry = Entry::new(run, 5, end).with_limit_key(Some("tenant-42".into()));
/// assert_eq!(entry.fence, 5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The run.
    pub run: RunId,
    /// The fence under which it was started.
    pub fence: u64,
    /// What happened.
    pub report: RunReport,
    /// The key under which the run counts, if it was started with one: its place becomes free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<LimitKey>,
}

impl Entry {
    /// A report about a run that was started under this fence and counts under no key.
    pub fn new(run: RunId, fence: u64, report: RunReport) -> Self {
        Self { run, fence, report, limit_key: None }
    }

    setters! {
        /// The same about a run that counts under this key.
        with_limit_key(limit_key: Option<LimitKey>);
    }
}

/// What happened to a running run.
///
/// ```
/// use chrono::{TimeDelta, Utc};
/// use scheduler_core::store::RunReport;
///
/// // The printer had no paper: again in a minute.
/// let report = RunReport::Retry { due: Utc::now() + TimeDelta::minutes(1), error: Some("no paper".to_owned()) };
/// # let _ = report;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunReport {
    /// The run is over.
    End {
        /// How it ended.
        verdict: Verdict,
        /// Why it failed, cut to [`Run::ERROR_LIMIT`].
        error: Option<String>,
        /// How long the attempt took.
        duration: Duration,
        /// What is kept of what the task returned.
        #[serde(default)]
        output: Option<RunOutput>,
    },
    /// The attempt failed and is to be repeated; the run waits and holds no slot.
    Retry {
        /// When the next attempt may start.
        due: DateTime<Utc>,
        /// Why the attempt failed.
        error: Option<String>,
    },
    /// The run was not started after all, or cut off since its node shuts down, and goes back to waiting, with its attempt.
    Release,
}

/// The answer to a [`Record`].
///
/// ```
/// use scheduler_core::{RunId, store::{Hold, Recorded}};
///
/// /// Which of its runs a node has to stop.
/// fn to_be_stopped(recorded: &Recorded, running: &[RunId]) -> Vec<RunId> {
///     match recorded.hold {
///         Hold::Kept => recorded.cancel.clone(),
///         // Others have them.
///         Hold::Lost => running.to_vec(),
///     }
/// }
///
/// let recorded = Recorded::new(chrono::Utc::now(), Vec::new(), Hold::Kept);
/// assert!(to_be_stopped(&recorded, &[]).is_empty());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// What became of each entry, in their order.
    pub outcomes: Vec<RecordOutcome>,
    /// Runs of this node that are asked to stop.
    pub cancel: Vec<RunId>,
    /// Whether the node's runs are still its own.
    pub hold: Hold,
    /// Jobs that are over, or were removed before, and had their last run end with this: deleted, or kept for their retention.
    pub over: Vec<(Uid, JobId)>,
    /// The earliest `due` among the jobs that were written.
    pub next_due: Option<DateTime<Utc>>,
}

impl Recorded {
    /// An answer by the store's time, with nothing to cancel, no job over and nothing due.
    pub fn new(now: DateTime<Utc>, outcomes: Vec<RecordOutcome>, hold: Hold) -> Self {
        Self { now, outcomes, cancel: Vec::new(), hold, over: Vec::new(), next_due: None }
    }

    setters! {
        /// The same, which asks these runs to stop.
        with_cancel(cancel: Vec<RunId>);
        /// The same, with which these jobs are over.
        with_over(over: Vec<(Uid, JobId)>);
        /// The same with the earliest `due` that was written.
        with_next_due(next_due: Option<DateTime<Utc>>);
    }
}

/// What became of an [`Entry`].
///
/// ```
/// use scheduler_core::store::RecordOutcome;
///
/// // What another node has taken over is that one's to end.
/// assert!(RecordOutcome::Done.is_written());
/// assert!(!RecordOutcome::Stale.is_written());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The report is written, by this call or by its first sending.
    Done,
    /// A retry is written as the run's end, an error, by this call or by its first sending: its job has been removed, and
    /// nothing of it is repeated.
    Ended,
    /// Another node has the run, or ended it.
    Stale,
    /// The run is not there.
    Gone,
}

impl RecordOutcome {
    /// Whether the report was taken.
    pub fn is_written(self) -> bool {
        matches!(self, Self::Done | Self::Ended)
    }
}

/// Whether a node's runs are still its own.
///
/// ```
/// use std::time::Duration;
/// use chrono::Utc;
/// use scheduler_core::{JobStore, NodeId, store::{Hold, Record, StoreError}};
///
/// /// A life sign. Says whether the node's runs are still its own.
/// async fn show_life(store: &dyn JobStore, node: &NodeId) -> Result<bool, StoreError> {
///     let life_sign = Record::new(Utc::now(), node.clone(), Duration::from_secs(15), Vec::new());
///     Ok(store.record(&life_sign).await?.hold == Hold::Kept)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The node still has its runs, and its lease is renewed.
    Kept,
    /// The lease had passed and other nodes have taken over.
    Lost,
}

/// A call of [`JobStore::turn`](crate::JobStore::turn): up to three verbs in this order.
///
/// ```
/// use std::time::Duration;
/// use chrono::Utc;
/// use scheduler_core::store::{Claim, Record, Turn};
///
/// // What has ended, and what is due now, in one round trip.
/// let (now, lease) = (Utc::now(), Duration::from_secs(15));
/// let record = Record::new(now, "node-1".into(), lease, Vec::new());
/// let turn = Turn { record: Some(record), settle: None, claim: Some(Claim::new(now, "node-1".into(), 2, lease)) };
/// # let _ = turn;
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// First, reports.
    pub record: Option<Record>,
    /// Then the moves of an earlier claim.
    pub settle: Option<Settle>,
    /// Then the next claim.
    pub claim: Option<Claim>,
}

/// The answer to a [`Turn`]: one for each verb that it carried.
///
/// ```
/// use scheduler_core::{JobStore, store::{ClaimedJob, StoreError, Turn, TurnReply}};
///
/// async fn claimed_by(store: &dyn JobStore, turn: &Turn) -> Result<Vec<ClaimedJob>, StoreError> {
///     let TurnReply { claim, .. } = store.turn(turn).await?;
///     Ok(claim.map(|claimed| claimed.jobs).unwrap_or_default())
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnReply {
    /// Of the record.
    pub record: Option<Recorded>,
    /// Of the settle.
    pub settle: Option<Settled>,
    /// Of the claim.
    pub claim: Option<Claimed>,
}
