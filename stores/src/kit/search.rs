//! Searches over a database that has indexes for them.
//!
//! What is few is sorted here; all else is found on a walk along the order of the answer. Either way a call looks at a bounded number
//! of places, which are a few columns of a row, and loads those jobs and runs that can be on the page.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, Listed, NodeId, Run, RunId, Tags, TaskName, Uid, Verdict,
    store::{
        FoundRun, JobCounts, JobFilter, JobKey, JobOrder, JobPage, JobSearch, JobStateKind, RunFilter, RunKey, RunPage,
        RunSearch, RunStateKind, StoreError,
    },
};

use super::{
    backend::{Access, Session},
    job::LoadedJob,
    listing::listed,
};

/// How many jobs or runs are few. Of more, a walk finds one in each step but in a store with millions.
const FEW: usize = 5_000;

/// How many places one step of a walk looks at: as many as the page needs in the first one, and four times as many in each further one,
/// up to this many.
const STEP: usize = 1_000;

/// How many places a call looks at on a walk. What has been found then is the page.
const LOOKS: usize = 5_000;

/// How many jobs are loaded at once.
const LOADED: usize = 250;

/// Finds places of jobs by the indexes of a database, a page of them at a time.
#[async_trait]
pub trait JobFinder: Send + Sync {
    /// Up to so many of the live jobs of a group, in any order. None if there is no index for it, or if it shows at once that there are so
    /// many or more.
    async fn group(&self, group: JobGroup<'_>, tags: &Tags, limit: usize) -> Result<Option<Vec<JobPlace>>, StoreError>;

    /// The next live jobs in an order, behind a place. In the order of ids their ids are not before `prefix`.
    async fn walk(
        &self,
        order: JobOrder,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError>;

    /// The next jobs that are over and stay known, by id and uid, behind a place. Their ids are not before `prefix`.
    async fn walk_finished(
        &self,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError>;

    /// Which of these jobs have a text in their id or in their definition, letters of ASCII being equal in either case. The text has no
    /// capital letter, and nothing else that is written in more than one way in JSON. None by default: then each job is loaded and looked
    /// at, which takes twenty times as long.
    async fn having_text(&self, _keys: &BTreeSet<String>, _text: &str) -> Result<Option<BTreeSet<String>>, StoreError> {
        Ok(None)
    }

    /// How many live jobs of a group, or of all, are in each state. None if there is no index for it.
    async fn counts(&self, group: Option<JobGroup<'_>>) -> Result<Option<JobCounts>, StoreError>;

    /// How many jobs are over and stay known.
    async fn count_finished(&self) -> Result<u64, StoreError>;

    /// What finds the jobs of a group in the order of ids; none by default.
    fn group_finder(&self) -> Option<&dyn GroupFinder> {
        None
    }
}

/// Finds live jobs by indexes that have each group in the order of ids, so that a page needs no more than its own places.
#[async_trait]
pub trait GroupFinder: Send + Sync {
    /// That of these groups which has the fewest jobs, as far as the backend can tell, by its place among them; none if there is none that
    /// is in the order of ids.
    async fn narrowest(&self, groups: &[JobGroup<'_>]) -> Result<Option<usize>, StoreError>;

    /// The next jobs of a group by id, behind a place. Their ids are not before `prefix`.
    async fn walk_group(
        &self,
        group: JobGroup<'_>,
        prefix: &str,
        after: Option<&JobKey>,
        tags: &Tags,
        limit: usize,
    ) -> Result<Vec<JobPlace>, StoreError>;
}

/// Finds places of runs by the indexes of a database, a page of them at a time.
#[async_trait]
pub trait RunFinder: Send + Sync {
    /// Up to so many runs of a group, in any order. None if there is no index for it.
    async fn run_group(&self, group: RunGroup<'_>, limit: usize) -> Result<Option<Vec<RunPlace>>, StoreError>;

    /// The next runs behind a place, newest first, up to the fire time `since` of the filter; only those with a verdict if one is given.
    /// A place says all that the rest of the filter asks for, and need not say more.
    async fn run_walk(
        &self,
        verdict: Option<Verdict>,
        filter: &RunFilter,
        after: Option<RunKey>,
        limit: usize,
    ) -> Result<Vec<RunPlace>, StoreError>;

    /// Runs by their ids, open and ended ones, in any order.
    async fn runs(&self, ids: &BTreeSet<RunId>) -> Result<Vec<Run>, StoreError>;
}

/// Live jobs that an index finds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobGroup<'f> {
    /// Those with a tag.
    Tag(&'f str),
    /// Those of a task.
    Task(&'f TaskName),
    /// Those in a state.
    State(JobStateKind),
}

/// Runs that an index finds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunGroup<'u> {
    /// Those of these jobs.
    Jobs(&'u BTreeSet<Uid>),
    /// Those that have not ended; those that are in another state than this one may be left out.
    Open(RunStateKind),
}

/// What a filter and an order need to know of a job.
#[derive(Debug, Clone)]
pub struct JobPlace {
    /// The key by which it is loaded.
    pub key: String,
    /// The uid, or [`JobKey::BEHIND_ALL`] if it cannot be read.
    pub uid: Uid,
    /// The id.
    pub id: JobId,
    /// The next fire time; none of a job that is over.
    pub next_fire_time: Option<DateTime<Utc>>,
    /// The task.
    pub task: TaskName,
    /// The state; one that is none counts as quarantined.
    pub state: JobStateKind,
    /// Whether it has all tags that were asked for; none if that shows when it is loaded.
    pub has_tags: Option<bool>,
}

/// What a filter and an order need to know of a run.
#[derive(Debug, Clone)]
pub struct RunPlace {
    /// The place in the order.
    pub key: RunKey,
    /// The state; none if it cannot be read.
    pub state: Option<RunStateKind>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// The node.
    pub node: Option<NodeId>,
    /// The job and its task; none if the job is neither live nor stays known.
    pub job: Option<(JobId, TaskName)>,
}

impl JobPlace {
    fn key(&self) -> JobKey {
        JobKey { next_fire_time: self.next_fire_time, id: self.id.clone(), uid: self.uid }
    }

    /// Whether the job may be one that the filter means.
    fn fits(&self, filter: &JobFilter) -> bool {
        self.has_tags.unwrap_or(true)
            && filter.matches_id(&self.id)
            && filter.task.as_ref().is_none_or(|task| *task == self.task)
            && filter.matches_state(self.state)
    }
}

impl RunPlace {
    fn fits(&self, filter: &RunFilter) -> bool {
        self.job.as_ref().is_some_and(|(job, task)| {
            filter.job.as_ref().is_none_or(|it| it == job) && filter.task.as_ref().is_none_or(|it| it == task)
        }) && filter.node.as_ref().is_none_or(|it| self.node.as_ref() == Some(it))
            && filter.state.is_none_or(|it| self.state == Some(it))
            && filter.verdict.is_none_or(|it| self.verdict == Some(it))
            && filter.since.is_none_or(|since| since <= self.key.fire_time)
            && filter.until.is_none_or(|until| self.key.fire_time < until)
    }
}

pub(super) async fn jobs(
    session: &dyn Session,
    finder: &dyn JobFinder,
    search: &JobSearch,
) -> Result<JobPage, StoreError> {
    let JobSearch { filter, order, .. } = search;
    let mut page = Jobs::new(session, search);
    let mut walk = Walk::begin(finder, search).await?;
    if walk.group.is_none()
        && let Some(mut places) = few_jobs(finder, filter).await?
    {
        let is_ahead = |place: &JobPlace| {
            search.after.as_ref().is_none_or(|after| order.compare(&place.key(), after).is_gt()) && place.fits(filter)
        };
        places.retain(is_ahead);
        places.sort_unstable_by(|a, b| order.compare(&a.key(), &b.key()));
        page.add(&places).await?;
        page.load_rest().await?;
        return Ok(page.finish(None));
    }
    let mut looks = 0_usize;
    while let Some(mut places) = walk.next(LOOKS.saturating_sub(looks)).await? {
        looks = looks.saturating_add(places.len());
        places.retain(|place| place.fits(filter));
        page.add(&places).await?;
        if page.is_full() {
            break;
        }
        if looks >= LOOKS && !walk.is_over {
            page.load_rest().await?;
            return Ok(page.finish(walk.after));
        }
    }
    page.load_rest().await?;
    Ok(page.finish(None))
}

/// A walk along an order, a step at a time.
struct Walk<'a> {
    finder: &'a dyn JobFinder,
    filter: &'a JobFilter,
    order: JobOrder,
    /// The group along which it goes, if not along all jobs.
    group: Option<(&'a dyn GroupFinder, JobGroup<'a>)>,
    after: Option<JobKey>,
    step: usize,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn of(finder: &'a dyn JobFinder, search: &'a JobSearch) -> Self {
        // One id is one place in the order of ids, and jobs that are over are in that order alone.
        let is_by_id = search.filter.id.is_some() || search.filter.is_of_finished();
        let order = if is_by_id { JobOrder::Id } else { search.order };
        let (filter, after, step) = (&search.filter, search.after.clone(), first_step(search.limit));
        Self { finder, filter, order, group: None, after, step, is_over: false }
    }

    /// The same along the group of the filter that has the fewest jobs, if the backend has groups in this order.
    async fn begin(finder: &'a dyn JobFinder, search: &'a JobSearch) -> Result<Self, StoreError> {
        let mut walk = Self::of(finder, search);
        if let Some(by_group) = finder.group_finder().filter(|_| walk.order == JobOrder::Id) {
            let groups = groups_of(walk.filter);
            let narrowest = by_group.narrowest(&groups).await?.and_then(|at| groups.get(at).copied());
            walk.group = narrowest.map(|group| (by_group, group));
        }
        Ok(walk)
    }

    /// The next places, at most so many; none behind the last ones.
    async fn next(&mut self, most: usize) -> Result<Option<Vec<JobPlace>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let limit = self.step.min(most);
        self.step = next_step(self.step);
        let (start, after, tags) = (self.filter.id_start(), self.after.as_ref(), &self.filter.tags);
        let places = match self.group {
            Some((by_group, group)) => by_group.walk_group(group, start, after, tags, limit).await?,
            None if self.filter.is_of_finished() => self.finder.walk_finished(start, after, tags, limit).await?,
            None => self.finder.walk(self.order, start, after, tags, limit).await?,
        };
        let last = places.last().map(JobPlace::key);
        let is_beyond =
            self.order == JobOrder::Id && last.as_ref().is_some_and(|last| !self.filter.matches_id(&last.id));
        self.is_over = is_beyond || places.len() < limit;
        self.after = last.or_else(|| self.after.take());
        Ok(Some(places))
    }
}

/// How many places a walk looks at first for a page, and one more to know whether another one follows.
fn first_step(limit: usize) -> usize {
    limit.saturating_add(1).clamp(10, STEP)
}

fn next_step(step: usize) -> usize {
    step.saturating_mul(4).min(STEP)
}

/// The groups that a filter asks for. Groups are of live jobs, and one id is found sooner by a walk.
fn groups_of(filter: &JobFilter) -> Vec<JobGroup<'_>> {
    if filter.is_of_finished() || filter.id.is_some() {
        return Vec::new();
    }
    let tags = filter.tags.iter().map(JobGroup::Tag);
    // Most jobs are active.
    let state = filter.state.filter(|state| *state != JobStateKind::Active).map(JobGroup::State);
    tags.chain(state).chain(filter.task.as_ref().map(JobGroup::Task)).collect()
}

/// All jobs of a group that the filter asks for, if these are few.
async fn few_jobs(finder: &dyn JobFinder, filter: &JobFilter) -> Result<Option<Vec<JobPlace>>, StoreError> {
    for group in groups_of(filter) {
        let found = finder.group(group, &filter.tags, FEW + 1).await?;
        if let Some(places) = found.filter(|places| places.len() <= FEW) {
            return Ok(Some(places));
        }
    }
    Ok(None)
}

pub(super) async fn count(
    session: &dyn Session,
    finder: &dyn JobFinder,
    filter: &JobFilter,
) -> Result<JobCounts, StoreError> {
    let mut counts = JobCounts::default();
    let is_in_columns = filter.executor.is_none() && filter.text.is_none();
    if *filter == JobFilter::new().state(JobStateKind::Finished) {
        counts.add(JobStateKind::Finished, finder.count_finished().await?);
        return Ok(counts);
    }
    if let Some(group) = counted_group(filter)
        && let Some(all) = finder.counts(group).await?
    {
        JobStateKind::LIVE
            .into_iter()
            .filter(|kind| filter.matches_state(*kind))
            .for_each(|kind| counts.add(kind, all.of(kind)));
        return Ok(counts);
    }
    let search = JobSearch::new(filter.clone(), usize::MAX);
    let mut walk = Walk::begin(finder, &search).await?;
    let mut next = if walk.group.is_none() { few_jobs(finder, filter).await? } else { None };
    walk.is_over = next.is_some();
    if next.is_none() {
        next = walk.next(STEP).await?;
    }
    while let Some(mut places) = next {
        places.retain(|place| place.fits(filter));
        if is_in_columns && (filter.tags.is_empty() || places.iter().all(|place| place.has_tags.is_some())) {
            places.iter().for_each(|place| counts.add(place.state, 1));
        } else {
            let mut page = Jobs::new(session, &search);
            page.add(&places).await?;
            page.load_rest().await?;
            page.found.iter().filter_map(|job| kind_of(job, filter)).for_each(|kind| counts.add(kind, 1));
        }
        next = walk.next(STEP).await?;
    }
    Ok(counts)
}

/// The kind under which a job that was found counts. One that cannot be read does not say that it is over.
fn kind_of(job: &Listed, filter: &JobFilter) -> Option<JobStateKind> {
    if filter.is_of_finished() { Some(JobStateKind::Finished) } else { JobStateKind::of_listed(job) }
}

/// The group that a filter asks for and nothing else but a state; none within if that is all jobs.
fn counted_group(filter: &JobFilter) -> Option<Option<JobGroup<'_>>> {
    let JobFilter { id, id_prefix, task, tags, executor, text, .. } = filter;
    let is_by_id = id.is_some() || id_prefix.is_some();
    if is_by_id || executor.is_some() || text.is_some() || filter.is_of_finished() {
        return None;
    }
    match (task, tags.len()) {
        (None, 0) => Some(None),
        (Some(task), 0) => Some(Some(JobGroup::Task(task))),
        (None, 1) => Some(tags.iter().next().map(JobGroup::Tag)),
        _ => None,
    }
}

/// A page of jobs as it fills.
struct Jobs<'a> {
    session: &'a dyn Session,
    search: &'a JobSearch,
    found: Vec<Listed>,
    /// The places of further jobs that have the text, which are loaded together.
    with_text: Vec<JobPlace>,
}

impl<'a> Jobs<'a> {
    fn new(session: &'a dyn Session, search: &'a JobSearch) -> Self {
        Self { session, search, found: Vec::new(), with_text: Vec::new() }
    }

    fn limit(&self) -> usize {
        self.search.limit.max(1)
    }

    /// Whether there is one more than the page holds, so that another page follows.
    fn is_full(&self) -> bool {
        self.found.len() > self.limit()
    }

    /// Finds the jobs that are meant among those at places. [`load_rest`](Self::load_rest) follows the last of them.
    async fn add(&mut self, places: &[JobPlace]) -> Result<(), StoreError> {
        let text = self.search.filter.text.as_deref().and_then(plain_part);
        let (Some(text), Some(finder)) = (text, self.session.job_finder()) else { return self.load(places).await };
        for places in places.chunks(STEP) {
            if self.is_full() {
                break;
            }
            let keys: BTreeSet<String> = places.iter().map(|place| place.key.clone()).collect();
            match finder.having_text(&keys, &text).await? {
                Some(found) => {
                    self.with_text.extend(places.iter().filter(|place| found.contains(&place.key)).cloned());
                    if self.found.len().saturating_add(self.with_text.len()) > self.limit() {
                        self.load_rest().await?;
                    }
                }
                None => self.load(places).await?,
            }
        }
        Ok(())
    }

    /// Loads what is not loaded yet.
    async fn load_rest(&mut self) -> Result<(), StoreError> {
        let rest = std::mem::take(&mut self.with_text);
        self.load(&rest).await
    }

    /// Loads the jobs at places one after the other, and takes those that are meant.
    async fn load(&mut self, places: &[JobPlace]) -> Result<(), StoreError> {
        for places in places.chunks(self.limit().saturating_add(1).clamp(10, LOADED)) {
            if self.is_full() {
                break;
            }
            let keys: BTreeSet<String> = places.iter().map(|place| place.key.clone()).collect();
            let loaded = self.session.by_key(&keys, Access::Show).await?;
            let is_of_finished = self.search.filter.is_of_finished();
            let is_there =
                |job: &LoadedJob| if is_of_finished { job.is_retained() } else { job.head().state.is_live() };
            let there = loaded.into_iter().filter(is_there);
            let mut jobs: HashMap<String, Listed> =
                there.filter_map(|job| Some((job.key().to_owned(), listed(job)?))).collect();
            let in_order = places.iter().filter_map(|place| jobs.remove(&place.key));
            self.found.extend(in_order.filter(|job| self.search.is_ahead(job)));
        }
        Ok(())
    }

    /// The page; `rest` is where the next one begins if this one is not full.
    fn finish(mut self, rest: Option<JobKey>) -> JobPage {
        // A job may have been moved on between the look at its place and the one at itself.
        self.found.sort_by(|a, b| self.search.order.compare(&JobKey::of(a), &JobKey::of(b)));
        let is_full = self.is_full();
        self.found.truncate(self.limit());
        let next = if is_full { self.found.last().map(JobKey::of) } else { rest };
        JobPage::new(self.found, next)
    }
}

/// The longest part of a text that each writer of JSON writes as it is, in small letters; none if there is none. All jobs with the text
/// have this part.
fn plain_part(text: &str) -> Option<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " -_.:,;#@()[]{}*?!$%^|~".contains(letter);
    let longest = text.split(|letter| !is_plain(letter)).max_by_key(|part| part.len());
    longest.filter(|part| !part.is_empty()).map(str::to_ascii_lowercase)
}

/// A page of the jobs that are over and stay known, of a backend that has no index for them.
pub(super) async fn finished(session: &dyn Session, search: &JobSearch) -> Result<JobPage, StoreError> {
    let mut page = Jobs { found: all_finished(session).await?, ..Jobs::new(session, search) };
    page.found.retain(|job| search.is_ahead(job));
    Ok(page.finish(None))
}

/// How many of them a filter means.
pub(super) async fn count_finished(session: &dyn Session, filter: &JobFilter) -> Result<JobCounts, StoreError> {
    let found = all_finished(session).await?;
    let mut counts = JobCounts::default();
    found.iter().filter(|job| filter.matches(job)).for_each(|_| counts.add(JobStateKind::Finished, 1));
    Ok(counts)
}

async fn all_finished(session: &dyn Session) -> Result<Vec<Listed>, StoreError> {
    let retained = session.retained().await?.into_iter().filter(LoadedJob::is_retained);
    Ok(retained.filter_map(listed).collect())
}

pub(super) async fn runs(
    session: &dyn Session,
    finder: &dyn RunFinder,
    search: &RunSearch,
) -> Result<RunPage, StoreError> {
    let filter = &search.filter;
    let mut page = Runs { finder, search, found: Vec::new() };
    let jobs = match &filter.job {
        Some(id) => known_jobs(session, id).await?,
        None => None,
    };
    if jobs.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(page.finish(None));
    }
    let open = || filter.state.filter(|state| *state != RunStateKind::Ended).map(RunGroup::Open);
    let group = jobs.as_ref().map(RunGroup::Jobs).or_else(open);
    if let Some(group) = group
        && let Some(mut places) = finder.run_group(group, FEW + 1).await?.filter(|places| places.len() <= FEW)
    {
        places.retain(|place| place.fits(filter) && search.after.is_none_or(|after| after < place.key));
        places.sort_unstable_by_key(|place| place.key);
        page.add(&places).await?;
        return Ok(page.finish(None));
    }
    // No run has a smaller id than this one.
    let before = filter.until.map(|until| RunKey { fire_time: until, run: RunId { uid: Uid(0), seq: 0 } });
    let (mut after, mut looks, mut step) = (search.after.max(before), 0_usize, first_step(search.limit));
    // Most runs end well.
    let verdict = filter.verdict.filter(|verdict| *verdict != Verdict::Ok);
    loop {
        let limit = step.min(LOOKS.saturating_sub(looks));
        let mut places = finder.run_walk(verdict, filter, after, limit).await?;
        let last = places.last().map(|place| place.key);
        let is_over = places.len() < limit;
        step = next_step(step);
        looks = looks.saturating_add(places.len());
        places.retain(|place| place.fits(filter));
        page.add(&places).await?;
        if page.is_full() || is_over {
            return Ok(page.finish(None));
        }
        if looks >= LOOKS {
            return Ok(page.finish(last));
        }
        after = last;
    }
}

/// The live job with an id, and those that have had it before and stay known, if these are few.
async fn known_jobs(session: &dyn Session, id: &JobId) -> Result<Option<BTreeSet<Uid>>, StoreError> {
    let live = session.by_live_id(&BTreeSet::from([id.clone()]), Access::Show).await?;
    let mut jobs: BTreeSet<Uid> = live.first().and_then(LoadedJob::uid).into_iter().collect();
    let Some(finder) = session.job_finder() else { return Ok(None) };
    let search = JobSearch::new(JobFilter::new().id(id.clone()).state(JobStateKind::Finished), usize::MAX);
    let mut walk = Walk::of(finder, &search);
    while let Some(places) = walk.next(STEP).await? {
        jobs.extend(places.iter().filter(|place| place.id == *id).map(|place| place.uid));
        if jobs.len() > FEW {
            return Ok(None);
        }
    }
    Ok(Some(jobs))
}

/// A page of runs as it fills.
struct Runs<'a> {
    finder: &'a dyn RunFinder,
    search: &'a RunSearch,
    found: Vec<FoundRun>,
}

