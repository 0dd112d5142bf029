//! Searching the jobs and runs of all stores of a scheduler.
//!
//! ```text
//! first page of 3 by next fire time
//!   → store "default": a 10:00, c 10:20, d 10:30, more
//!   → store "other":   b 10:10
//!   ← a, b, c · cursor: "default" behind c, "other" is over
//! ```

mod cursor;

use scheduler_core::{
    Error, Listed, RawJob, StoreName,
    engine::{Command, Search},
    store::{
        FoundRun, JobCounts, JobFilter, JobKey, JobOrder, JobPage, JobSearch, NodeRow, RunFilter, RunKey, RunPage,
        RunSearch,
    },
};

pub use self::cursor::Cursor;
use self::cursor::{Places, Pulled, merged};
use crate::{Job, Scheduler, jobs::sort_key};

/// How many jobs a round trip brings when all are wanted.
pub(crate) const PAGE: usize = 1_000;

/// Which page of what a search finds is wanted.
///
/// ```
/// use scheduler_runtime::Page;
/// let first = Page::first(50);
/// # let _ = first;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    after: Option<Cursor>,
}

impl Page {
    /// The first page, of at most so many. 0 counts as 1.
    pub fn first(limit: usize) -> Self {
        Self { limit: limit.max(1), after: None }
    }

    /// The page that begins where another one has ended, of at most so many.
    pub fn after(cursor: Cursor, limit: usize) -> Self {
        Self { limit: limit.max(1), after: Some(cursor) }
    }
}

/// A page of jobs, in the order that was asked for.
///
/// ```
/// use scheduler_core::store::{JobFilter, JobOrder};
/// use scheduler_runtime::{FoundJobs, Page, Scheduler};
///
/// async fn print_all(scheduler: &Scheduler) -> Result<(), scheduler_core::Error> {
///     let mut page = Page::first(100);
///     loop {
///         let FoundJobs { jobs, unreadable, next, .. } =
///             scheduler.search_jobs(JobFilter::new(), JobOrder::Id, page).await?;
///         jobs.iter().for_each(|job| println!("{job}"));
///         unreadable.iter().for_each(|(store, row)| println!("{} in store `{store}`: {}", row.id, row.reason));
///         match next {
///             Some(cursor) => page = Page::after(cursor, 100),
///             None => return Ok(()),
///         }
///     }
/// }
/// # let _ = print_all;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FoundJobs<J = Job> {
    /// The jobs. There may be fewer than the page could hold, or none, though others follow: a store without an index for the filter
    /// looks at 10,000 jobs and no more.
    pub jobs: Vec<J>,
    /// The rows on the page that cannot be read, with the reason.
    pub unreadable: Vec<(StoreName, RawJob)>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<Cursor>,
}

impl<J> FoundJobs<J> {
    /// The same with other handles of the jobs.
    pub(crate) fn map<T>(self, map: impl FnMut(J) -> T) -> FoundJobs<T> {
        FoundJobs { jobs: self.jobs.into_iter().map(map).collect(), unreadable: self.unreadable, next: self.next }
    }
}

/// A page of runs, newest first.
///
/// ```
/// use scheduler_core::{Verdict, store::RunFilter};
/// use scheduler_runtime::{FoundRuns, Page, Scheduler};
///
/// async fn print_failed(scheduler: &Scheduler) -> Result<(), scheduler_core::Error> {
///     let failed = RunFilter::new().verdict(Verdict::Error);
///     let FoundRuns { runs, .. } = scheduler.search_runs(failed, Page::first(20)).await?;
///     for (store, found) in runs {
///         println!("{} in store `{store}`: {:?}", found.run.id, found.run.error);
///     }
///     Ok(())
/// }
/// # let _ = print_failed;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FoundRuns {
    /// The runs, each with the store of its job.
    pub runs: Vec<(StoreName, FoundRun)>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<Cursor>,
}

impl Scheduler {
    /// All jobs that a filter means by their next fire time, those without one last. Jobs that cannot be read are left out.
    ///
    /// For many jobs, [`search_jobs`](Self::search_jobs) gives a page at a time.
    ///
    /// ```
    /// use scheduler_core::{JobSpec, store::JobFilter, trigger::Interval};
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// scheduler.add_job(JobSpec::new("invoice", Interval::hours(24)).tag("tenant:42")).await?;
    /// for job in scheduler.find_jobs(JobFilter::new().tag("tenant:42").task("invoice")).await? {
    ///     println!("{job}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`jobs`](Self::jobs).
    pub async fn find_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Error> {
        let mut jobs: Vec<Job> = Vec::new();
        for store in self.stores().await? {
            let mut search = JobSearch::new(filter.clone(), PAGE);
            loop {
                let page = self.page_of_jobs(&store, search.clone()).await?;
                let rows = page.jobs.into_iter().filter_map(|listed| match listed {
                    Listed::Job(row) => Some(self.job_handle(store.clone(), row)),
                    Listed::Raw(_) => None,
                });
                jobs.extend(rows);
                if page.next.is_none() {
                    break;
                }
                search = search.with_after(page.next);
            }
        }
        jobs.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        Ok(jobs)
    }

