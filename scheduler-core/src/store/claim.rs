//! What `claim` carries.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::NodeInfo;
use crate::{BODY_VERSION, JobId, JobRow, NodeId, RawJob, Run, RunState, TaskName};

/// A call of [`JobStore::claim`](crate::JobStore::claim).
///
/// ```
/// use std::{collections::BTreeSet, sync::Arc, time::Duration};
/// use chrono::Utc;
/// use scheduler_core::store::{Adopt, Claim};
///
/// // A node that knows one task takes ten jobs at the most, and what nodes that have died have left.
/// let now = Utc::now();
/// let tasks = Arc::new(BTreeSet::from(["report".into()]));
/// let claim = Claim::new(now, "node-1".into(), 1, Duration::from_secs(15))
///     .with_tasks(tasks)
///     .with_limit(10)
///     .with_adopt(Adopt::LapsedBy(now));
/// assert_eq!(claim.lapsed_by(now), Some(now));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The node's clock, for a store that has none.
    pub at: DateTime<Utc>,
    /// The node.
    pub owner: NodeId,
    /// Grows with each claim of this node.
    pub seq: u64,
    /// How long the claims and the node's runs are to be left alone without a further sign of life.
    pub lease: Duration,
    /// The most jobs to take.
    pub limit: usize,
    /// Since when jobs are recent: those that are due at this time or later come first, up to half of the limit. All others, and
    /// all if none, by when they are due. A node that is behind so keeps on time what is on time.
    #[serde(default)]
    pub recent_since: Option<DateTime<Utc>>,
    /// The tasks that this node knows.
    pub tasks: Arc<BTreeSet<TaskName>>,
    /// The newest version of the persisted form that this node reads.
    pub max_v: u32,
    /// Whether to take over what belongs to other nodes.
    pub adopt: Adopt,
    /// Whether to report due jobs that are left alone because of their task or version.
    pub declined: Report,
    /// What the node says of itself, which is written when the node is first written.
    #[serde(default)]
    pub info: Arc<NodeInfo>,
}

impl Claim {
    /// A claim for a node that knows no task yet and takes nothing from other nodes: up to 100 jobs in this build's persisted form.
    pub fn new(at: DateTime<Utc>, owner: NodeId, seq: u64, lease: Duration) -> Self {
        Self {
            at,
            owner,
            seq,
            lease,
            limit: 100,
            recent_since: None,
            tasks: Arc::default(),
            max_v: BODY_VERSION,
            adopt: Adopt::Nothing,
            declined: Report::Nothing,
            info: Arc::default(),
        }
    }

    setters! {
        /// The same with another limit of the jobs to take.
        with_limit(limit: usize);
        /// The same, for which jobs are recent that are due since this time.
        with_recent_since(recent_since: Option<DateTime<Utc>>);
        /// The same for a node that knows these tasks.
        with_tasks(tasks: Arc<BTreeSet<TaskName>>);
        /// The same, which takes over this of other nodes.
        with_adopt(adopt: Adopt);
        /// The same, which reports this.
        with_declined(declined: Report);
        /// The same of a node that says this of itself.
        with_info(info: Arc<NodeInfo>);
    }

    /// How many of the jobs to take may be recent ones that come before older ones.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use chrono::{DateTime, Utc};
    /// use scheduler_core::store::Claim;
    ///
    /// let claim = Claim::new(Utc::now(), "node-1".into(), 1, Duration::from_secs(15)).with_limit(100);
    /// assert_eq!(claim.recent_limit(), 0);
    /// assert_eq!(claim.with_recent_since(Some(Utc::now())).recent_limit(), 50);
    /// ```
    pub fn recent_limit(&self) -> usize {
        self.recent_since.map_or(0, |_| self.limit.div_ceil(2))
    }

