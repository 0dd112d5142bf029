//! Searching by looking at one job after the other: what a store does that has no index for it.
//!
//! A call reads pages, and no more of them than it says, so that neither memory nor the store is held for long. Jobs that are over are in
//! no listing, so that these look for none: a store that keeps them finds them by itself.

use std::collections::BTreeMap;

use super::{
    FoundRun, JobCounts, JobFilter, JobKey, JobOrder, JobPage, JobQuery, JobSearch, JobStateKind, NodeRow, RunKey,
    RunPage, RunQuery, RunSearch, StoreError,
};
use crate::{JobId, JobRow, JobStore, Listed, NodeId, RunState};

/// How many jobs or runs one call reads at once.
const PAGE: usize = 500;

/// How many jobs are looked at for a page in the order of ids. What has been found then is the page.
const LOOKS: usize = 10_000;

/// A page of jobs. In the order of ids it looks at 10,000 jobs at most; in that of next fire times at all whose ids fit, since any of
/// them may be the first.
///
/// ```
/// use scheduler_core::{JobStore, store::{JobPage, JobSearch, StoreError, scan}};
///
/// /// What a store does that has an index of tags, and nothing better for other searches.
/// async fn search_jobs<S: JobStore>(store: &S, search: &JobSearch) -> Result<JobPage, StoreError> {
///     if search.filter.tags.is_empty() {
///         return scan::jobs(store, search).await;
///     }
///     by_tags(store, search).await
/// }
/// # async fn by_tags<S>(_: &S, _: &JobSearch) -> Result<JobPage, StoreError> { Ok(JobPage::default()) }
/// ```
///
/// # Errors
///
/// That of the store.
pub async fn jobs<S: JobStore + ?Sized>(store: &S, search: &JobSearch) -> Result<JobPage, StoreError> {
    if search.filter.is_of_finished() {
        return Ok(JobPage::default());
    }
    if let Some(id) = &search.filter.id {
        let found = job(store, id).await?.filter(|job| search.is_ahead(job));
        return Ok(JobPage::new(found.into_iter().collect(), None));
    }
    match search.order {
        JobOrder::Id => jobs_by_id(store, search).await,
        JobOrder::NextFireTime => jobs_by_time(store, search).await,
    }
}

/// How many jobs are in each state. It looks at all whose ids fit.
///
/// ```
/// use scheduler_core::{JobStore, store::{JobFilter, StoreError, scan}};
///
/// async fn of_tenant(store: &dyn JobStore, tenant: &str) -> Result<u64, StoreError> {
///     Ok(scan::count(store, &JobFilter::new().tag(tenant)).await?.total())
/// }
/// ```
///
/// # Errors
///
/// That of the store.
pub async fn count<S: JobStore + ?Sized>(store: &S, filter: &JobFilter) -> Result<JobCounts, StoreError> {
    let mut counts = JobCounts::default();
    if filter.is_of_finished() {
        return Ok(counts);
    }
    if let Some(id) = &filter.id {
        let found = job(store, id).await?.filter(|job| filter.matches(job));
        found.as_ref().and_then(JobStateKind::of_listed).into_iter().for_each(|kind| counts.add(kind, 1));
        return Ok(counts);
    }
    let mut walk = Walk::begin(store, filter, None).await?;
    while let Some(jobs) = walk.next().await? {
        let kinds = jobs.iter().filter(|job| filter.matches(job)).filter_map(JobStateKind::of_listed);
        kinds.for_each(|kind| counts.add(kind, 1));
    }
    Ok(counts)
}

