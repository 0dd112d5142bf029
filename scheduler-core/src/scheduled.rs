//! A task together with the jobs that run it, as a program writes them down.

use crate::{Conflict, JobSpec, Task};

/// A task and the jobs that run it from the start of the scheduler on. APScheduler's `@scheduled_job`.
///
/// A builder takes it (`Builder::scheduled`): the task is registered, and the jobs are added whenever the scheduler starts.
/// The attribute `#[scheduled]` makes one from a function.
///
/// A job that a store has kept from an earlier start is replaced ([`Conflict::Replace`]): if its trigger is written as it
/// was, it keeps its next fire time, its pause and its history. Several nodes may start with the same jobs. A job that the
/// program does not mention any more stays in its store.
///
/// ```
/// use std::sync::Arc;
///
/// use scheduler_core::{JobSpec, Outcome, Scheduled, Task, TaskCall, trigger::Cron};
///
/// let clean = Task::new("clean", TaskCall::Blocking(Arc::new(|_, _| Outcome::Ok(().into()))), |_| Ok(()));
/// let weekly = JobSpec::new("clean", Cron::crontab("0 4 * * sun")?).id("clean-all").args("all");
/// let scheduled = Scheduled::new(clean, JobSpec::new("clean", Cron::crontab("30 3 * * *")?)).and(weekly);
/// let ids: Vec<_> = scheduled.jobs().iter().map(|job| job.job_id().unwrap().as_str()).collect();
/// assert_eq!(ids, ["clean", "clean-all"]);
/// # Ok::<(), scheduler_core::trigger::TriggerError>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "scheduled_job")]
pub struct Scheduled {
    task: Task,
    jobs: Vec<JobSpec>,
}

impl Scheduled {
    /// A task and a job that runs it, whichever task the job's description names.
    ///
    /// The job's id defaults to the task's name, so that it is the same at each start. [`Conflict::Error`], the default of a
    /// description, counts as [`Conflict::Replace`] here; with [`Conflict::Keep`] what the store has wins.
    pub fn new(task: Task, job: JobSpec) -> Self {
        Self { task, jobs: Vec::new() }.and(job)
    }

    /// Another job that runs the task. It needs an id of its own.
    pub fn and(mut self, mut job: JobSpec) -> Self {
        job.task = self.task.name().clone();
        job.closure = None;
        job.id.get_or_insert_with(|| self.task.name().as_str().into());
        if job.conflict == Conflict::Error {
            job.conflict = Conflict::Replace;
        }
        self.jobs.push(job);
        self
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The jobs that run it.
    pub fn jobs(&self) -> &[JobSpec] {
        &self.jobs
    }

    /// The task and the jobs that run it.
    pub fn into_parts(self) -> (Task, Vec<JobSpec>) {
        (self.task, self.jobs)
    }
}
