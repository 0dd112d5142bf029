//! What the verbs of applications carry: insert, update, remove, listing, changes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{JobBody, JobId, JobRow, JobState, Listed, NodeId, Run, TaskName, Uid};

/// What became of a job that was to be added.
#[derive(Debug, Clone, PartialEq)]
pub enum Inserted {
    /// The job is in the store.
    Added,
    /// This live job has the id already.
    Conflict(Box<Listed>),
}

/// A change of one job, to be applied if nothing else has touched it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Update {
    /// The job.
    pub uid: Uid,
    /// The revision on which the change is based.
    pub revision: u64,
    /// The fence on which the change is based.
    pub fence: u64,
    /// The new definition, if it changes.
    pub body: Option<JobBody>,
    /// The new state.
    pub state: JobState,
    /// The new next fire time; this verb alone may move it back.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// When a claim shall look next.
    pub due: Option<DateTime<Utc>>,
    /// The runs that the change adds, numbered from the job's `last_seq` + 1: ended ones, for fire times that it gives up, and
    /// waiting ones, which a user has asked for.
    pub runs: Vec<Run>,
    /// What becomes of it while a node has claimed the job.
    #[serde(default)]
    pub on_claim: OnClaim,
}

impl Update {
    /// Changes nothing of a job but its revision.
    pub fn of(job: &JobRow) -> Self {
        Self {
            uid: job.uid,
            revision: job.revision,
            fence: job.fence,
            body: None,
            state: job.state.clone(),
            next_fire_time: job.next_fire_time,
            due: job.due,
            runs: Vec::new(),
            on_claim: OnClaim::Void,
        }
    }

    setters! {
        /// The same with another definition.
        with_body(body: Option<JobBody>);
        /// The same with another state.
        with_state(state: JobState);
        /// The same with another next fire time.
        with_next_fire_time(next_fire_time: Option<DateTime<Utc>>);
        /// The same, due then.
        with_due(due: Option<DateTime<Utc>>);
        /// The same, which adds these runs.
        with_runs(runs: Vec<Run>);
        /// The same with another answer to a claim.
        with_on_claim(on_claim: OnClaim);
    }
}

/// What becomes of an [`Update`] while a node has claimed the job and its claim has not lapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnClaim {
    /// The update is written, and voids the claim.
    #[default]
    Void,
    /// The update is refused as a [conflict](Updated::Conflict), so that the claim can be settled first.
    GiveWay,
}

/// What became of an [`Update`].
#[derive(Debug, Clone, PartialEq)]
pub enum Updated {
    /// The update is written; this is the job now.
    Updated(Box<JobRow>),
    /// The job has been changed or claimed since, or is claimed and the update [gives way](OnClaim::GiveWay); this is how
    /// it is.
    Conflict(Box<JobRow>),
    /// The job is not there any more, or not live, or cannot be decoded.
    Gone,
}

/// What became of a run that was to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The run is asked to stop, by this call or an earlier one.
    Asked,
    /// The run has ended already.
    Ended,
    /// No job with this id has such a run.
    Gone,
}

/// What became of a job that was to be removed.
#[derive(Debug, Clone, PartialEq)]
pub enum Removed {
    /// The job is gone, but for runs that are still running.
    Removed {
        /// The job; none if its row has no readable uid.
        uid: Option<Uid>,
        /// How many those are.
        running: usize,
        /// The runs that waited, and have ended as cancelled.
        cancelled: Vec<CancelledRun>,
    },
    /// No live job has this id.
    Gone,
}

impl Removed {
    /// How many runs of the job go on; none if there was no such job.
    pub fn running(&self) -> Option<usize> {
        match self {
            Self::Removed { running, .. } => Some(*running),
            Self::Gone => None,
        }
    }
}

/// What became of all live jobs of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemovedAll {
    /// How many there were.
    pub count: u64,
    /// Their runs that waited, and have ended as cancelled; in no order.
    pub cancelled: Vec<CancelledRun>,
}

/// A run that waited and has ended as cancelled, since its job was removed. Its end is told to the listeners that were told of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct CancelledRun {
    /// The id of its job.
    pub job: JobId,
    /// The task of its job; empty if the job's row does not say.
    pub task: TaskName,
    /// The run, as it ended.
    pub run: Run,
}

/// Which page of the live jobs is wanted, in the order of their ids by bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQuery {
    /// The last id of the page before.
    pub after: Option<JobId>,
    /// The most jobs on the page.
    pub limit: usize,
}

/// Which page of a job's runs is wanted, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// The job.
    pub uid: Uid,
    /// The lowest number of the page before.
    pub before: Option<u64>,
    /// The most runs on the page.
    pub limit: usize,
}

/// The answer to [`JobStore::changed`](crate::JobStore::changed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What to ask with next time.
    pub seen: u64,
    /// What changed; none if a polled store saw nothing.
    pub hint: Option<Hint>,
}

/// What changed in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A job is due at this time that may be earlier than what was known.
    Due(DateTime<Utc>),
    /// Runs of this node are asked to stop.
    Cancel(NodeId),
    /// Something, or more than can be told.
    Resync,
}