/// A page of runs. It looks at the runs of all jobs, and of all that are over and that the store finds; or of those with the id that
/// the filter names.
///
/// ```
/// use scheduler_core::{JobStore, Verdict, store::{FoundRun, RunFilter, RunSearch, StoreError, scan}};
///
/// /// The last ten runs that failed.
/// async fn failed(store: &dyn JobStore) -> Result<Vec<FoundRun>, StoreError> {
///     let search = RunSearch::new(RunFilter::new().verdict(Verdict::Error), 10);
///     Ok(scan::runs(store, &search).await?.runs)
/// }
/// ```
///
/// # Errors
///
/// That of the store.
pub async fn runs<S: JobStore + ?Sized>(store: &S, search: &RunSearch) -> Result<RunPage, StoreError> {
    let limit = search.limit.max(1);
    let mut best: BTreeMap<RunKey, FoundRun> = BTreeMap::new();
    let mut is_more = false;
    each_run(store, search.filter.job.as_ref(), |found| {
        if search.is_ahead(&found) {
            best.insert(RunKey::of(&found.run), found);
            is_more |= best.len() > limit && best.pop_last().is_some();
        }
    })
    .await?;
    let next = best.last_key_value().map(|(key, _)| *key).filter(|_| is_more);
    Ok(RunPage::new(best.into_values().collect(), next))
}

/// The nodes that run something, by what is known of their runs. It looks at the runs of all jobs.
///
/// ```
/// use scheduler_core::{JobStore, store::{StoreError, scan}};
///
/// async fn print_load(store: &dyn JobStore) -> Result<(), StoreError> {
///     for node in scan::nodes(store).await? {
///         println!("{} runs {}", node.id, node.running.len());
///     }
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// That of the store.
pub async fn nodes<S: JobStore + ?Sized>(store: &S) -> Result<Vec<NodeRow>, StoreError> {
    let mut nodes: BTreeMap<NodeId, Vec<FoundRun>> = BTreeMap::new();
    each_run(store, None, |found| {
        if let (RunState::Running, Some(owner)) = (found.run.state, found.run.owner.clone()) {
            nodes.entry(owner).or_default().push(found);
        }
    })
    .await?;
    Ok(nodes.into_iter().map(|(id, running)| NodeRow::new(id, None, running)).collect())
}

async fn jobs_by_id<S: JobStore + ?Sized>(store: &S, search: &JobSearch) -> Result<JobPage, StoreError> {
    let limit = search.limit.max(1);
    let mut walk = Walk::begin(store, &search.filter, search.after.as_ref().map(|after| after.id.clone())).await?;
    let (mut found, mut looks) = (Vec::new(), 0_usize);
    while let Some(jobs) = walk.next().await? {
        looks = looks.saturating_add(jobs.len());
        for job in jobs {
            if search.filter.matches(&job) {
                if found.len() == limit {
                    // There is one more, so that another page follows.
                    let next = found.last().map(JobKey::of);
                    return Ok(JobPage::new(found, next));
                }
                found.push(job);
            }
        }
        if looks >= LOOKS {
            let next = walk.after.clone().map(|id| JobKey { next_fire_time: None, id, uid: JobKey::BEHIND_ALL });
            return Ok(JobPage::new(found, next));
        }
    }
    Ok(JobPage::new(found, None))
}

async fn jobs_by_time<S: JobStore + ?Sized>(store: &S, search: &JobSearch) -> Result<JobPage, StoreError> {
    let limit = search.limit.max(1);
    let mut best: Vec<Listed> = Vec::new();
    let mut is_more = false;
    let mut walk = Walk::begin(store, &search.filter, None).await?;
    let order = |a: &Listed, b: &Listed| search.order.compare(&JobKey::of(a), &JobKey::of(b));
    while let Some(jobs) = walk.next().await? {
        best.extend(jobs.into_iter().filter(|job| search.is_ahead(job)));
        best.sort_by(order);
        is_more |= best.len() > limit;
        best.truncate(limit);
    }
    let next = best.last().map(JobKey::of).filter(|_| is_more);
    Ok(JobPage::new(best, next))
}

/// A job by its id, which may be one that no job can have.
async fn job<S: JobStore + ?Sized>(store: &S, id: &JobId) -> Result<Option<Listed>, StoreError> {
    if id.check().is_err() { Ok(None) } else { store.job(id).await }
}

