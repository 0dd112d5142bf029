//! What the verbs of applications carry: insert, update, remove, listing, changes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{JobBody, JobId, JobRow, JobState, Listed, NodeId, Run, TaskName, Uid};

/// What became of a job that was to be added.
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobRow, JobStore, store::{Inserted, StoreError}};
///
/// /// Adds jobs, and gives back those whose ids were free.
/// async fn add(store: &dyn JobStore, jobs: &[JobRow]) -> Result<Vec<JobRow>, StoreError> {
///     let inserted = store.insert(Utc::now(), jobs).await?.value;
///     let added = jobs.iter().zip(inserted).filter(|(_, outcome)| *outcome == Inserted::Added);
///     Ok(added.map(|(job, _)| job.clone()).collect())
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Inserted {
    /// The job is in the store.
    Added,
    /// This live job has the id already.
    Conflict(Box<Listed>),
}

/// A change of one job, to be applied if nothing else has touched it.
///
/// ```
/// use scheduler_core::{JobState, store::Update};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// // Pauses a job, as long as nobody else has touched it since it was read.
/// let update = Update::of(&job).with_state(JobState::Paused).with_next_fire_time(None).with_due(None);
/// assert_eq!((update.revision, update.fence), (job.revision, job.fence));
/// # Ok::<(), serde_json::Error>(())
/// ```
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
///
/// ```
/// use scheduler_core::store::{OnClaim, Update};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// // Moving the job to another executor can wait for the node that is about to run it; removing its tag need not.
/// let modest = Update::of(&job).with_body(Some(job.body.clone())).with_on_claim(OnClaim::GiveWay);
/// assert_eq!((modest.on_claim, Update::of(&job).on_claim), (OnClaim::GiveWay, OnClaim::Void));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnClaim {
    /// The update is written, and voids the claim.
    #[default]
    Void,
    /// The update is refused as a [conflict](Updated::Conflict), so that the claim can be settled first.
    GiveWay,
}

/// What became of an [`Update`].
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobRow, JobStore, store::{StoreError, Update, Updated}};
///
/// /// Applies a change to a job as it is now, however often others are faster; false if it is gone.
/// async fn change(store: &dyn JobStore, mut job: JobRow, how: impl Fn(Update) -> Update) -> Result<bool, StoreError> {
///     loop {
///         match store.update(Utc::now(), &how(Update::of(&job))).await?.value {
///             Updated::Updated(_) => return Ok(true),
///             Updated::Conflict(as_it_is) => job = *as_it_is,
///             Updated::Gone => return Ok(false),
///         }
///     }
/// }
/// ```
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
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobId, JobStore, RunId, store::{Cancelled, StoreError}};
///
/// async fn stop(store: &dyn JobStore, job: &JobId, run: RunId) -> Result<&'static str, StoreError> {
///     Ok(match store.cancel(Utc::now(), job, run).await?.value {
///         Cancelled::Asked => "it is told to stop",
///         Cancelled::Ended => "it was over before",
///         Cancelled::Gone => "there is no such run",
///     })
/// }
/// ```
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
///
/// ```
/// use scheduler_core::store::Removed;
///
/// fn told(removed: &Removed) -> String {
///     match removed.running() {
///         None => "there was no such job".to_owned(),
///         Some(0) => "removed".to_owned(),
///         Some(n) => format!("removed, and {n} of its runs go on"),
///     }
/// }
///
/// assert_eq!(told(&Removed::Removed { uid: None, running: 1, cancelled: Vec::new() }), "removed, and 1 of its runs go on");
/// ```
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
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{JobStore, store::{RemovedAll, StoreError}};
///
/// async fn clear(store: &dyn JobStore) -> Result<String, StoreError> {
///     let RemovedAll { count, cancelled } = store.remove_all(Utc::now()).await?.value;
///     Ok(format!("{count} jobs removed, {} waiting runs cancelled", cancelled.len()))
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemovedAll {
    /// How many there were.
    pub count: u64,
    /// Their runs that waited, and have ended as cancelled; in no order.
    pub cancelled: Vec<CancelledRun>,
}

/// A run that waited and has ended as cancelled, since its job was removed. Its end is told to the listeners that were told of the run.
///
/// ```
/// use scheduler_core::store::{CancelledRun, Removed};
///
/// /// What is to be told of the runs that a removal has ended.
/// fn told(removed: Removed) -> Vec<String> {
///     let Removed::Removed { cancelled, .. } = removed else { return Vec::new() };
///     let line = |CancelledRun { job, task, run }| format!("{job} ({task}): the run for {} was cancelled", run.fire_time);
///     cancelled.into_iter().map(line).collect()
/// }
///
/// assert!(told(Removed::Gone).is_empty());
/// ```
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
///
/// ```
/// use scheduler_core::{JobStore, Listed, store::{JobQuery, StoreError}};
///
/// /// All live jobs, a page at a time.
/// async fn all(store: &dyn JobStore) -> Result<Vec<Listed>, StoreError> {
///     let (mut all, mut query) = (Vec::new(), JobQuery { after: None, limit: 500 });
///     loop {
///         let page = store.jobs(&query).await?;
///         let Some(last) = page.last() else { return Ok(all) };
///         query.after = Some(last.id().clone());
///         all.extend(page);
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQuery {
    /// The last id of the page before.
    pub after: Option<JobId>,
    /// The most jobs on the page.
    pub limit: usize,
}

/// Which page of a job's runs is wanted, newest first.
///
/// ```
/// use scheduler_core::{JobStore, Run, Uid, store::{RunQuery, StoreError}};
///
/// /// The ten runs of a job before the one with this number.
/// async fn earlier(store: &dyn JobStore, uid: Uid, seq: u64) -> Result<Vec<Run>, StoreError> {
///     store.runs(&RunQuery { uid, before: Some(seq), limit: 10 }).await
/// }
/// ```
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
///
/// ```
/// use scheduler_core::{JobStore, store::{Changed, StoreError}};
///
/// /// Follows what other nodes change, in a store that tells of it.
/// async fn follow(store: &dyn JobStore) -> Result<(), StoreError> {
///     let mut seen = 0;
///     loop {
///         let changed: Changed = store.changed(seen).await?;
///         println!("{:?}", changed.hint);
///         seen = changed.seen;
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What to ask with next time.
    pub seen: u64,
    /// What changed; none if a polled store saw nothing.
    pub hint: Option<Hint>,
}

/// What changed in a store.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use scheduler_core::{NodeId, store::Hint};
///
/// /// What a node does that sleeps until its next job is due; `None` if it goes on sleeping.
/// fn next_look(hint: &Hint, node: &NodeId, asleep_until: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
///     match hint {
///         Hint::Due(at) => (*at < asleep_until).then_some(*at),
///         Hint::Cancel(asked) => (asked == node).then_some(now),
///         Hint::Resync => Some(now),
///     }
/// }
///
/// let (now, later) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
/// assert_eq!(next_look(&Hint::Resync, &"node-1".into(), later, now), Some(now));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A job is due at this time that may be earlier than what was known.
    Due(DateTime<Utc>),
    /// Runs of this node are asked to stop.
    Cancel(NodeId),
    /// Something, or more than can be told.
    Resync,
}