impl Runs<'_> {
    fn limit(&self) -> usize {
        self.search.limit.max(1)
    }

    fn is_full(&self) -> bool {
        self.found.len() > self.limit()
    }

    async fn add(&mut self, places: &[RunPlace]) -> Result<(), StoreError> {
        for places in places.chunks(self.limit().saturating_add(1).clamp(10, LOADED)) {
            if self.is_full() {
                break;
            }
            let runs = self.finder.runs(&places.iter().map(|place| place.key.run).collect()).await?;
            let mut runs: HashMap<RunId, Run> = runs.into_iter().map(|run| (run.id, run)).collect();
            for place in places {
                if let (Some(run), Some((job, task))) = (runs.remove(&place.key.run), place.job.clone()) {
                    let found = FoundRun { job, task, run };
                    self.found.extend(Some(found).filter(|found| self.search.is_ahead(found)));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, rest: Option<RunKey>) -> RunPage {
        let is_full = self.is_full();
        self.found.truncate(self.limit());
        let next = if is_full { self.found.last().map(|found| RunKey::of(&found.run)) } else { rest };
        RunPage::new(self.found, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_text_the_part_is_looked_for_that_is_the_same_in_each_json() {
        for (text, part) in [
            ("Nightly", Some("nightly")),
            ("tenant:42/Invoice No. 7", Some("invoice no. 7")),
            ("a\"quoted\\", Some("quoted")),
            ("größe", Some("gr")),
            ("ü", None),
            ("<&'+=>", None),
            ("", None),
        ] {
            assert_eq!(plain_part(text).as_deref(), part, "{text}");
        }
    }
}