    /// By when the lease of another node, or its claim of a job, must have passed for this claim to take what it covers:
    /// by the store's time, and when the claim was sent. None if nothing of other nodes is to be taken.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use chrono::{DateTime, TimeDelta, Utc};
    /// use scheduler_core::store::{Adopt, Claim};
    ///
    /// let sent: DateTime<Utc> = "2026-11-25T09:00:00Z".parse()?;
    /// let modest = Claim::new(sent, "node-1".into(), 1, Duration::from_secs(15));
    /// let claim = modest.clone().with_adopt(Adopt::LapsedBy(sent));
    ///
    /// // It has been on its way for half a minute: what lapsed meanwhile is left alone.
    /// assert_eq!(claim.lapsed_by(sent + TimeDelta::seconds(30)), Some(sent));
    /// assert_eq!(modest.lapsed_by(sent), None);
    /// # Ok::<(), chrono::ParseError>(())
    /// ```
    pub fn lapsed_by(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.adopt {
            Adopt::LapsedBy(sent) => Some(sent.min(now)),
            Adopt::Nothing => None,
        }
    }
}

/// Whether a claim takes over what belongs to other nodes.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use scheduler_core::store::Adopt;
///
/// /// What a claim may take of others, by how long its node has been in touch with the store.
/// fn adopt(in_touch: TimeDelta, lease: TimeDelta, now: DateTime<Utc>) -> Adopt {
///     if in_touch >= lease { Adopt::LapsedBy(now) } else { Adopt::Nothing }
/// }
///
/// let (lease, now) = (TimeDelta::seconds(15), DateTime::UNIX_EPOCH);
/// assert_eq!(adopt(TimeDelta::seconds(3), lease, now), Adopt::Nothing);
/// assert_eq!(adopt(TimeDelta::seconds(20), lease, now), Adopt::LapsedBy(now));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Adopt {
    /// The claim takes what belongs to nodes whose lease had passed by this time of the store's, at which the claim was sent, as
    /// well as its node knows.
    ///
    /// A claim that has been on its way for long, as over an outage of the store, takes nothing that lapsed meanwhile: the
    /// others may not have reached the store either.
    LapsedBy(DateTime<Utc>),
    /// The claim takes nothing of other nodes: this node has not been in touch with the store for a whole lease, so
    /// that the others may not have been either.
    Nothing,
}

/// Whether a claim reports due jobs that it leaves alone.
///
/// ```
/// use std::time::Duration;
/// use chrono::Utc;
/// use scheduler_core::{JobStore, store::{Claim, Report, StoreError}};
///
/// /// Names due jobs for which no node seems to be there.
/// async fn print_declined(store: &dyn JobStore) -> Result<(), StoreError> {
///     let claim = Claim::new(Utc::now(), "looker-on".into(), 1, Duration::from_secs(15));
///     for declined in store.claim(&claim.with_declined(Report::Declined)).await?.declined {
///         println!("{} needs the task {}", declined.id, declined.task);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The claim reports up to [`DECLINED_LIMIT`] of them.
    Declined,
    /// The claim reports none, which spares a query.
    Nothing,
}

/// The most declined jobs that a claim reports; enough to name the trouble, too few to cost.
///
/// ```
/// use scheduler_core::{JobId, TaskName, store::{DECLINED_LIMIT, Declined}};
///
/// /// What a store reports of the due jobs that a claim leaves alone.
/// fn declined(due: impl Iterator<Item = (JobId, TaskName)>) -> Vec<Declined> {
///     due.take(DECLINED_LIMIT).map(|(id, task)| Declined { id, task, v: 1 }).collect()
/// }
///
/// let due = (0..100).map(|n| (format!("job-{n}").into(), "report".into()));
/// assert_eq!(declined(due).len(), 16);
/// ```
pub const DECLINED_LIMIT: usize = 16;

/// The most runs of each kind that a claim reports for a job.
///
/// More can be running or waiting; their numbers are reported, and the job is claimed again as long as it matters.
///
/// ```
/// use chrono::DateTime;
/// use scheduler_core::{Run, RunId, RunState, Wait, store::{CLAIMED_RUNS, ClaimedJob}};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// let waiting = |seq| Run::new(RunId { uid: job.uid, seq }, DateTime::UNIX_EPOCH, RunState::Waiting(Wait::Queued));
/// let runs: Vec<Run> = (1..=1_000).map(waiting).collect();
/// let claimed = ClaimedJob::new(job.clone(), &runs);
/// assert_eq!((claimed.waiting_count, claimed.waiting.len()), (1_000, CLAIMED_RUNS));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub const CLAIMED_RUNS: usize = 32;

