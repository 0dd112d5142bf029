//! A job in the hands of code that is not async.

use std::{fmt, ops::Deref, sync::Arc};

use chrono::{DateTime, TimeZone};
use scheduler_core::{Error, Explanation, JobChange, Pause, Run, RunId, Trigger};

use super::Host;
use crate::Job;

/// A job as it was when it was read, and what can be done with it by blocking calls.
///
/// ```
/// use scheduler_core::{JobSpec, trigger::Interval};
/// use scheduler_runtime::Scheduler;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?).task("report", || async {}).background()?;
/// let job = scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("hourly"))?;
/// let job = job.reschedule(Interval::hours(2))?;
/// assert_eq!(job.body.trigger.to_string(), "every 2h");
/// assert!(job.runs(10)?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// As the calls of [`Background`](crate::Background).
#[derive(Debug, Clone)]
pub struct BlockingJob {
    job: Job,
    host: Arc<Host>,
}

impl BlockingJob {
    pub(super) fn new(job: Job, host: Arc<Host>) -> Self {
        Self { job, host }
    }

    /// The job as it is now; see [`Job::refresh`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::refresh`].
    pub fn refresh(&self) -> Result<Self, Error> {
        self.block(self.job.refresh())
    }

    /// Changes properties of the job; see [`Job::modify`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::modify`].
    pub fn modify(&self, change: JobChange) -> Result<Self, Error> {
        self.block(self.job.modify(change))
    }

    /// Gives the job another trigger; see [`Job::reschedule`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::reschedule`].
    pub fn reschedule(&self, trigger: impl Into<Trigger>) -> Result<Self, Error> {
        self.block(self.job.reschedule(trigger))
    }

    /// Keeps the job from firing; see [`Job::pause`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::pause`].
    pub fn pause(&self) -> Result<Self, Error> {
        self.block(self.job.pause())
    }

    /// Keeps the job from firing, with a note, who does it, or an end; see [`Job::pause_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::pause_with`].
    pub fn pause_with(&self, pause: Pause) -> Result<Self, Error> {
        self.block(self.job.pause_with(pause))
    }

    /// Lets the job fire again; see [`Job::resume`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::resume`].
    pub fn resume(&self) -> Result<Self, Error> {
        self.block(self.job.resume())
    }

    /// Runs the job once, now; see [`Job::run_now`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::run_now`].
    pub fn run_now(&self) -> Result<RunId, Error> {
        self.host.block(self.job.run_now())
    }

    /// Asks a run of the job to stop; see [`Job::cancel_run`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::cancel_run`].
    pub fn cancel_run(&self, run: RunId) -> Result<(), Error> {
        self.host.block(self.job.cancel_run(run))
    }

    /// Waits for the end of a run of the job; see [`Job::join`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::join`].
    pub fn join(&self, run: RunId) -> Result<Run, Error> {
        self.host.block(self.job.join(run))
    }

    /// Removes the job; see [`Job::remove`].
    ///
    /// # Errors
    ///
    /// Those of [`Job::remove`].
    pub fn remove(&self) -> Result<(), Error> {
        self.host.block(self.job.remove())
    }

    /// The newest runs of the job, newest first.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        self.host.block(self.job.runs(limit))
    }

    /// Why the job did, did not, or will (not) run at a time; see [`Scheduler::explain`](crate::Scheduler::explain).
    ///
    /// # Errors
    ///
    /// Those of [`Scheduler::explain`](crate::Scheduler::explain).
    pub fn explain<Z: TimeZone>(&self, at: DateTime<Z>) -> Result<Explanation, Error> {
        self.host.block(self.job.explain(at))
    }

    fn block(&self, call: impl Future<Output = Result<Job, Error>>) -> Result<Self, Error> {
        let job = self.host.block(call)?;
        Ok(Self::new(job, Arc::clone(&self.host)))
    }
}

impl Deref for BlockingJob {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl fmt::Display for BlockingJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.job.fmt(f)
    }
}
