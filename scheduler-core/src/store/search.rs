//! Searching jobs and runs: what a filter means, the orders, and where a page begins.
//!
//! The rules are here once, so that each store answers the same. A store that looks for some of a filter's parts by an index
//! asks [`JobFilter::matches`] or [`RunFilter::matches`] for the rest.

mod runs;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use runs::*;

use crate::{ExecutorName, JobId, JobRow, JobState, Listed, RawJob, Tags, TaskName, Uid};

/// Which jobs are meant: those that fit each part that is given. Without any part, it is all live jobs.
///
/// Jobs that are over, and stay known for their [retention](crate::JobOptions::retention), are meant only if the state that is asked
/// for is [`JobStateKind::Finished`]. Several of them, and a live job, may have the same id.
///
/// ```
/// use scheduler_core::store::{JobFilter, JobStateKind};
///
/// let paused_of_a_tenant = JobFilter::new().tag("tenant:42").state(JobStateKind::Paused);
/// let json = serde_json::to_string(&paused_of_a_tenant)?;
/// assert_eq!(json, r#"{"tags":["tenant:42"],"state":"paused"}"#);
///
/// let earlier_jobs_of_that_id = JobFilter::new().id("import-7").state(JobStateKind::Finished);
/// # let _ = earlier_jobs_of_that_id;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct JobFilter {
    /// The whole id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// How the id begins, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// Tags that the job has, each of them.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The state; any but [`JobStateKind::Finished`] if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobStateKind>,
    /// The executor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorName>,
    /// A part of the id, the name for people, the task or a tag. Letters of ASCII count as equal in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl JobFilter {
    /// All live jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only jobs with this id: one that is live, or those that are over if the [state](Self::state) asks for them.
    #[must_use]
    pub fn id(mut self, id: impl Into<JobId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Only jobs whose ids begin so, byte for byte.
    #[must_use]
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = Some(prefix.into());
        self
    }

    /// Only jobs of this task.
    #[must_use]
    pub fn task(mut self, task: impl Into<TaskName>) -> Self {
        self.task = Some(task.into());
        self
    }

    /// Only jobs with this tag, and with those that were given before.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags = self.tags.with(tag);
        self
    }

    /// Only jobs in this state.
    #[must_use]
    pub fn state(mut self, state: JobStateKind) -> Self {
        self.state = Some(state);
        self
    }

    /// Only jobs that this executor runs.
    #[must_use]
    pub fn executor(mut self, executor: impl Into<ExecutorName>) -> Self {
        self.executor = Some(executor.into());
        self
    }

    /// Only jobs with this text in their id, name for people, task or a tag. Letters of ASCII count as equal in either case.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Whether jobs that are over are meant, and no live ones.
    pub fn is_of_finished(&self) -> bool {
        self.state == Some(JobStateKind::Finished)
    }

    /// How the ids of all jobs that are meant begin.
    pub fn id_start(&self) -> &str {
        self.id.as_ref().map(JobId::as_str).or(self.id_prefix.as_deref()).unwrap_or_default()
    }

    /// Whether a job with this id may be meant.
    pub fn matches_id(&self, id: &JobId) -> bool {
        self.id.as_ref().is_none_or(|wanted| wanted == id)
            && self.id_prefix.as_ref().is_none_or(|prefix| id.as_str().starts_with(prefix))
    }

    /// Whether a job in this state may be meant.
    pub fn matches_state(&self, kind: JobStateKind) -> bool {
        self.state.map_or_else(|| kind.is_live(), |wanted| wanted == kind)
    }

    /// Whether the job is meant. One that cannot be read counts as quarantined, or as finished where jobs that are over are asked for, and
    /// is found by its id alone.
    pub fn matches(&self, listed: &Listed) -> bool {
        match listed {
            Listed::Job(job) => self.matches_job(job),
            Listed::Raw(raw) => self.matches_raw(raw),
        }
    }

    fn matches_job(&self, job: &JobRow) -> bool {
        let JobRow { id, body, state, .. } = job;
        self.matches_id(id)
            && self.task.as_ref().is_none_or(|task| *task == body.task)
            && self.tags.iter().all(|tag| body.tags.contains(tag))
            && JobStateKind::of(state).is_some_and(|kind| self.matches_state(kind))
            && self.executor.as_ref().is_none_or(|executor| *executor == body.executor)
            && self.text.as_ref().is_none_or(|text| {
                let names = [id.as_str(), body.display_name(), body.task.as_str()];
                names.into_iter().chain(body.tags.iter()).any(|name| has_text(name, text))
            })
    }

    fn matches_raw(&self, raw: &RawJob) -> bool {
        self.matches_id(&raw.id)
            && self.task.is_none()
            && self.tags.is_empty()
            && (self.is_of_finished() || self.matches_state(JobStateKind::Quarantined))
            && self.executor.is_none()
            && self.text.as_ref().is_none_or(|text| has_text(raw.id.as_str(), text))
    }
}

