//! Searching the runs of all jobs, and the nodes that run them.

use std::cmp::{Ordering, Reverse};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{JobId, NodeId, Run, RunId, RunState, TaskName, Verdict, store::NodeInfo};

/// Which runs are meant, of jobs that are live and of those that are over and stay known: those that fit each part that is given. Without
/// any part, it is all of them.
///
/// ```
/// use scheduler_core::{Verdict, store::RunFilter};
///
/// let failed = RunFilter::new().task("report").verdict(Verdict::Error);
/// assert_eq!(serde_json::to_string(&failed)?, r#"{"task":"report","verdict":"error"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RunFilter {
    /// The id of the job; also of those that have had it before and stay known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The task of the job, as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// The node that runs it or ran it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// How far the run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunStateKind>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The earliest fire time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Before which the fire time is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

impl RunFilter {
    /// All runs of jobs that are live or stay known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only runs of the job with this id, and of those that have had it before and stay known.
    #[must_use]
    pub fn job(mut self, job: impl Into<JobId>) -> Self {
        self.job = Some(job.into());
        self
    }

    /// Only runs of jobs of this task.
    #[must_use]
    pub fn task(mut self, task: impl Into<TaskName>) -> Self {
        self.task = Some(task.into());
        self
    }

    /// Only runs that this node runs, or ran last.
    #[must_use]
    pub fn node(mut self, node: impl Into<NodeId>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Only runs that are so far.
    #[must_use]
    pub fn state(mut self, state: RunStateKind) -> Self {
        self.state = Some(state);
        self
    }

    /// Only runs that ended so.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = Some(verdict);
        self
    }

    /// Only runs for this fire time or a later one.
    #[must_use]
    pub fn since(mut self, since: DateTime<Utc>) -> Self {
        self.since = Some(since);
        self
    }

    /// Only runs for fire times before this one.
    #[must_use]
    pub fn until(mut self, until: DateTime<Utc>) -> Self {
        self.until = Some(until);
        self
    }

    /// Whether the run is meant.
    pub fn matches(&self, found: &FoundRun) -> bool {
        let FoundRun { job, task, run } = found;
        self.job.as_ref().is_none_or(|it| it == job)
            && self.task.as_ref().is_none_or(|it| it == task)
            && self.node.as_ref().is_none_or(|it| run.owner.as_ref() == Some(it))
            && self.state.is_none_or(|it| it == RunStateKind::of(run.state))
            && self.verdict.is_none_or(|it| run.verdict() == Some(it))
            && self.since.is_none_or(|since| since <= run.fire_time)
            && self.until.is_none_or(|until| run.fire_time < until)
    }
}

/// How far a run is, without what it waits for and how it ended.
///
/// ```
/// use scheduler_core::{RunState, Wait, store::{RunFilter, RunStateKind}};
///
/// // Whatever they wait for.
/// let waiting = RunFilter::new().state(RunStateKind::Waiting);
/// assert_eq!(RunStateKind::of(RunState::Waiting(Wait::Retry)), RunStateKind::Waiting);
/// assert_eq!(serde_json::to_string(&waiting)?, r#"{"state":"waiting"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStateKind {
    /// [`RunState::Waiting`].
    Waiting,
    /// [`RunState::Running`].
    Running,
    /// [`RunState::Ended`].
    Ended,
}

impl RunStateKind {
    /// That of a state.
    pub fn of(state: RunState) -> Self {
        match state {
            RunState::Waiting(_) => Self::Waiting,
            RunState::Running => Self::Running,
            RunState::Ended(_) => Self::Ended,
        }
    }

    /// The word in stores and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// A run with what is to be known of its job.
///
/// ```
/// use scheduler_core::{Run, RunId, RunState, Uid, Verdict, store::{FoundRun, RunFilter}};
///
/// let run = Run::new(RunId { uid: Uid(7), seq: 1 }, chrono::DateTime::UNIX_EPOCH, RunState::Ended(Verdict::Error));
/// let found = FoundRun { job: "nightly".into(), task: "report".into(), run };
/// assert!(RunFilter::new().task("report").verdict(Verdict::Error).matches(&found));
/// assert!(!RunFilter::new().job("weekly").matches(&found));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundRun {
    /// The id of its job.
    pub job: JobId,
    /// The task of its job.
    pub task: TaskName,
    /// The run.
    pub run: Run,
}

/// A place in the order of runs: by fire time and id, the newest first. It is that of the run with these, whether or not it is there.
///
/// ```
/// use scheduler_core::{Run, RunId, RunState, Uid, store::RunKey};
///
/// let run = |at: &str, seq| Run::new(RunId { uid: Uid(7), seq }, at.parse().unwrap(), RunState::Running);
/// let (old, new) = (run("2026-11-21T09:00:00Z", 1), run("2026-11-21T10:00:00Z", 2));
/// assert!(RunKey::of(&new) < RunKey::of(&old), "the newest comes first");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKey {
    /// The fire time.
    pub fire_time: DateTime<Utc>,
    /// The id.
    pub run: RunId,
}