/// Hands each run of the jobs with one id, or of all, on.
async fn each_run<S: JobStore + ?Sized>(
    store: &S,
    job: Option<&JobId>,
    mut each: impl FnMut(FoundRun) + Send,
) -> Result<(), StoreError> {
    let mut finished = JobFilter::new().state(JobStateKind::Finished);
    if let Some(id) = job {
        each_run_of_all(store, self::job(store, id).await?.as_slice(), &mut each).await?;
        finished = finished.id(id.clone());
    } else {
        let mut walk = Walk::begin(store, &JobFilter::new(), None).await?;
        while let Some(jobs) = walk.next().await? {
            each_run_of_all(store, &jobs, &mut each).await?;
        }
    }
    let mut search = JobSearch::new(finished, PAGE);
    loop {
        let page = store.search_jobs(&search).await?;
        each_run_of_all(store, &page.jobs, &mut each).await?;
        if page.next.is_none() {
            return Ok(());
        }
        search = search.with_after(page.next);
    }
}

async fn each_run_of_all<S: JobStore + ?Sized>(
    store: &S,
    jobs: &[Listed],
    each: &mut (impl FnMut(FoundRun) + Send),
) -> Result<(), StoreError> {
    for job in jobs {
        if let Listed::Job(job) = job {
            each_run_of(store, job, each).await?;
        }
    }
    Ok(())
}

async fn each_run_of<S: JobStore + ?Sized>(
    store: &S,
    job: &JobRow,
    each: &mut (impl FnMut(FoundRun) + Send),
) -> Result<(), StoreError> {
    if job.last_seq == 0 {
        return Ok(());
    }
    let mut before = None;
    loop {
        let page = store.runs(&RunQuery { uid: job.uid, before, limit: PAGE }).await?;
        let is_last = page.len() < PAGE;
        before = page.last().map(|run| run.id.seq);
        page.into_iter().for_each(|run| each(FoundRun { job: job.id.clone(), task: job.body.task.clone(), run }));
        if is_last {
            return Ok(());
        }
    }
}

/// A walk over the jobs whose ids begin as a filter says, by id.
struct Walk<'s, S: ?Sized> {
    store: &'s S,
    prefix: String,
    /// The last id of the page before.
    after: Option<JobId>,
    /// The job whose id is the prefix, which no page can begin with.
    first: Option<Listed>,
    is_over: bool,
}

impl<'s, S: JobStore + ?Sized> Walk<'s, S> {
    async fn begin(store: &'s S, filter: &JobFilter, after: Option<JobId>) -> Result<Self, StoreError> {
        let prefix = filter.id_prefix.clone().unwrap_or_default();
        let is_before = after.as_ref().is_none_or(|after| after.as_str() < prefix.as_str());
        if prefix.is_empty() || !is_before {
            return Ok(Self { store, prefix, after, first: None, is_over: false });
        }
        let start = JobId::from(prefix.as_str());
        // What no id can be, no store is asked for.
        if start.check().is_err() {
            return Ok(Self { store, prefix, after, first: None, is_over: true });
        }
        let first = store.job(&start).await?;
        Ok(Self { store, prefix, after: Some(start), first, is_over: false })
    }

    /// The next page; none behind the last one.
    async fn next(&mut self) -> Result<Option<Vec<Listed>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let query = JobQuery { after: self.after.clone(), limit: PAGE };
        let mut page = self.store.jobs(&query).await?;
        self.is_over = page.len() < PAGE;
        if let Some(beyond) = page.iter().position(|job| !job.id().as_str().starts_with(&self.prefix)) {
            page.truncate(beyond);
            self.is_over = true;
        }
        self.after = page.last().map(|job| job.id().clone()).or_else(|| self.after.take());
        page.splice(0..0, self.first.take());
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn the_newest_run_comes_first() {
        let key = |at: i64, uid: u128, seq: u64| RunKey {
            fire_time: chrono::DateTime::from_timestamp_micros(at).unwrap(),
            run: crate::RunId { uid: crate::Uid(uid), seq },
        };
        let in_order = [key(2, 1, 1), key(1, 2, 1), key(1, 1, 2), key(1, 1, 1)];
        assert!(in_order.windows(2).all(|pair| pair[0].cmp(&pair[1]) == Ordering::Less));
    }
}