/// Whether a text is a part of another one; letters of ASCII count as equal in either case.
fn has_text(name: &str, text: &str) -> bool {
    let (name, text) = (name.as_bytes(), text.as_bytes());
    text.is_empty() || name.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// The state of a job that can be found, without the reason of a quarantine.
///
/// ```
/// use scheduler_core::{JobState, store::{JobFilter, JobStateKind}};
///
/// let broken = JobFilter::new().state(JobStateKind::Quarantined);
/// assert!(broken.matches_state(JobStateKind::of(&JobState::Quarantined("no trigger".to_owned())).unwrap()));
/// assert_eq!(JobStateKind::of(&JobState::Removed), None, "it is in no listing and no search");
/// # assert!(!broken.is_of_finished());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStateKind {
    /// [`JobState::Active`].
    Active,
    /// [`JobState::Paused`].
    Paused,
    /// [`JobState::Kept`].
    Kept,
    /// [`JobState::Quarantined`], or the job cannot be read.
    Quarantined,
    /// The job is over and stays known for its [retention](crate::JobOptions::retention), as [`JobState::Ending`].
    Finished,
}

impl JobStateKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Paused, Self::Kept, Self::Quarantined, Self::Finished];

    /// Those of live jobs.
    pub const LIVE: [Self; 4] = [Self::Active, Self::Paused, Self::Kept, Self::Quarantined];

    /// Whether a job in this state is live.
    pub fn is_live(self) -> bool {
        self != Self::Finished
    }

    /// That of a state; none if a job in this state cannot be found.
    pub fn of(state: &JobState) -> Option<Self> {
        Some(match state {
            JobState::Active => Self::Active,
            JobState::Paused => Self::Paused,
            JobState::Kept => Self::Kept,
            JobState::Quarantined(_) => Self::Quarantined,
            JobState::Ending => Self::Finished,
            JobState::Removed => return None,
        })
    }

    /// That of an entry of a listing; none if the job cannot be found.
    pub fn of_listed(listed: &Listed) -> Option<Self> {
        match listed {
            Listed::Job(job) => Self::of(&job.state),
            Listed::Raw(_) => Some(Self::Quarantined),
        }
    }

    /// The word in filters and logs, and in stores, but for finished jobs, which these keep as `ending`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Kept => "kept",
            Self::Quarantined => "quarantined",
            Self::Finished => "finished",
        }
    }
}

/// How many jobs there are in each state.
///
/// ```
/// use scheduler_core::store::{JobCounts, JobStateKind};
///
/// // The jobs of a scheduler with two stores.
/// let mut counts = JobCounts::default();
/// counts.add(JobStateKind::Active, 7);
/// let mut of_other = JobCounts::default();
/// of_other.add(JobStateKind::Paused, 2);
/// counts.add_all(&of_other);
/// assert_eq!((counts.active, counts.of(JobStateKind::Paused), counts.total()), (7, 2, 9));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobCounts {
    /// Those that are active.
    pub active: u64,
    /// Those that are paused.
    pub paused: u64,
    /// Those that are kept after their last fire time.
    pub kept: u64,
    /// Those that are quarantined or cannot be read.
    pub quarantined: u64,
    /// Those that are over and stay known, if the filter has asked for them; else 0, and left out in JSON.
    #[serde(skip_serializing_if = "is_zero")]
    pub finished: u64,
}

impl JobCounts {
    /// How many there are at all.
    pub fn total(&self) -> u64 {
        JobStateKind::ALL.into_iter().map(|kind| self.of(kind)).fold(0, u64::saturating_add)
    }

    /// How many are in this state.
    pub fn of(&self, kind: JobStateKind) -> u64 {
        match kind {
            JobStateKind::Active => self.active,
            JobStateKind::Paused => self.paused,
            JobStateKind::Kept => self.kept,
            JobStateKind::Quarantined => self.quarantined,
            JobStateKind::Finished => self.finished,
        }
    }

    /// Counts so many more in this state.
    pub fn add(&mut self, kind: JobStateKind, n: u64) {
        let count = match kind {
            JobStateKind::Active => &mut self.active,
            JobStateKind::Paused => &mut self.paused,
            JobStateKind::Kept => &mut self.kept,
            JobStateKind::Quarantined => &mut self.quarantined,
            JobStateKind::Finished => &mut self.finished,
        };
        *count = count.saturating_add(n);
    }