impl RunKey {
    /// The place of a run.
    pub fn of(run: &Run) -> Self {
        Self { fire_time: run.fire_time, run: run.id }
    }
}

impl PartialOrd for RunKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RunKey {
    fn cmp(&self, other: &Self) -> Ordering {
        Reverse((self.fire_time, self.run)).cmp(&Reverse((other.fire_time, other.run)))
    }
}

/// Which page of which runs is wanted, newest first.
///
/// ```
/// use scheduler_core::{JobStore, Verdict, store::{FoundRun, RunFilter, RunSearch, StoreError}};
///
/// /// All runs of a node that were lost, newest first.
/// async fn lost(store: &dyn JobStore, node: &str) -> Result<Vec<FoundRun>, StoreError> {
///     let mut search = RunSearch::new(RunFilter::new().node(node).verdict(Verdict::Lost), 100);
///     let mut lost = Vec::new();
///     loop {
///         let page = store.search_runs(&search).await?;
///         lost.extend(page.runs);
///         let Some(next) = page.next else { return Ok(lost) };
///         search = search.with_after(Some(next));
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSearch {
    /// The runs that are meant.
    pub filter: RunFilter,
    /// Behind which place the page begins; with the newest run if there is none.
    pub after: Option<RunKey>,
    /// The most runs on the page. 0 counts as 1.
    pub limit: usize,
}

impl RunSearch {
    /// The first page of at most so many of these runs.
    pub fn new(filter: RunFilter, limit: usize) -> Self {
        Self { filter, after: None, limit }
    }

    setters! {
        /// The same from behind this place.
        with_after(after: Option<RunKey>);
    }

    /// Whether a run is on this page or on a later one.
    pub fn is_ahead(&self, found: &FoundRun) -> bool {
        self.after.is_none_or(|after| after < RunKey::of(&found.run)) && self.filter.matches(found)
    }
}

/// A page of runs, newest first.
///
/// ```
/// use scheduler_core::store::{FoundRun, RunKey, RunPage};
///
/// /// A page of at most so many of these runs, which are in their order; a store gives it that has found one more.
/// fn page(mut found: Vec<FoundRun>, limit: usize) -> RunPage {
///     let is_more = found.len() > limit;
///     found.truncate(limit);
///     let next = found.last().map(|last| RunKey::of(&last.run)).filter(|_| is_more);
///     RunPage::new(found, next)
/// }
///
/// assert_eq!(page(Vec::new(), 10), RunPage::default());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs. There may be fewer than the page could hold, or none, though others follow.
    pub runs: Vec<FoundRun>,
    /// Behind which place the next page begins; none if this is the last one.
    pub next: Option<RunKey>,
}

impl RunPage {
    /// A page, and where the next one begins.
    pub fn new(runs: Vec<FoundRun>, next: Option<RunKey>) -> Self {
        Self { runs, next }
    }
}

/// A node that holds something in a store. One that has nothing to do leaves no trace there.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use scheduler_core::store::NodeRow;
///
/// /// Whether the node seems to be down: nothing was heard of it for the time of its lease.
/// fn is_silent(node: &NodeRow, now: DateTime<Utc>) -> bool {
///     node.lease_until.is_some_and(|until| until <= now)
/// }
///
/// let node = NodeRow::new("node-1".into(), Some("2026-11-21T09:00:15Z".parse()?), Vec::new());
/// assert!(is_silent(&node, "2026-11-21T09:05:00Z".parse()?));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeRow {
    /// The node.
    pub id: NodeId,
    /// Until when other nodes leave its runs alone, by the store's clock. None if another node is taking it over, or if the store does not
    /// say.
    pub lease_until: Option<DateTime<Utc>>,
    /// What it runs, by the ids of the runs; of a node that runs very much, a part of it.
    pub running: Vec<FoundRun>,
    /// Its host, version and labels, as far as it has said them and the store shows them.
    #[serde(flatten)]
    pub info: NodeInfo,
}

impl NodeRow {
    /// The most runs of a node that are shown.
    pub const RUNNING_LIMIT: usize = 1_000;

    /// A node that runs these.
    pub fn new(id: NodeId, lease_until: Option<DateTime<Utc>>, mut running: Vec<FoundRun>) -> Self {
        running.sort_by_key(|found| found.run.id);
        running.truncate(Self::RUNNING_LIMIT);
        Self { id, lease_until, running, info: NodeInfo::default() }
    }

    setters! {
        /// The same of a node that says this of itself.
        with_info(info: NodeInfo);
    }
}