/// The answer to a [`Claim`].
///
/// ```
/// use chrono::{TimeDelta, Utc};
/// use scheduler_core::store::Claimed;
///
/// // A store that has nothing due says when to ask again.
/// let now = Utc::now();
/// let claimed = Claimed::nothing(now, Some(now + TimeDelta::minutes(5)));
/// assert!(claimed.jobs.is_empty() && !claimed.more);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Claimed {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// The jobs taken.
    pub jobs: Vec<ClaimedJob>,
    /// Rows that could not be decoded and have been quarantined by this call.
    pub quarantined: Vec<RawJob>,
    /// Due jobs that were left alone, if asked for.
    pub declined: Vec<Declined>,
    /// When this node should claim again: the earliest `due` or end of a claim among the jobs that it could take (those
    /// that `limit` left out included), or the end of another node's lease that covers runs.
    pub next_due: Option<DateTime<Utc>>,
    /// Whether `limit` left out jobs or runs.
    pub more: bool,
}

impl Claimed {
    /// An answer that takes nothing.
    pub fn nothing(now: DateTime<Utc>, next_due: Option<DateTime<Utc>>) -> Self {
        Self { now, jobs: Vec::new(), quarantined: Vec::new(), declined: Vec::new(), next_due, more: false }
    }

    setters! {
        /// The same, which takes these jobs.
        with_jobs(jobs: Vec<ClaimedJob>);
        /// The same, which has quarantined these rows.
        with_quarantined(quarantined: Vec<RawJob>);
        /// The same, which has left these jobs alone.
        with_declined(declined: Vec<Declined>);
        /// The same, which has left out jobs or runs because of the limit, or has not.
        with_more(more: bool);
    }
}

/// A job that was taken, with its open runs.
///
/// ```
/// use chrono::DateTime;
/// use scheduler_core::{Run, RunId, RunState, Wait, store::ClaimedJob};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// let run = |seq, state| Run::new(RunId { uid: job.uid, seq }, DateTime::UNIX_EPOCH, state);
/// let open = [run(3, RunState::Waiting(Wait::Queued)), run(1, RunState::Running), run(2, RunState::Running)];
/// let claimed = ClaimedJob::new(job.clone(), &open);
/// assert_eq!((claimed.running_count, claimed.running[0].id.seq, claimed.waiting[0].id.seq), (2, 1, 3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// The job, with the fence of this claim.
    pub job: JobRow,
    /// How many of its runs are running, on any node.
    pub running_count: usize,
    /// The oldest of them by number, at most [`CLAIMED_RUNS`].
    pub running: Vec<Run>,
    /// How many of its runs are waiting.
    pub waiting_count: usize,
    /// The first of them by (due, number), due or not, at most [`CLAIMED_RUNS`].
    pub waiting: Vec<Run>,
}

impl ClaimedJob {
    /// A job that was taken and has these open runs: counted, put in the order of each field, and cut to [`CLAIMED_RUNS`].
    pub fn new<'a>(job: JobRow, open: impl IntoIterator<Item = &'a Run>) -> Self {
        let (mut running, mut waiting): (Vec<&Run>, Vec<&Run>) =
            open.into_iter().partition(|run| run.state == RunState::Running);
        running.sort_by_key(|run| run.id.seq);
        waiting.sort_by_key(|run| (run.due, run.id.seq));
        let first = |runs: &[&Run]| runs.iter().take(CLAIMED_RUNS).copied().cloned().collect();
        Self {
            job,
            running_count: running.len(),
            running: first(&running),
            waiting_count: waiting.len(),
            waiting: first(&waiting),
        }
    }
}

/// A due job that was left to other nodes.
///
/// ```
/// use scheduler_core::{BODY_VERSION, store::Declined};
///
/// fn why(declined: &Declined) -> String {
///     let Declined { id, task, v } = declined;
///     match *v > BODY_VERSION {
///         true => format!("{id} is of version {v}; a newer node can run it"),
///         false => format!("{id} needs the task {task}, which this node lacks"),
///     }
/// }
///
/// let declined = Declined { id: "nightly".into(), task: "report".into(), v: 1 };
/// assert_eq!(why(&declined), "nightly needs the task report, which this node lacks");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task: TaskName,
    /// The version of its persisted form.
    pub v: u32,
}
