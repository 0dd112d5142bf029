//! Changing many jobs in one call: those that a filter means.

use futures_util::{StreamExt, stream};
use scheduler_core::{
    BoxFuture, Error, ErrorKind, JobChange, JobId, Listed, Pause, StoreName, Trigger,
    store::{JobFilter, JobSearch, JobStateKind},
};

use crate::{Scheduler, search::PAGE};

/// How many jobs of a group are changed at the same time: enough to use the connections of a store, few enough to leave
/// room for what is due.
const AT_ONCE: usize = 8;

/// A change of one job of a group.
type Changing = BoxFuture<'static, Result<(), Error>>;

/// What became of a group of jobs.
///
/// ```
/// use scheduler_core::store::JobFilter;
/// use scheduler_runtime::{GroupDone, Scheduler};
///
/// async fn remove_tenant(scheduler: &Scheduler, tenant: u32) -> Result<u64, scheduler_core::Error> {
///     let GroupDone { done, errors, .. } = scheduler.remove_jobs(JobFilter::new().tag(format!("tenant:{tenant}"))).await?;
///     match errors.into_iter().next() {
///         Some(failed) => Err(failed.error),
///         None => Ok(done),
///     }
/// }
/// # let _ = remove_tenant;
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct GroupDone {
    /// How many jobs it was done to.
    pub done: u64,
    /// The jobs to which it could not be done, and why. They are as they were, unless the error says otherwise.
    pub errors: Vec<GroupError>,
}

/// A job of a group to which something could not be done.
///
/// ```
/// use scheduler_runtime::GroupError;
///
/// fn line(failed: &GroupError) -> String {
///     let GroupError { store, job, error } = failed;
///     format!("job `{job}` in store `{store}`: {error}")
/// }
/// # let _ = line;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GroupError {
    /// The store of the job.
    pub store: StoreName,
    /// The job.
    pub job: JobId,
    /// Why.
    pub error: Error,
}

impl Scheduler {
    /// Pauses the active jobs that a filter means, each as [`pause_job`](Self::pause_job) does.
    ///
    /// Jobs of a group are found page by page, and several are changed at the same time, each by itself: there is no
    /// instant at which all are, and jobs that are added meanwhile may be left out. What fails for one job is in
    /// [`GroupDone::errors`], and the others are changed all the same.
    ///
    /// ```
    /// use scheduler_core::store::JobFilter;
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// let paused = scheduler.pause_jobs(JobFilter::new().tag("tenant:42")).await?;
    /// println!("{} jobs are paused", paused.done);
    /// for failed in paused.errors {
    ///     println!("{}: {}", failed.job, failed.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the filter asks for jobs that are over; [`ErrorKind::UnknownStore`]; that of a store
    /// that cannot be searched. Jobs that were found before are paused then.
    pub async fn pause_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
        let is_active = |listed: &Listed| JobStateKind::of_listed(listed) == Some(JobStateKind::Active);
        self.each_of(filter, is_active, |store, id| Box::pin(async move { store.pause_job(id).await.map(drop) })).await
    }

    /// As [`pause_jobs`](Self::pause_jobs), each as [`pause_job_with`](Self::pause_job_with) does. Jobs that are paused already stay as
    /// they are.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn pause_jobs_with(&self, filter: JobFilter, pause: Pause) -> Result<GroupDone, Error> {
        let is_active = |listed: &Listed| JobStateKind::of_listed(listed) == Some(JobStateKind::Active);
        let change = move |store: Self, id| -> Changing {
            let pause = pause.clone();
            Box::pin(async move { store.pause_job_with(id, pause).await.map(drop) })
        };
        self.each_of(filter, is_active, change).await
    }

    /// Resumes the paused jobs that a filter means, each as [`resume_job`](Self::resume_job) does. As
    /// [`pause_jobs`](Self::pause_jobs) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn resume_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
        let is_paused = |listed: &Listed| JobStateKind::of_listed(listed) == Some(JobStateKind::Paused);
        self.each_of(filter, is_paused, |store, id| Box::pin(async move { store.resume_job(id).await.map(drop) })).await
    }

    /// Removes the jobs that a filter means, each as [`remove_job`](Self::remove_job) does, also those that cannot be read. As
    /// [`pause_jobs`](Self::pause_jobs) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn remove_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
        self.each_of(filter, |_| true, |store, id| Box::pin(async move { store.remove_job(id).await })).await
    }

    /// Runs the jobs that a filter means once, now, each as [`run_job_now`](Self::run_job_now) does: paused ones, too. As
    /// [`pause_jobs`](Self::pause_jobs) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn run_jobs_now(&self, filter: JobFilter) -> Result<GroupDone, Error> {
        self.each_of(filter, |_| true, |store, id| Box::pin(async move { store.run_job_now(id).await.map(drop) })).await
    }

    /// Gives the jobs that a filter means another trigger, each as [`reschedule_job`](Self::reschedule_job) does: paused ones stay
    /// paused. As [`pause_jobs`](Self::pause_jobs) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn reschedule_jobs(&self, filter: JobFilter, trigger: impl Into<Trigger>) -> Result<GroupDone, Error> {
        let trigger = trigger.into();
        let change = move |store: Self, id| -> Changing {
            let trigger = trigger.clone();
            Box::pin(async move { store.reschedule_job(id, trigger).await.map(drop) })
        };
        self.each_of(filter, |_| true, change).await
    }

    /// Changes properties of the jobs that a filter means, each as [`modify_job`](Self::modify_job) does. As
    /// [`pause_jobs`](Self::pause_jobs) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`pause_jobs`](Self::pause_jobs).
    pub async fn modify_jobs(&self, filter: JobFilter, change: JobChange) -> Result<GroupDone, Error> {
        let change = move |store: Self, id| -> Changing {
            let change = change.clone();
            Box::pin(async move { store.modify_job(id, change).await.map(drop) })
        };
        self.each_of(filter, |_| true, change).await
    }

    /// Does something to each job that a filter means and that it is for.
    async fn each_of(
        &self,
        filter: JobFilter,
        is_for: fn(&Listed) -> bool,
        change: impl Fn(Self, JobId) -> Changing + Send + Sync,
    ) -> Result<GroupDone, Error> {
        if filter.is_of_finished() {
            let message = "jobs that are over cannot be changed; leave the state `finished` out of the filter";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let mut group = GroupDone::default();
        for name in self.stores().await? {
            let store = self.in_store(name.clone());
            // By id, so that what becomes of the jobs of a page does not move those of the next.
            let mut search = JobSearch::new(filter.clone(), PAGE);
            loop {
                let page = self.page_of_jobs(&name, search.clone()).await?;
                let ids: Vec<JobId> = page.jobs.iter().filter(|job| is_for(job)).map(|job| job.id().clone()).collect();
                let change_of = |id: JobId| -> BoxFuture<'static, _> {
                    let changing = change(store.clone(), id.clone());
                    Box::pin(async move { (id, changing.await) })
                };
                let changes: Vec<_> = ids.into_iter().map(change_of).collect();
                let mut changed = stream::iter(changes).buffered(AT_ONCE);
                while let Some((job, result)) = changed.next().await {
                    match result {
                        Ok(()) => group.done = group.done.saturating_add(1),
                        Err(error) => group.errors.push(GroupError { store: name.clone(), job, error }),
                    }
                }
                if page.next.is_none() {
                    break;
                }
                search = search.with_after(page.next);
            }
        }
        Ok(group)
    }
}