    /// Counts those of another store.
    pub fn add_all(&mut self, others: &Self) {
        JobStateKind::ALL.into_iter().for_each(|kind| self.add(kind, others.of(kind)));
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// In which order jobs are found.
///
/// ```
/// use std::cmp::Ordering;
/// use scheduler_core::{Uid, store::{JobKey, JobOrder}};
///
/// let key = |id: &str, next: Option<&str>| JobKey {
///     next_fire_time: next.map(|next| next.parse().unwrap()),
///     id: id.into(),
///     uid: Uid(1),
/// };
/// let (a, b) = (key("a", None), key("b", Some("2026-11-21T09:00:00Z")));
/// assert_eq!(JobOrder::Id.compare(&a, &b), Ordering::Less);
/// assert_eq!(JobOrder::NextFireTime.compare(&a, &b), Ordering::Greater, "without one, it comes last");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOrder {
    /// By the bytes of their ids; jobs that are over and share one by their uids.
    #[default]
    Id,
    /// By their next fire times, those without one last; and by their ids where these are equal. Jobs that are over have none, so that
    /// they are in the order of ids.
    NextFireTime,
}

/// A place in the order of jobs: that of the job with this id, uid and next fire time, whether or not it is there.
///
/// ```
/// use scheduler_core::{Listed, store::{JobFilter, JobKey, JobSearch}};
/// # let row = serde_json::json!({
/// #     "uid": scheduler_core::Uid(1), "id": "nightly", "state": scheduler_core::JobState::Active,
/// #     "next_fire_time": "2026-11-21T10:00:00Z", "due": "2026-11-21T10:00:00Z", "last_end": null, "blocked": false,
/// #     "revision": 0, "fence": 1, "last_seq": 0, "totals": scheduler_core::Totals::default(),
/// #     "body": {"v": 1, "task": "report", "trigger": {"type": "date", "at": "2026-11-21T10:00:00Z"}},
/// # });
/// # let job: scheduler_core::JobRow = serde_json::from_value(row)?;
///
/// // A page of an API ends with this job, and the next one begins behind it: what the client sends back is its place.
/// let place = serde_json::to_string(&JobKey::of(&Listed::Job(job.clone())))?;
/// let next = JobSearch::new(JobFilter::new(), 50).with_after(Some(serde_json::from_str(&place)?));
/// assert!(!next.is_ahead(&Listed::Job(job)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobKey {
    /// The next fire time; without meaning in the order of ids.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// The id.
    pub id: JobId,
    /// The uid. [`BEHIND_ALL`](Self::BEHIND_ALL) stands behind all jobs with the id.
    #[serde(default = "behind_all")]
    pub uid: Uid,
}

impl JobKey {
    /// A uid that is behind all others; that of a row in which it cannot be read.
    pub const BEHIND_ALL: Uid = Uid(u128::MAX);

    /// The place of an entry of a listing.
    pub fn of(listed: &Listed) -> Self {
        match listed {
            Listed::Job(job) => Self { next_fire_time: job.next_fire_time, id: job.id.clone(), uid: job.uid },
            Listed::Raw(raw) => Self {
                next_fire_time: raw.next_fire_time,
                id: raw.id.clone(),
                uid: raw.uid.parse().unwrap_or(Self::BEHIND_ALL),
            },
        }
    }
}

fn behind_all() -> Uid {
    JobKey::BEHIND_ALL
}

impl JobOrder {
    /// Which of two places comes first.
    pub fn compare(self, a: &JobKey, b: &JobKey) -> Ordering {
        let by_time = |key: &JobKey| (key.next_fire_time.is_none(), key.next_fire_time);
        let by_id = || a.id.cmp(&b.id).then_with(|| a.uid.cmp(&b.uid));
        match self {
            Self::Id => by_id(),
            Self::NextFireTime => by_time(a).cmp(&by_time(b)).then_with(by_id),
        }
    }
}

/// Which page of which jobs is wanted.
///
/// ```
/// use scheduler_core::{JobStore, Listed, store::{JobFilter, JobOrder, JobSearch, StoreError}};
///
/// /// The jobs of a task, those that come next first.
/// async fn jobs_of(store: &dyn JobStore, task: &str) -> Result<Vec<Listed>, StoreError> {
///     let mut search = JobSearch::new(JobFilter::new().task(task), 100).with_order(JobOrder::NextFireTime);
///     let mut found = Vec::new();
///     loop {
///         let page = store.search_jobs(&search).await?;
///         found.extend(page.jobs);
///         let Some(next) = page.next else { return Ok(found) };
///         search = search.with_after(Some(next));
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobSearch {
    /// The jobs that are meant.
    pub filter: JobFilter,
    /// Their order.
    pub order: JobOrder,
    /// Behind which place the page begins; with the first job if there is none.
    pub after: Option<JobKey>,
    /// The most jobs on the page. 0 counts as 1.
    pub limit: usize,
}