    /// A page of the jobs that a filter means, over all stores, in an order.
    ///
    /// What a filter means is said by [`JobFilter::matches`]. The chapter on searching in the guide says what a search costs.
    ///
    /// ```
    /// use scheduler_core::store::{JobFilter, JobOrder};
    /// use scheduler_runtime::Page;
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// // What fires next, fifty at a time.
    /// let mut page = Page::first(50);
    /// loop {
    ///     let found = scheduler.search_jobs(JobFilter::new(), JobOrder::NextFireTime, page).await?;
    ///     found.jobs.iter().for_each(|job| println!("{job}"));
    ///     match found.next {
    ///         Some(cursor) => page = Page::after(cursor, 50),
    ///         None => break,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind::Config) for a cursor of another search;
    /// [`ErrorKind::UnknownStore`](scheduler_core::ErrorKind::UnknownStore); the store's own.
    pub async fn search_jobs(&self, filter: JobFilter, order: JobOrder, page: Page) -> Result<FoundJobs, Error> {
        let kind = match order {
            JobOrder::Id => "jobs by id",
            JobOrder::NextFireTime => "jobs by next fire time",
        };
        let mut places: Places<JobKey> = Cursor::read(page.after.as_ref(), kind)?;
        let mut pulled = Vec::new();
        for store in self.stores().await? {
            let Some(after) = places.take(&store) else { continue };
            let search = JobSearch::new(filter.clone(), page.limit).with_order(order).with_after(after.clone());
            let JobPage { jobs, next, .. } = self.page_of_jobs(&store, search).await?;
            let items = jobs.into_iter().map(|listed| (JobKey::of(&listed), listed)).collect();
            pulled.push(Pulled { store, before: after, items, next });
        }
        let (items, places) = merged(pulled, places, page.limit, |a, b| order.compare(a, b));
        let mut found = FoundJobs { jobs: Vec::new(), unreadable: Vec::new(), next: Cursor::write(places, kind)? };
        for (store, listed) in items {
            match listed {
                Listed::Job(row) => found.jobs.push(self.job_handle(store, row)),
                Listed::Raw(raw) => found.unreadable.push((store, raw)),
            }
        }
        Ok(found)
    }

    /// How many jobs that a filter means are in each state, over all stores.
    ///
    /// ```
    /// use scheduler_core::store::JobFilter;
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// let counts = scheduler.count_jobs(JobFilter::new().tag("tenant:42")).await?;
    /// println!("{} of {} are paused", counts.paused, counts.total());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownStore`](scheduler_core::ErrorKind::UnknownStore); the store's own.
    pub async fn count_jobs(&self, filter: JobFilter) -> Result<JobCounts, Error> {
        let mut counts = JobCounts::default();
        for store in self.stores().await? {
            let of_store: JobCounts = self.call(Command::Search(store, Search::Counts(filter.clone()))).await?;
            counts.add_all(&of_store);
        }
        Ok(counts)
    }

    /// A page of the runs that a filter means, over all jobs and stores, the newest fire time first: those that wait and run, and the
    /// history that each job keeps.
    ///
    /// ```
    /// use scheduler_core::{Verdict, store::RunFilter};
    /// use scheduler_runtime::Page;
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// let failed = scheduler.search_runs(RunFilter::new().verdict(Verdict::Error), Page::first(20)).await?;
    /// for (_, found) in failed.runs {
    ///     println!("{} at {}: {}", found.job, found.run.fire_time, found.run.error.unwrap_or_default());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](scheduler_core::ErrorKind::Config) for a cursor of another search;
    /// [`ErrorKind::UnknownStore`](scheduler_core::ErrorKind::UnknownStore); the store's own.
    pub async fn search_runs(&self, filter: RunFilter, page: Page) -> Result<FoundRuns, Error> {
        let kind = "runs";
        let mut places: Places<RunKey> = Cursor::read(page.after.as_ref(), kind)?;
        let mut pulled = Vec::new();
        for store in self.stores().await? {
            let Some(after) = places.take(&store) else { continue };
            let search = RunSearch::new(filter.clone(), page.limit).with_after(after);
            let found: RunPage = self.call(Command::Search(store.clone(), Search::Runs(search))).await?;
            let RunPage { runs, next, .. } = found;
            let items = runs.into_iter().map(|found| (RunKey::of(&found.run), found)).collect();
            pulled.push(Pulled { store, before: after, items, next });
        }
        let (runs, places) = merged(pulled, places, page.limit, RunKey::cmp);
        Ok(FoundRuns { runs, next: Cursor::write(places, kind)? })
    }

    /// The nodes that hold something in a store, with what they run, until when their leases last, and their hosts, versions and
    /// [labels](crate::Builder::node_label).
    ///
    /// A node that has nothing to do leaves no trace in a store, this one included: [`health`](Self::health) tells of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownStore`](scheduler_core::ErrorKind::UnknownStore); the store's own.
    pub async fn nodes(&self) -> Result<Vec<(StoreName, NodeRow)>, Error> {
        let mut nodes = Vec::new();
        for store in self.stores().await? {
            let rows: Vec<NodeRow> = self.call(Command::Search(store.clone(), Search::Nodes)).await?;
            nodes.extend(rows.into_iter().map(|row| (store.clone(), row)));
        }
        Ok(nodes)
    }

    pub(crate) async fn page_of_jobs(&self, store: &StoreName, search: JobSearch) -> Result<JobPage, Error> {
        self.call(Command::Search(store.clone(), Search::Jobs(search))).await
    }
}
