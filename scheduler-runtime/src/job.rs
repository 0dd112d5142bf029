//! A job in the hands of an application.

use std::{fmt, ops::Deref};

use scheduler_core::{Error, ErrorKind, JobChange, JobId, JobRow, JobState, Pause, Run, RunId, StoreName, Trigger};

use crate::Scheduler;

/// A job as it was when it was read, and what can be done with it.
///
/// Its fields are those of [`JobRow`]. They do not change by themselves; [`refresh`](Self::refresh) reads them anew. Its
/// methods go by the job's id and store. Of a job that is over (of state [`JobState::Ending`]), which a search finds for as long as it
/// stays known, only [`runs`](Self::runs) and [`explain`](Self::explain) can be asked for: the others are
/// [`ErrorKind::NotFound`], since its id may be that of another job by now.
///
/// ```
/// use scheduler_core::{JobChange, JobSpec, JobState, trigger::Interval};
/// use scheduler_runtime::Scheduler;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
/// # rt.block_on(async {
/// let scheduler = Scheduler::builder(TokioRuntime::current()).task("report", || async {}).build()?;
/// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("hourly")).await?;
/// assert_eq!(job.id, "hourly");
///
/// let job = job.modify(JobChange::default().name("Hourly report")).await?;
/// let job = job.pause().await?;
/// assert_eq!(job.state, JobState::Paused);
/// assert_eq!(job.to_string(), "Hourly report (trigger: every 1h, paused)");
/// job.remove().await?;
/// assert!(job.refresh().await.unwrap_err().is_not_found());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Job {
    scheduler: Scheduler,
    store: StoreName,
    row: JobRow,
}

impl Job {
    pub(crate) fn new(scheduler: Scheduler, store: StoreName, row: JobRow) -> Self {
        Self { scheduler, store, row }
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The store that keeps it.
    pub fn store(&self) -> &StoreName {
        &self.store
    }

    /// The id, by which the job can be changed unless it is over.
    fn live_id(&self) -> Result<JobId, Error> {
        if self.row.state == JobState::Ending {
            let message = format!(
                "job `{}` ({}) is over; its id is free, and may be that of another job",
                self.row.id, self.row.uid
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(self.row.id.clone())
    }

    /// The job as it is now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is over or gone, also if another job has its id; the store's own.
    pub async fn refresh(&self) -> Result<Self, Error> {
        match self.scheduler.job(self.row.id.clone()).await? {
            Some(job) if job.row.uid == self.row.uid => Ok(job),
            _ => {
                Err(Error::new(ErrorKind::NotFound, format!("job `{}` is not in store `{}`", self.row.id, self.store)))
            }
        }
    }

    /// Changes properties of the job; see [`Scheduler::modify_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::modify_job`].
    pub async fn modify(&self, change: JobChange) -> Result<Self, Error> {
        self.scheduler.modify_job(self.live_id()?, change).await
    }

    /// Gives the job another trigger; see [`Scheduler::reschedule_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::reschedule_job`].
    pub async fn reschedule(&self, trigger: impl Into<Trigger>) -> Result<Self, Error> {
        self.scheduler.reschedule_job(self.live_id()?, trigger).await
    }

    /// Keeps the job from firing; see [`Scheduler::pause_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::pause_job`].
    pub async fn pause(&self) -> Result<Self, Error> {
        self.scheduler.pause_job(self.live_id()?).await
    }

    /// Keeps the job from firing, with a note, who does it, or an end; see [`Scheduler::pause_job_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::pause_job_with`].
    pub async fn pause_with(&self, pause: Pause) -> Result<Self, Error> {
        self.scheduler.pause_job_with(self.live_id()?, pause).await
    }

    /// Lets the job fire again; see [`Scheduler::resume_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::resume_job`].
    pub async fn resume(&self) -> Result<Self, Error> {
        self.scheduler.resume_job(self.live_id()?).await
    }

    /// Runs the job once, now, beside its fire times; see [`Scheduler::run_job_now`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::run_job_now`].
    pub async fn run_now(&self) -> Result<RunId, Error> {
        self.scheduler.run_job_now(self.live_id()?).await
    }

    /// Asks a run of the job to stop; see [`Scheduler::cancel_run`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::cancel_run`].
    pub async fn cancel_run(&self, run: RunId) -> Result<(), Error> {
        self.scheduler.cancel_run(self.live_id()?, run).await
    }

    /// Removes the job; see [`Scheduler::remove_job`].
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::remove_job`].
    pub async fn remove(&self) -> Result<(), Error> {
        self.scheduler.remove_job(self.live_id()?).await
    }

    /// The newest runs of the job, newest first.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        self.scheduler.runs_of(&self.store, self.row.uid, limit).await
    }
}

impl Deref for Job {
    type Target = JobRow;

    fn deref(&self) -> &JobRow {
        &self.row
    }
}

/// As in `report (trigger: every 10 s, next fire time: 2026-11-21 09:00:00 UTC)`.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (trigger: {}, ", self.row.body.display_name(), self.row.body.trigger)?;
        match (&self.row.state, self.row.next_fire_time) {
            (JobState::Active, Some(next)) => write!(f, "next fire time: {next})"),
            (JobState::Active, None) => write!(f, "waits for the end of its run)"),
            (JobState::Ending, _) => write!(f, "over)"),
            (state, _) => write!(f, "{})", state.as_str()),
        }
    }
}