impl JobSearch {
    /// The first page of at most so many of these jobs, by id.
    pub fn new(filter: JobFilter, limit: usize) -> Self {
        Self { filter, order: JobOrder::default(), after: None, limit }
    }

    setters! {
        /// The same in another order.
        with_order(order: JobOrder);
        /// The same from behind this place.
        with_after(after: Option<JobKey>);
    }

    /// Whether a job is on this page or on a later one.
    pub fn is_ahead(&self, listed: &Listed) -> bool {
        let is_behind = |after: &JobKey| self.order.compare(&JobKey::of(listed), after) == Ordering::Greater;
        self.after.as_ref().is_none_or(is_behind) && self.filter.matches(listed)
    }
}

/// A page of jobs, in their order.
///
/// ```
/// use scheduler_core::{Listed, store::{JobKey, JobPage}};
///
/// /// A page of at most so many of these jobs, which are in their order; a store gives it that has found one more.
/// fn page(mut found: Vec<Listed>, limit: usize) -> JobPage {
///     let is_more = found.len() > limit;
///     found.truncate(limit);
///     let next = found.last().map(JobKey::of).filter(|_| is_more);
///     JobPage::new(found, next)
/// }
///
/// assert_eq!(page(Vec::new(), 10), JobPage::default());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobPage {
    /// The jobs, undecodable ones included. There may be fewer than the page could hold, or none, though others follow: a store
    /// that has no index for the filter looks at so many jobs and no more.
    pub jobs: Vec<Listed>,
    /// Behind which place the next page begins; none if this is the last one.
    pub next: Option<JobKey>,
}

impl JobPage {
    /// A page, and where the next one begins.
    pub fn new(jobs: Vec<Listed>, next: Option<JobKey>) -> Self {
        Self { jobs, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_anywhere_and_in_either_case() {
        for (name, text, is_found) in [
            ("nightly-Report", "report", true),
            ("nightly-Report", "LY-R", true),
            ("nightly", "", true),
            ("", "a", false),
            ("Ärger", "ärger", false),
            ("Ärger", "RGER", true),
        ] {
            assert_eq!(has_text(name, text), is_found, "{name} {text}");
        }
    }

    #[test]
    fn jobs_without_a_next_fire_time_come_last_and_by_id() {
        let key = |at: Option<i64>, id: &str| JobKey {
            next_fire_time: at.map(|at| DateTime::from_timestamp_micros(at).unwrap()),
            id: id.into(),
            uid: Uid(7),
        };
        let in_order = [key(Some(1), "z"), key(Some(2), "a"), key(Some(2), "b"), key(None, "a"), key(None, "b")];
        for pair in in_order.windows(2) {
            assert_eq!(JobOrder::NextFireTime.compare(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(JobOrder::Id.compare(&in_order[0], &in_order[1]), Ordering::Greater);
    }

    #[test]
    fn a_place_without_a_uid_is_behind_all_jobs_with_its_id() {
        let of_an_earlier_version: JobKey = serde_json::from_str(r#"{"next_fire_time":null,"id":"a"}"#).unwrap();
        let job = |id: &str| JobKey { next_fire_time: None, id: id.into(), uid: Uid(7) };
        assert_eq!(JobOrder::Id.compare(&job("a"), &of_an_earlier_version), Ordering::Less);
        assert_eq!(JobOrder::Id.compare(&job("b"), &of_an_earlier_version), Ordering::Greater);
    }

    #[test]
    fn finished_jobs_are_meant_only_if_they_are_asked_for() {
        let (all, finished) = (JobFilter::new(), JobFilter::new().state(JobStateKind::Finished));
        for kind in JobStateKind::ALL {
            assert_eq!(all.matches_state(kind), kind.is_live(), "{kind:?}");
            assert_eq!(finished.matches_state(kind), !kind.is_live(), "{kind:?}");
        }
        assert_eq!(serde_json::to_string(&finished).unwrap(), r#"{"state":"finished"}"#);
        let counts = serde_json::to_string(&JobCounts::default()).unwrap();
        assert_eq!(counts, r#"{"active":0,"paused":0,"kept":0,"quarantined":0}"#);
    }
}
